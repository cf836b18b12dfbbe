/** Footers of the batpak 0.3 layout as what they are believed to be: the sequences of their segments' events. */
import { inSteps } from "./base/rest.ts";
import { Footer, footerMismatch, misplacedEntry } from "./format/batpak03/footer.ts";
import { type Frame, isBatchMarker } from "./format/batpak03/frame.ts";
import type { SegmentIndex } from "./index/segment-index.ts";
import { type Batpak03Segment, readFooter } from "./log/batpak03-segment.ts";
import type { SegmentFiles } from "./log/segment-files.ts";
import type { Batpak03Attempt } from "./open-batpak03-attempt.ts";

/** The footer of a segment; null where there is none, or none that can be used, of which `refuse` is told why. */
export async function soundFooter(files: SegmentFiles, segment: Batpak03Segment, refuse: (reason: string) => void): Promise<Footer | null> {
  const file = files.pin(segment.id);
  try {
    const footer = await readFooter(file, segment);
    const fault = footer instanceof Footer ? await inSteps(misplacedEntry(footer, segment.framesOffset)) : footer;
    if (fault === null) return footer as Footer | null;
    refuse(`the footer of segment ${segment.id} is ignored: ${fault.reason}`);
    return null;
  } finally {
    files.unpin(segment.id);
  }
}

/** Entries that are compared in one step. */
const ENTRIES_PER_STEP = 4096;

/**
 * Whether a footer tells of other sequences than the events of its segment have, or would get on from `due`: in that order, each has an entry. Yields between
 * steps.
 *
 * @param rows the segment's events in the index; null where there are none yet
 */
export function* numbersOtherwise(footer: Footer, rows: SegmentIndex | null, due: number): Generator<void, boolean, undefined> {
  const count = rows?.rowCount ?? 0;
  for (let entry = 0; entry < footer.entryCount; entry++) {
    const sequence = rows !== null && entry < count ? rows.sequenceAt(entry) : due + entry - count;
    if (footer.globalSequence(entry) !== sequence) return true;
    if (entry % ENTRIES_PER_STEP === ENTRIES_PER_STEP - 1) yield;
  }
  return false;
}

/** Gives a segment's events the sequences of its footer, as long as each entry is what its frame says. */
export class FooterNumbers {
  readonly #footer: Footer;
  readonly #attempt: Batpak03Attempt;
  #entry = 0;
  readonly #first: number;
  /** How many problems of the attempt have been taken into account. */
  #problems: number;

  /** @param from where the frames begin that are numbered: entries before it are passed over */
  constructor(footer: Footer, attempt: Batpak03Attempt, from: number) {
    this.#footer = footer;
    this.#attempt = attempt;
    this.#problems = attempt.problems.length;
    while (this.#entry < footer.entryCount && footer.frameOffset(this.#entry) < from) this.#entry++;
    this.#first = this.#entry;
  }

  /** The sequence that it gives next; infinite where it has none. */
  get next(): number {
    return this.#entry < this.#footer.entryCount ? this.#footer.globalSequence(this.#entry) : Number.POSITIVE_INFINITY;
  }

  /** How many entries it has passed. */
  get passed(): number {
    return this.#entry - this.#first;
  }

  frame(frame: Frame, offset: number): void {
    const { rows } = this.#attempt;
    const footer = this.#footer;
    this.#passLost(offset);
    const entry = this.#entry;
    if (isBatchMarker(frame) || entry === footer.entryCount || footer.frameOffset(entry) !== offset)
      return rows.frame(frame, offset, -1, "unclaimed");
    const mismatch = footerMismatch(footer, entry, frame, offset);
    if (mismatch !== null) rows.fault ??= `entry ${entry} differs from its frame at offset ${offset}: ${mismatch}`;
    this.#entry++;
    rows.frame(frame, offset, footer.globalSequence(entry), "claimed");
  }

  /** The entries of frames that damage has taken, before `offset`, keep their sequences to themselves. */
  #passLost(offset: number): void {
    const { problems } = this.#attempt;
    const lost = problems.length === this.#problems ? Number.POSITIVE_INFINITY : (problems[this.#problems].offset ?? 0);
    this.#problems = problems.length;
    const footer = this.#footer;
    if (this.#entry < footer.entryCount && footer.frameOffset(this.#entry) < lost) return;
    while (this.#entry < footer.entryCount && footer.frameOffset(this.#entry) < offset) this.#entry++;
  }

  finish(segmentId: number, atFooter: boolean): void {
    const { rows } = this.#attempt;
    this.#passLost(Number.POSITIVE_INFINITY);
    if (this.#entry < this.#footer.entryCount) rows.fault ??= `entry ${this.#entry} of segment ${segmentId} names no event`;
    if (!atFooter) rows.fault ??= `that of segment ${segmentId} does not begin where its frames end`;
  }
}
