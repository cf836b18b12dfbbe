/** A consumer's position as a batch takes it along. */

/** A position that a batch moves when it is appended, together with its events or not at all: made by `consumer.at(event)`. */
export class ConsumerPosition {
  /** The consumer's name. */
  readonly consumer: string;
  /** Sequence of the last event that is done. */
  readonly position: number;
  /** The store that it belongs to. */
  readonly owner: object;
  /** Tells the consumer that it is written. */
  readonly written: () => void;

  constructor(consumer: string, position: number, owner: object, written: () => void) {
    this.consumer = consumer;
    this.position = position;
    this.owner = owner;
    this.written = written;
  }
}
