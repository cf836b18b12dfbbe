/** The native checkpoint held against what the frames say up to its watermark, for `verify`. */
import { inSteps } from "./base/rest.ts";
import { sameBytes } from "./base/hex.ts";
import type { RestoredCheckpoint } from "./checkpoint/restore.ts";
import { FRAME } from "./format/native/frame-layout.ts";
import { Heads } from "./index/heads.ts";
import type { HeadsPicture } from "./index/heads-picture.ts";
import type { Interner } from "./index/interner.ts";
import type { StoreProblem } from "./open-report.ts";

/** So many entities are compared between two rests. */
const ENTITIES_PER_STEP = 4096;

/** What the frames say where one of them ends. */
export interface FramesSay {
  readonly segmentId: number;
  readonly offset: number;
  readonly events: number;
  readonly nextSequence: number;
  readonly heads: Heads;
}

export class CheckpointComparison {
  readonly #checkpoint: RestoredCheckpoint;
  readonly #tell: (problem: StoreProblem) => void;
  #picture: HeadsPicture | null = null;
  #seen = false;

  constructor(checkpoint: RestoredCheckpoint, tell: (problem: StoreProblem) => void) {
    this.#checkpoint = checkpoint;
    this.#tell = tell;
  }

  get checkpoint(): RestoredCheckpoint {
    return this.#checkpoint;
  }

  /** Whether a frame ended where it ends. */
  get seen(): boolean {
    return this.#seen;
  }

  /** A frame ends here. Where the checkpoint does too, what the frames say is held against it; the heads are pictured, for `finish`. */
  meet({ segmentId, offset, events, nextSequence, heads }: FramesSay): void {
    const { visible, visibleEvents } = this.#checkpoint.index;
    if (this.#seen || visible.segmentId !== segmentId || visible.offset !== offset) return;
    this.#seen = true;
    if (visibleEvents !== events) this.#problem(`it counts ${visibleEvents} events, ${events} are there`);
    if (visible.sequence !== nextSequence) this.#problem(`its next sequence is ${visible.sequence}, ${nextSequence} is due`);
    this.#picture = heads.beginPicture();
  }

  /** Compares the heads, where they were met. `entities` has the names of those of the frames. */
  async finish(entities: Interner, rest: () => Promise<void>): Promise<void> {
    const picture = this.#picture;
    if (picture === null) return;
    this.#picture = null;
    while (!picture.advance()) await rest();
    picture.end();
    const mine = (await inSteps(Heads.restore(picture.parts, picture.count, Number.MAX_SAFE_INTEGER))) as Heads;
    const { heads, entities: names } = this.#checkpoint.index;
    let begun = 0;
    for (let id = 0; id < heads.count; id++) {
      if ((id + 1) % ENTITIES_PER_STEP === 0) await rest();
      // The picture was taken while this one's first event was on its way: a name, and nothing of it in the log.
      if (heads.clock(id) < 0) continue;
      begun++;
      const own = entities.findOf(names, id);
      const same =
        own >= 0 &&
        heads.clock(id) === mine.clock(own) &&
        heads.visibleSequence(id) === mine.visibleSequence(own) &&
        // Index blocks do not have the times of heads: opening by them leaves them out.
        (heads.timeMicros(id) === 0 || heads.timeMicros(id) === mine.timeMicros(own)) &&
        sameBytes(heads.hash(id), 0, mine.hash(own), 0, FRAME.hashBytes);
      if (same) continue;
      const entity = names.name(id);
      this.#tell({ code: "CHECKPOINT_MISMATCH", message: `The checkpoint's head of ${entity} is not that of the log`, entity });
    }
    if (begun !== mine.count) this.#problem(`it has ${begun} entities, ${mine.count} are there`);
  }

  #problem(reason: string): void {
    this.#tell(checkpointProblem(reason));
  }
}

export function checkpointProblem(reason: string): StoreProblem {
  return { code: "CHECKPOINT_MISMATCH", message: `The checkpoint does not fit the log: ${reason}` };
}
