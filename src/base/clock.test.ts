import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { believableClock, systemClock } from "./clock.ts";

test("the time is within the wall clock's millisecond, and its microseconds move", () => {
  const micros = new Set<number>();
  for (let i = 0; i < 2000; i++) {
    const before = Date.now();
    const now = systemClock.nowMicros();
    const after = Date.now();
    assert.ok(Number.isInteger(now));
    assert.ok(now >= before * 1000 && now < (after + 1) * 1000, `${now} lies between ${before} and ${after}`);
    micros.add(now % 1000);
  }
  assert.ok(micros.size > 10);
});

test("the time follows a wall clock that is set, forwards and back", () => {
  const real = Date.now();
  for (const jumpMs of [3_600_000, -86_400_000, 0]) {
    mock.method(Date, "now", () => real + jumpMs);
    const now = systemClock.nowMicros();
    mock.restoreAll();
    assert.equal(Math.floor(now / 1000), real + jumpMs);
  }
});

test("the monotonic clock counts milliseconds", async () => {
  const before = systemClock.monotonicMs();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const passed = systemClock.monotonicMs() - before;
  assert.ok(passed >= 15, `${passed} ms passed`);
});

test("a clock that tells no time stands still, and goes on with the next one that it tells", () => {
  const told = [1000, Number.MAX_SAFE_INTEGER + 1, Number.NaN, Number.POSITIVE_INFINITY, 900, Number.MAX_SAFE_INTEGER];
  const clock = believableClock({ nowMicros: () => told.shift() as number, monotonicMs: () => 7 });
  assert.deepEqual(
    Array.from({ length: 6 }, () => clock.nowMicros()),
    [1000, 1000, 1000, 1000, 900, Number.MAX_SAFE_INTEGER],
  );
  assert.equal(clock.monotonicMs(), 7);
});
