/** The sequences of a log in order: what compaction removed and what the source of a conversion never had are passed over, all else is a gap. */
import { GapLedger } from "./gap-ledger.ts";
import type { RetentionCheck } from "./verify-retention.ts";

/** A sequence that came where another was due. */
export interface SequenceGap {
  readonly segmentId: number;
  readonly due: number;
  readonly found: number;
}

const GAPS_MAX = 1000;

export class SequenceCheck {
  /** The sequence that is due. */
  next = 0;
  readonly #ledger = new GapLedger();
  #gaps: SequenceGap[] = [];

  /** Goes on to a sequence, in a segment that removed what `retention` says. */
  pass(sequence: number, retention: RetentionCheck | null, segmentId: number): void {
    for (;;) {
      if (retention !== null) this.next = retention.passSequences(this.next, sequence);
      if (this.next >= sequence) return;
      const found = Math.min(sequence, retention?.nextRemoved ?? sequence);
      this.#ledger.note(this.next, found);
      if (this.#gaps.length < GAPS_MAX) this.#gaps.push({ segmentId, due: this.next, found });
      this.next = found;
    }
  }

  /** A conversion's record says which gaps its source had, all of them before it: also before those events that were removed since. */
  meetRecord(record: Readonly<Record<string, unknown>> | null, next: number, retention: RetentionCheck | null, segmentId: number): void {
    if (record?.record !== "conversion") return;
    this.pass(next, retention, segmentId);
    if (record.gaps === this.#ledger.count && record.gapsHash === this.#ledger.hash) this.#gaps = [];
  }

  /** The gaps that no conversion spoke for, the first of them. */
  get gaps(): readonly SequenceGap[] {
    return this.#gaps;
  }
}
