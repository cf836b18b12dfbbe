/** Lets the event loop turn: what takes long is done in steps with a rest between them. */
export function rest(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Goes through the steps, with a rest after each; gives the result. */
export async function inSteps<Result>(steps: Iterator<unknown, Result, undefined>): Promise<Result> {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    await rest();
  }
}

/** The result of the steps, without a rest. */
export function atOnce<Result>(steps: Iterator<unknown, Result, undefined>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Sorts in steps, with a rest between them; gives a new list. */
export async function sortedInSteps<Item>(
  items: readonly Item[],
  compare: (a: Item, b: Item) => number,
  pause: () => Promise<void>,
): Promise<Item[]> {
  let runs: Item[][] = [];
  for (let from = 0; from < items.length; from += ITEMS_PER_STEP) {
    runs.push(items.slice(from, from + ITEMS_PER_STEP).sort(compare));
    await pause();
  }
  while (runs.length > 1) {
    const merged: Item[][] = [];
    for (let i = 0; i < runs.length; i += 2)
      merged.push(i + 1 < runs.length ? await mergedRuns(runs[i], runs[i + 1], compare, pause) : runs[i]);
    runs = merged;
  }
  return runs[0] ?? [];
}

const ITEMS_PER_STEP = 4096;

async function mergedRuns<Item>(
  left: readonly Item[],
  right: readonly Item[],
  compare: (a: Item, b: Item) => number,
  pause: () => Promise<void>,
): Promise<Item[]> {
  const merged: Item[] = [];
  let [l, r] = [0, 0];
  while (l < left.length || r < right.length) {
    const takesLeft = r === right.length || (l < left.length && compare(left[l], right[r]) <= 0);
    merged.push(takesLeft ? left[l++] : right[r++]);
    if (merged.length % ITEMS_PER_STEP === 0) await pause();
  }
  return merged;
}
