/**
 * Which frames count, when some stand between the markers of a batch. Fed frame by frame in file order, segment by segment.
 *
 * 1. A batch is whole only if exactly as many events as its BEGIN states follow, and then a COMMIT with BEGIN's id; across segments if need be.
 * 2. Otherwise everything after its BEGIN is dropped to the end of that segment. If that segment was sealed while the batch could still have
 *    been going on (a rotation in its midst), the rest of the batch lies in the next one: everything is dropped to the end of that one too.
 *    If it was not sealed, the process died there, and the next segment's events stand for themselves, unless the batch turns out whole after all:
 *    compaction and lost footers leave segments without a seal inside whole batches, any number of them. The same holds of a next segment that cannot
 *    be the rest (`doubt`): what has no COMMIT yet stands in no footer, and all events of a batch are of one time.
 * 3. A frame is neither accepted nor dropped before its batch is decided; decisions come in file order.
 * 4. Where damage took frames of a batch, what is left of it counts if its COMMIT is there, or all its events; and it ends nothing but itself:
 *    what comes behind it stands for itself.
 *
 *   idle ──BEGIN──▶ open ──COMMIT, whole──▶ idle
 *                   open ──anything else──▶ dropping ──end of segment──▶ idle
 *                   open ──end of segment──▶ open (sealed: `carried`; not sealed: `tentative`) ──doubt──▶ open (`tentative`)
 */
import { copyOf } from "../../base/msgpack.ts";
import type { Frame } from "./frame.ts";
import { BATCH, ID_BYTES } from "./layout.ts";

export interface BatchSink {
  /** The event counts. `endsCommit`: it is a single append, or the last of its batch. */
  accept(handle: number, endsCommit: boolean): void;
  /** The event belongs to a batch that is not whole. */
  drop(handle: number, reason: string): void;
}

interface OpenBatch {
  readonly size: number;
  readonly id: Uint8Array;
  /** The caller's numbers of the events so far, and how many of them stand in earlier segments. */
  readonly handles: number[];
  /** The `timestamp_us` of the first of them, where it is known: the original looks at its clock once for all. */
  timestampUs: number | bigint | null;
  /** Whether its BEGIN stands in an earlier segment. */
  carried: boolean;
  earlier: number;
  /** An earlier segment ended without a seal inside this batch, or is in doubt: only a whole batch proves that it went on. */
  tentative: boolean;
  /** Frames were lost inside it. */
  damaged: boolean;
}

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "open"; readonly batch: OpenBatch }
  | { readonly kind: "dropping"; readonly reason: string };

const IDLE: State = { kind: "idle" };

export class BatchTracker {
  readonly #sink: BatchSink;
  #state: State = IDLE;

  constructor(sink: BatchSink) {
    this.#sink = sink;
  }

  /** Whether the events that have been pushed are all decided, and the next single one will be accepted at once. */
  get idle(): boolean {
    return this.#state.kind === "idle";
  }

  /** Whether the next segment, if it has a footer, is taken for the rest of a batch. */
  get carriesBatch(): boolean {
    return this.#state.kind === "open" && !this.#state.batch.tentative;
  }

  /** Whether what comes next may be the rest of a batch: one is open, and nothing but its own events has come since its segment ended. */
  get mayGoOn(): boolean {
    return this.#state.kind === "open" && (!this.#state.batch.tentative || this.#state.batch.earlier === this.#state.batch.handles.length);
  }

  /** The next frame. `handle` is the caller's number for it, given back in `accept` or `drop`; markers are neither. */
  push(frame: Frame, handle: number): void {
    if (frame.eventKind === BATCH.beginKind) this.#begin(frame);
    else if (frame.eventKind === BATCH.commitKind) this.#commit(frame);
    else this.event(handle, frame.timestampUs);
  }

  #begin(frame: Frame): void {
    if (this.#state.kind === "open") {
      const { carried, earlier, handles } = this.#state.batch;
      // A process begins none before it has ended the one before: another has begun the segment.
      if (carried && handles.length === earlier) this.doubt();
      this.#contradict("another batch begins inside it");
    }
    if (this.#state.kind === "dropping") return;
    const id = copyOf(frame.bytes, frame.eventIdAt, frame.eventIdAt + ID_BYTES);
    this.#state = {
      kind: "open",
      batch: { size: frame.payloadSize, id, handles: [], timestampUs: null, carried: false, earlier: 0, tentative: false, damaged: false },
    };
  }

  #commit(frame: Frame): void {
    // A COMMIT by itself ends nothing.
    if (this.#state.kind !== "open") return;
    const { batch } = this.#state;
    if (batch.handles.length !== batch.size && !(batch.damaged && batch.handles.length < batch.size))
      return this.#contradict(`it has ${batch.handles.length} events, its BEGIN states ${batch.size}`);
    for (let index = 0; index < ID_BYTES; index++) {
      if (frame.bytes[frame.eventIdAt + index] !== batch.id[index]) return this.#contradict("its COMMIT has another id");
    }
    this.#acceptAll(batch);
  }

  #acceptAll({ handles }: OpenBatch): void {
    const last = handles.length - 1;
    this.#state = IDLE;
    for (let index = 0; index <= last; index++) this.#sink.accept(handles[index], index === last);
  }

  /** Frames were lost here. */
  damage(): void {
    if (this.#state.kind === "open") this.#state.batch.damaged = true;
  }

  /** The same for an event; of one of which only the place is known, an entry of a checkpoint, there is no time. */
  event(handle: number, timestampUs: number | bigint | null = null): void {
    const state = this.#state;
    if (state.kind === "open") {
      const { batch } = state;
      if (batch.carried && timestampUs !== null && batch.timestampUs !== null && timestampUs !== batch.timestampUs) this.doubt();
      batch.timestampUs ??= timestampUs;
      if (state.batch.handles.length < state.batch.size) {
        state.batch.handles.push(handle);
        return;
      }
      this.#contradict(`more than its ${state.batch.size} events follow its BEGIN`);
      return this.event(handle);
    }
    if (state.kind === "dropping") this.#sink.drop(handle, state.reason);
    else this.#sink.accept(handle, true);
  }

  /** The open batch cannot become whole any more: decides what was held. */
  #contradict(why: string): void {
    if (this.#state.kind !== "open") return;
    const { batch } = this.#state;
    if (batch.damaged && batch.handles.length === batch.size) return this.#acceptAll(batch);
    const reason = `a batch is not whole: ${why}`;
    const dropped = batch.tentative ? batch.earlier : batch.handles.length;
    this.#state = batch.tentative || batch.damaged ? IDLE : { kind: "dropping", reason };
    for (let index = 0; index < dropped; index++) this.#sink.drop(batch.handles[index], reason);
    for (let index = dropped; index < batch.handles.length; index++) this.#sink.accept(batch.handles[index], true);
  }

  /** The segment's frames are over. `sealed`: it has a footer. */
  endSegment(sealed: boolean): void {
    if (this.#state.kind === "dropping") this.#state = IDLE;
    if (this.#state.kind !== "open") return;
    const { batch } = this.#state;
    // What stands behind the first segment without a seal stands for itself, if it turns out not to be the rest.
    if (batch.tentative) return;
    batch.carried = true;
    batch.earlier = batch.handles.length;
    batch.tentative = !sealed;
  }

  /** The segment that begins is no rest of a batch, by its footer, unless it ends one. */
  doubt(): void {
    if (this.#state.kind === "open") this.#state.batch.tentative = true;
  }

  /** The log is over: an open batch has no COMMIT. */
  end(): void {
    this.#contradict("its COMMIT is missing");
    this.#state = IDLE;
  }
}
