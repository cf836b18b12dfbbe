/** A consumer's position as a batch takes it along. */

/** A position that a batch moves when it is appended, together with its events or not at all: made by `consumer.at(event)`. */
export class ConsumerPosition {
  /** The consumer's name. */
  readonly consumer: string;
  /** Sequence of the last event that is done. */
  readonly position: number;
  /** The store that it belongs to. */
  readonly owner: object;
  /** Appends the batch by `append`, of whose end the consumer takes notice. Throws `CLOSED` where it is closed. */
  readonly moveBy: <Result>(append: () => Promise<Result>) => Promise<Result>;

  constructor(consumer: string, position: number, owner: object, moveBy: ConsumerPosition["moveBy"]) {
    this.consumer = consumer;
    this.position = position;
    this.owner = owner;
    this.moveBy = moveBy;
  }
}
