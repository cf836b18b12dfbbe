/**
 * Sequences that a log never had, because the store that it was converted from did not have them. The conversion notes in its record how many such
 * gaps there are and a hash over them; whoever walks the log hashes the gaps that it meets, and only where the two differ is something lost.
 *
 * hash = the XOR of BLAKE3(`DUE FOUND`) over all gaps, so that the order in which they are met does not matter. (An entity's clocks need no ledger:
 * an event's hash covers its clock and the previous hash, so where the chain holds across a gap, the gap was there when the event was written.)
 */
import { formatHex } from "../events/id.ts";
import { blake3 } from "../kernel/frame-kernel.ts";

const HASH_BYTES = 32;
const utf8 = new TextEncoder();

export class GapLedger {
  readonly #hash = new Uint8Array(HASH_BYTES);
  /** Gaps noted so far. */
  count = 0;

  /** The sequence `found` came where `due` was. */
  note(due: number, found: number): void {
    const hash = blake3(utf8.encode(`${due} ${found}`));
    for (let i = 0; i < HASH_BYTES; i++) this.#hash[i] ^= hash[i];
    this.count++;
  }

  /** 64 hex digits; zeros where there are no gaps. */
  get hash(): string {
    return formatHex(this.#hash, 0, HASH_BYTES);
  }
}
