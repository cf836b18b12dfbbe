/**
 * How many who wait in a read-only store share one look: nobody wakes a reader, so while somebody waits one timer looks for more every few
 * milliseconds, and tells all of them when there is some. It stops with the last who waits.
 */
import { SequenceGate } from "../index/sequence-gate.ts";

export class SharedPoll {
  readonly #gate = new SequenceGate();
  readonly #look: () => Promise<boolean>;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | null = null;
  #looking = false;

  /** @param look takes up what is new; tells whether those who wait should look for themselves */
  constructor(look: () => Promise<boolean>, everyMs: number) {
    this.#look = look;
    this.#everyMs = everyMs;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#gate.waiting;
  }

  /** Calls back once when there may be more; gives a function that calls it off. */
  onNext(callback: () => void): () => void {
    const cancel = this.#gate.onNext(callback);
    this.#plan();
    return () => {
      cancel();
      if (this.#gate.waiting === 0) this.#stop();
    };
  }

  /** Everybody looks for himself: the end has come. */
  open(): void {
    this.#stop();
    this.#gate.open();
  }

  #plan(): void {
    if (this.#timer !== null || this.#looking || this.#gate.waiting === 0) return;
    this.#timer = setTimeout(() => void this.#tick(), this.#everyMs);
  }

  async #tick(): Promise<void> {
    this.#timer = null;
    this.#looking = true;
    // A look that fails is looked again: what is wrong is told to whoever reads.
    const more = await this.#look().catch(() => false);
    this.#looking = false;
    if (more) this.#gate.open();
    this.#plan();
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
