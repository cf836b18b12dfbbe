/**
 * How many turns the event loop has while the work is done.
 *
 * @example assert.ok((await turnsDuring(() => store.verify())) > 10);
 */
export async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  const counter = new TurnCounter();
  try {
    await work();
  } finally {
    counter.stop();
  }
  return counter.turns;
}

/**
 * Counts the turns of the event loop from its making until it is stopped, for tests of what must not hold them up.
 *
 * @example const counter = new TurnCounter(); await work(); assert.ok(counter.stop() > 10);
 */
export class TurnCounter {
  turns = 0;
  #isStopped = false;

  constructor() {
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    if (this.#isStopped) return;
    this.turns++;
    setImmediate(this.#turn);
  };

  /** How many there were. */
  stop(): number {
    this.#isStopped = true;
    return this.turns;
  }
}
