import assert from "node:assert/strict";
import { test } from "node:test";
import { onAbort } from "./on-abort.ts";

/** How often listeners were added to the signal and taken from it. */
function watched(signal: AbortSignal): { added: number; removed: number } {
  const counts = { added: 0, removed: 0 };
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...given: Parameters<typeof addEventListener>) => {
    counts.added++;
    addEventListener.apply(signal, given);
  };
  signal.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
    counts.removed++;
    removeEventListener.apply(signal, given);
  };
  return counts;
}

test("all who wait are called once, in their order, by one listener; who took it back is not", () => {
  const { signal, abort } = controller();
  const counts = watched(signal);
  const called: number[] = [];
  const cancels = Array.from({ length: 100 }, (_, n) => onAbort(signal, () => called.push(n)));
  for (const n of [0, 50, 99]) cancels[n]?.();
  cancels[50]?.();
  abort();
  abort();
  assert.deepEqual(
    called,
    Array.from({ length: 100 }, (_, n) => n).filter((n) => ![0, 50, 99].includes(n)),
  );
  assert.deepEqual(counts, { added: 1, removed: 0 });
  for (const cancel of cancels) cancel();
});

test("where nobody waits any more nothing listens, and the next one is called all the same", () => {
  const { signal, abort } = controller();
  const counts = watched(signal);
  const first = onAbort(signal, () => assert.fail("it was taken back"));
  first();
  assert.deepEqual(counts, { added: 1, removed: 1 });
  let called = 0;
  onAbort(signal, () => called++);
  // Of those who came before.
  first();
  abort();
  assert.equal(called, 1);
});

test("one that takes another back while they are called keeps it from being called", () => {
  const { signal, abort } = controller();
  const called: string[] = [];
  onAbort(signal, () => {
    called.push("first");
    second();
  });
  const second = onAbort(signal, () => called.push("second"));
  onAbort(signal, () => called.push("third"));
  abort();
  assert.deepEqual(called, ["first", "third"]);
});

test("without a signal, or with one that is aborted already, nothing is called", () => {
  for (const signal of [null, undefined, AbortSignal.abort()]) onAbort(signal, () => assert.fail("called"))();
});

function controller(): { signal: AbortSignal; abort(): void } {
  const made = new AbortController();
  return { signal: made.signal, abort: () => made.abort() };
}
