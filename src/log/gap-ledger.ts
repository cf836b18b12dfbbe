/**
 * Gaps in sequences and clocks that a log had from the start, because the store that it was converted from had them. The conversion notes one
 * hash over all of them in its record; whoever walks the log hashes the gaps that it meets, and only where the two differ is something lost.
 *
 * hash = BLAKE3(hash before · line), from 32 zeros on; a line is `s DUE FOUND` for a sequence, `c DUE FOUND ENTITY` for a clock, in the order
 * of the log, the clock's before the sequence's.
 */
import { formatHex } from "../events/id.ts";
import { blake3 } from "../kernel/frame-kernel.ts";

const HASH_BYTES = 32;
const utf8 = new TextEncoder();

export class GapLedger {
  #hash: Uint8Array = new Uint8Array(HASH_BYTES);
  /** Gaps noted so far. */
  count = 0;

  /** The sequence `found` came where `due` was. */
  sequence(due: number, found: number): void {
    this.#note(`s ${due} ${found}`);
  }

  /** The entity's clock `found` came where `due` was. */
  clock(entity: string, due: number, found: number): void {
    this.#note(`c ${due} ${found} ${entity}`);
  }

  #note(line: string): void {
    const text = utf8.encode(line);
    const bytes = new Uint8Array(HASH_BYTES + text.length);
    bytes.set(this.#hash);
    bytes.set(text, HASH_BYTES);
    this.#hash = blake3(bytes);
    this.count++;
  }

  /** The hash over all gaps so far, 64 hex digits; zeros where there are none. */
  get hash(): string {
    return formatHex(this.#hash, 0, HASH_BYTES);
  }
}
