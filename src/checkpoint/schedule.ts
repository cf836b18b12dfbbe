/**
 * When a checkpoint is due by itself: so often that whoever opens after a crash takes up few events, and not so often that writing checkpoints is
 * most of what a store does. What opening took up counts; so does each process that is killed before it wrote one.
 */

export interface ScheduleInput {
  /** Due after so many events; null: never. */
  readonly everyEvents: number | null;
  /** Whether those of many entities may be further apart. */
  readonly stretches: boolean;
  /** What was taken up when the store was opened, system records among it, and how many bytes that was. */
  readonly events: number;
  readonly bytes: number;
  /** Due with the first event. */
  readonly required: boolean;
  entityCount(): number;
}

/** An entity takes 88 bytes and its name: a checkpoint that is stretched is about twice as large as the frames since the one before. */
const STRETCHED_EVENTS_PER_ENTITY = 1 / 4;
/** So many events may be left to be taken up by whoever opens next: a few microseconds each, where a checkpoint takes two syncs and more. */
const CLOSING_EVENTS = 64;
/** And so many more for each entity: all of them are in a checkpoint. */
const CLOSING_EVENTS_PER_ENTITY = 1 / 256;
/** As long as they are no longer than this on average: each opening reads them, also one that appends nothing. */
const CLOSING_BYTES_PER_EVENT = 4096;

export class CheckpointSchedule {
  readonly #input: ScheduleInput;
  /** Since the picture of the last one. */
  #events: number;
  #bytes: number;
  /** As many of them as came before that one was complete. */
  #eventsWhileWriting = 0;
  #required: boolean;
  /** Whether an index block was written that the last one does not know: whoever opens by that one carries the segment's rows. */
  #blockIsNew = false;

  constructor(input: ScheduleInput) {
    this.#input = input;
    this.#events = input.events;
    this.#bytes = input.bytes;
    this.#required = input.required;
  }

  /** Whether checkpoints are written at all, but for those that are asked for. */
  get isOn(): boolean {
    return this.#input.everyEvents !== null;
  }

  /** Whether one is due whatever came since the last. */
  get isRequired(): boolean {
    return this.#required;
  }

  /** Whether the last one does not reach to the end of the log. */
  get isBehind(): boolean {
    return this.#events > 0 || this.#required;
  }

  /** Whether one is to be written before the log is closed: few events are taken up in less time than it takes. */
  get isDueAtClose(): boolean {
    if (!this.isOn) return false;
    const allowed = this.#input.stretches ? CLOSING_EVENTS + this.#input.entityCount() * CLOSING_EVENTS_PER_ENTITY : 0;
    return this.#required || this.#blockIsNew || this.#events > allowed || this.#bytes > allowed * CLOSING_BYTES_PER_EVENT;
  }

  /** Whether one is to be begun: so early that it is complete in time. */
  get isDue(): boolean {
    if (!this.isOn) return false;
    const every = this.#every;
    return this.#required || this.#events + Math.min(this.#eventsWhileWriting, every / 4) >= every;
  }

  get #every(): number {
    const { everyEvents, stretches } = this.#input;
    return Math.max(everyEvents as number, stretches ? this.#input.entityCount() * STRETCHED_EVENTS_PER_ENTITY : 0);
  }

  /** So many events more are visible, in so many bytes; `isWriting`: the last checkpoint is not complete yet. */
  note(events: number, bytes: number, isWriting: boolean): void {
    this.#events += events;
    this.#bytes += bytes;
    if (isWriting) this.#eventsWhileWriting = this.#events;
  }

  /** The next one is due with the next event. */
  require(): void {
    this.#required = true;
  }

  /** A segment has its index block: checkpoints need not carry its rows any more. Where few came since the last one, none is worth writing for that before the end. */
  noteBlock(): void {
    this.#blockIsNew = true;
    if (this.isOn && this.#events * 2 >= this.#every) this.#required = true;
  }

  /** The picture of one was taken. */
  begun(): void {
    this.#required = this.#blockIsNew = false;
    this.#events = this.#bytes = this.#eventsWhileWriting = 0;
  }
}
