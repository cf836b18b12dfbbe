/**
 * Asynchronous generators that end where they wait. By the language, `return` waits for the value that is being waited for, which may never come:
 * who leaves a loop by another way than from within it (a stream that is destroyed, a client that is gone) would leave it waiting for ever.
 */
import { keepAlive } from "./keep-alive.ts";
import { onAbort } from "./on-abort.ts";

/** Whether something was ended from outside, and who is to be told of it. */
export class Ending {
  isEnded = false;
  readonly #told = new Set<() => void>();

  end(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    for (const ended of this.#told) ended();
    this.#told.clear();
  }

  /** Calls `ended` when it ends, not where it already has; gives a function that takes that back. */
  onEnd(ended: () => void): () => void {
    if (!this.isEnded) this.#told.add(ended);
    return () => this.#told.delete(ended);
  }
}

/**
 * Waits for a change, or for the end of the iteration; rejects with the signal's reason when that is aborted. The process lives on meanwhile.
 *
 * @param onChange calls back once; gives a function that calls that off
 */
export function whenChanged(
  onChange: (callback: () => void) => () => void,
  signal: AbortSignal | undefined,
  ending: Ending,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      release();
      cancel();
      keepOn();
      goOn();
      act();
    };
    const cancel = onChange(() => settle(resolve));
    // The reason is whatever the caller gave, as everywhere in Node.
    const keepOn = onAbort(signal, () => settle(() => reject(signal?.reason as Error)));
    const goOn = ending.onEnd(() => settle(resolve));
    const release = keepAlive();
  });
}

/**
 * What `work` comes to. Where the signal is aborted or `ending` ends before, nobody waits for it any more: rejects with the signal's reason, or with
 * `error()`.
 */
export function unlessEnded<Result>(
  work: PromiseLike<Result>,
  signal: AbortSignal | undefined,
  ending: Ending,
  error: () => Error,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      keepOn();
      goOn();
      act();
    };
    const keepOn = onAbort(signal, () => settle(() => reject(signal?.reason as Error)));
    const goOn = ending.onEnd(() => settle(() => reject(error())));
    Promise.resolve(work).then(
      (result) => settle(() => resolve(result)),
      (reason: unknown) => settle(() => reject(reason as Error)),
    );
    if (signal?.aborted === true) settle(() => reject(signal.reason as Error));
    else if (ending.isEnded) settle(() => reject(error()));
  });
}

/** @param generate gets what tells it to stop waiting: it returns then, as soon as it can */
export function endable<Value>(generate: (ending: Ending) => AsyncGenerator<Value, undefined>): AsyncGenerator<Value, undefined> {
  const ending = new Ending();
  const generator = generate(ending);
  const iterator: AsyncGenerator<Value, undefined> = {
    next: () => generator.next(),
    return: (value) => {
      ending.end();
      return generator.return(value);
    },
    throw: (error) => {
      ending.end();
      return generator.throw(error);
    },
    [Symbol.asyncIterator]: () => iterator,
    [Symbol.asyncDispose]: async () => void (await iterator.return(undefined)),
  };
  return iterator;
}
