/**
 * Watching a projection: its state now, then each time that events have changed it. Whoever is slow is given the newest state, not each one
 * in between: the fold goes on when the next state is asked for.
 */
import { onAbort } from "../base/on-abort.ts";
import { isStoreError } from "../base/store-error.ts";
import { Fold, type FoldSource, type Projected } from "./fold.ts";
import type { Projection } from "./projection.ts";

/** What watching needs beside folding. */
export interface WatchSource extends FoldSource {
  /** Calls back once when more that matches may be visible behind this sequence, or the store was closed; gives a function that calls it off. */
  onChange(callback: () => void, after: number): () => void;
  isClosed(): boolean;
  /** Whether the store is being closed, or is: its files are closed a little before it is. */
  isClosing(): boolean;
}

export async function* watch<State>(
  projection: Projection<State>,
  source: WatchSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Projected<State>, undefined> {
  try {
    yield* states(projection, source, signal);
  } catch (error) {
    // The store was closed while this one was behind: that ends it here as it does there.
    if (!source.isClosing() || !isStoreError(error, "CLOSED")) throw error;
  }
}

async function* states<State>(
  projection: Projection<State>,
  source: WatchSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Projected<State>, undefined> {
  signal?.throwIfAborted();
  const fold = new Fold(projection, source);
  await fold.restore(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  let seen = -1;
  for (;;) {
    const bound = source.visible();
    const { events } = fold.result;
    const first = seen < 0;
    await fold.advance(bound, { signal });
    seen = bound;
    if (first || fold.result.events > events) yield fold.result;
    while (source.visible() <= seen) {
      signal?.throwIfAborted();
      if (source.isClosed()) return;
      await changed(source, seen, signal);
    }
  }
}

/** Resolves when the bound may have moved; rejects when the signal is aborted. */
function changed(source: WatchSource, seen: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      cancel();
      reject(signal?.reason as Error);
    };
    const done = (): void => {
      keepOn();
      resolve();
    };
    const cancel = source.onChange(done, seen - 1);
    const keepOn = onAbort(signal, abort);
    // Looked at again now that the callback is in place.
    if (source.visible() > seen || source.isClosed()) {
      cancel();
      done();
    }
  });
}
