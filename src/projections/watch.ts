/**
 * Watching a projection: its state now, then each time that events have changed it. Whoever is slow is given the newest state, not each one
 * in between: the fold goes on when the next state is asked for.
 */
import { endable, type Ending, whenChanged } from "../base/endable.ts";
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

export function watch<State>(
  projection: Projection<State>,
  source: WatchSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Projected<State>, undefined> {
  return endable((ending) => watched(projection, source, signal, ending));
}

async function* watched<State>(
  projection: Projection<State>,
  source: WatchSource,
  signal: AbortSignal | undefined,
  ending: Ending,
): AsyncGenerator<Projected<State>, undefined> {
  try {
    yield* states(projection, source, signal, ending);
  } catch (error) {
    // The store was closed while this one was behind: that ends it here as it does there.
    if (!source.isClosing() || !isStoreError(error, "CLOSED")) throw error;
  }
}

/** Keeps a state on disk, folded for that alone: the one that is watched may have been changed by whoever was given it. */
async function keptAnew<State>(
  projection: Projection<State>,
  source: WatchSource,
  bound: number,
  signal: AbortSignal | undefined,
): Promise<Projected<State>> {
  const fold = new Fold(projection, source);
  await fold.restore(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  await fold.advance(bound, { signal });
  return fold.result;
}

async function* states<State>(
  projection: Projection<State>,
  source: WatchSource,
  signal: AbortSignal | undefined,
  ending: Ending,
): AsyncGenerator<Projected<State>, undefined> {
  signal?.throwIfAborted();
  const fold = new Fold(projection, source);
  await fold.restore(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  let seen = -1;
  let keepFrom = Number.POSITIVE_INFINITY;
  while (!ending.isEnded) {
    const bound = source.visible();
    const { events } = fold.result;
    const first = seen < 0;
    await fold.advance(bound, { signal, keep: first });
    seen = bound;
    if (first) keepFrom = fold.result.events + projection.snapshotEveryEvents;
    else if (fold.result.events >= keepFrom && source.writable && source.origin() !== null) {
      const { eventsRead } = await keptAnew(projection, source, bound, signal);
      // Where nothing could be kept, all of it was read: not again before as much has come.
      keepFrom = fold.result.events + Math.max(projection.snapshotEveryEvents, eventsRead);
    }
    if (first || fold.result.events > events) yield fold.result;
    while (source.visible() <= seen) {
      signal?.throwIfAborted();
      if (source.isClosed() || ending.isEnded) return;
      await whenChanged((callback) => source.onChange(callback, seen - 1), signal, ending);
    }
  }
}
