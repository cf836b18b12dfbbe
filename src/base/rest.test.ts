import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { TurnCounter } from "../testing/turn-counter.ts";
import { besideOthers, Pace, TurnShare } from "./rest.ts";

/** Keeps the processor busy for so long. */
function work(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

test("work beside others' goes on for a part of what they take, and rests after each step where they take nothing", async () => {
  let now = 0;
  const pace = new Pace(() => now);
  assert.equal(pace.isDue, true, "nobody knows yet");
  await pace.rest();
  assert.equal(pace.isDue, true, "they take nothing");

  const othersTake = async (milliseconds: number): Promise<void> => {
    setImmediate(() => {
      now += milliseconds;
    });
    await pace.rest();
  };
  await othersTake(6);
  assert.equal(pace.isDue, false);
  now += 1.5;
  assert.equal(pace.isDue, false);
  now += 0.5;
  assert.equal(pace.isDue, true, "a third of it is worked");

  await othersTake(600);
  now += 2.9;
  assert.equal(pace.isDue, false);
  now += 0.2;
  assert.equal(pace.isDue, true, "no pause gets long by it");
});

test("work that is behind goes on for twice as long", async () => {
  let now = 0;
  let isBehind = false;
  const pace = new Pace(
    () => now,
    () => isBehind,
  );
  const workedMs = async (): Promise<number> => {
    setImmediate(() => {
      now += 6;
    });
    await pace.rest();
    const start = now;
    while (!pace.isDue) now += 0.5;
    return now - start;
  };
  assert.equal(await workedMs(), 2);
  isBehind = true;
  assert.equal(await workedMs(), 4);
});

test("steps beside others' work are all taken, and their result is given", async () => {
  const steps = function* (): Generator<number, string> {
    for (let step = 0; step < 20; step++) {
      work(1);
      yield step;
    }
    return "done";
  };
  const counter = new TurnCounter();
  assert.equal(await besideOthers(steps()), "done");
  const turns = counter.stop();
  assert.ok(turns > 1, `${turns} turns`);
});

test("those who wait for a turn go on in their order, and where some always wait, none that has gone on is held", async () => {
  const share = new TurnShare(64);
  share.spend(64);
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 100 }, async (_, n) => {
      await share.wait();
      share.spend(1);
      order.push(n);
    }),
  );
  assert.deepEqual(
    order,
    Array.from({ length: 100 }, (_, n) => n),
  );
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const held = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = held();
  let most = 0;
  const reader = async (n: number): Promise<void> => {
    for (let round = 1; round <= 5000; round++) {
      await share.wait();
      share.spend(1);
      if (n === 0 && round === 4900) most = held() - before;
    }
  };
  await Promise.all(Array.from({ length: 64 }, (_, n) => reader(n)));
  assert.ok(most < 4 * 1024 * 1024, `${most} bytes`);
});

test("a turn in which a disk is waited for ends after some milliseconds, in a row and side by side, and quick work is given all of its share", async () => {
  let now = 1000;
  const share = new TurnShare(4096, () => now);
  const take = async (ms: number): Promise<void> => {
    const turn = share.wait();
    if (turn !== null) await turn;
    now += ms;
    share.spend(1);
  };
  const turnsOf = async (ms: number, isSideBySide: boolean): Promise<number> => {
    const counter = new TurnCounter();
    if (isSideBySide) await Promise.all(Array.from({ length: 1024 }, () => take(ms)));
    else for (let n = 0; n < 1024; n++) await take(ms);
    return counter.stop();
  };
  for (const isSideBySide of [false, true]) {
    const quick = await turnsOf(0.001, isSideBySide);
    assert.ok(quick <= 2, `${quick} turns`);
    const slow = await turnsOf(0.5, isSideBySide);
    assert.ok(slow >= 16, `${slow} turns, 32 looks apart`);
  }
});
