/**
 * Work that goes on side by side, and work that goes on alone: whoever comes later waits behind whoever waits already, so that neither kind
 * keeps the other out for ever.
 */
import { Fifo, type Queued } from "./fifo.ts";
import { onAbort } from "./on-abort.ts";

interface Waiting extends Queued {
  readonly alone: boolean;
  readonly enter: () => void;
}

export class SharedLock {
  #sharing = 0;
  #alone = false;
  readonly #waiting = new Fifo<Waiting>();

  /** Runs `work` beside others that share; never beside one that excludes. A signal ends the waiting, not the work. */
  share<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return this.#run(false, work, signal);
  }

  /** Runs `work` alone. A signal ends the waiting, not the work. */
  exclude<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return this.#run(true, work, signal);
  }

  async #run<Result>(alone: boolean, work: () => Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
    signal?.throwIfAborted();
    await this.#enter(alone, signal);
    try {
      return await work();
    } finally {
      if (alone) this.#alone = false;
      else this.#sharing--;
      this.#letIn();
    }
  }

  #enter(alone: boolean, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        alone,
        isGone: false,
        enter: () => {
          cancel();
          resolve();
        },
      };
      const giveUp = (): void => {
        this.#waiting.remove(waiting);
        reject(signal?.reason as Error);
        this.#letIn();
      };
      const cancel = onAbort(signal, giveUp);
      this.#waiting.push(waiting);
      this.#letIn();
    });
  }

  #letIn(): void {
    for (;;) {
      const { first } = this.#waiting;
      if (first === undefined || this.#alone || (first.alone && this.#sharing > 0)) return;
      this.#waiting.remove(first);
      if (first.alone) this.#alone = true;
      else this.#sharing++;
      first.enter();
    }
  }
}
