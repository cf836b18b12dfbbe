/** Looking for more in a read-only store, where writes are told of and where they are not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedPoll } from "./shared-poll.ts";

const NEVER_MS = 1 << 27;

/** A file that is watched and looked at, and what that took. */
class Watched {
  looks = 0;
  watches = 0;
  more = false;
  tells = true;
  written: ((isGone?: boolean) => void) | null = null;

  readonly look = async (): Promise<boolean> => {
    this.looks++;
    await Promise.resolve();
    return this.more;
  };

  write(): void {
    this.written?.();
  }

  readonly watch = (written: (isGone: boolean) => void): (() => void) | null => {
    if (!this.tells) return null;
    assert.equal(this.written, null, "one watch at a time");
    this.watches++;
    this.written = (isGone = false) => written(isGone);
    return () => {
      this.written = null;
    };
  };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
}

test("a look follows what was written, and none what was not; whoever waits wakes up", async () => {
  const file = new Watched();
  const poll = new SharedPoll(file.look, NEVER_MS, file.watch);
  let woken = 0;
  poll.onNext(() => woken++);
  await settled();
  assert.equal(file.looks, 1, "what was written before the watch");
  for (let writes = 0; writes < 100; writes++) file.written?.();
  await settled();
  assert(file.looks <= 3, `${file.looks} looks for writes in a row`);
  assert.equal(woken, 0);
  file.more = true;
  file.written?.();
  while (woken === 0) await settled();
  assert.deepEqual([woken, poll.waiting, file.watches], [1, 0, 1]);
});

test("what is written while nobody waits ends the watch, and is looked at when somebody does", async () => {
  const file = new Watched();
  const poll = new SharedPoll(file.look, NEVER_MS, file.watch);
  file.more = true;
  await new Promise<void>((resolve) => poll.onNext(resolve));
  const { looks } = file;
  assert(file.written !== null, "who reads will wait again");
  file.written();
  assert.equal(file.written, null);
  await settled();
  assert.equal(file.looks, looks);
  await new Promise<void>((resolve) => poll.onNext(resolve));
  assert.deepEqual([file.looks, file.watches], [looks + 1, 2]);
  poll.onNext(() => assert.fail("called off"))();
  file.write();
  await settled();
  assert.deepEqual([file.written, file.looks], [null, looks + 1], "nothing is left behind");
});

test("who waits again and again has one watch, and the end of the store ends it", async () => {
  const file = new Watched();
  const poll = new SharedPoll(file.look, NEVER_MS, file.watch);
  for (let events = 0; events < 20; events++) {
    const woken = new Promise<void>((resolve) => {
      const cancel = poll.onNext(() => {
        cancel();
        resolve();
      });
    });
    await settled();
    file.more = true;
    file.written?.();
    await woken;
  }
  assert.deepEqual([file.watches, file.looks], [1, 21]);
  assert(file.written !== null);
  poll.open();
  assert.equal(file.written, null);
});

test("writes during the look that wakes the last who waits leave no watch behind", async () => {
  const file = new Watched();
  file.more = true;
  const look = async (): Promise<boolean> => {
    file.written?.();
    return await file.look();
  };
  const poll = new SharedPoll(look, NEVER_MS, file.watch);
  await new Promise<void>((resolve) => poll.onNext(resolve));
  file.written?.();
  assert.equal(file.written, null);
});

test("a file that is gone is watched anew by who waits next", async () => {
  const file = new Watched();
  const poll = new SharedPoll(file.look, 2, file.watch);
  let woken = 0;
  poll.onNext(() => woken++);
  await settled();
  file.written?.(true);
  assert.deepEqual([file.written, poll.waiting], [null, 1]);
  file.more = true;
  while (woken === 0) await settled();
  poll.onNext(() => {});
  assert.equal(file.watches, 2);
  poll.open();
});

test("looks rest longer while each finds more that was written meanwhile, and a look that fails is tried again soon", async () => {
  const file = new Watched();
  let fails = false;
  const look = async (): Promise<boolean> => {
    file.written?.();
    if (fails) throw new Error("the disk");
    return await file.look();
  };
  const poll = new SharedPoll(look, 40, file.watch);
  file.more = true;
  const next = (): Promise<void> => new Promise((resolve) => poll.onNext(resolve));
  for (let n = 0; n < 7; n++) await next();
  const started = performance.now();
  for (let n = 0; n < 3; n++) await next();
  assert(performance.now() - started >= 3 * 35, "as long as the timer's time");
  fails = true;
  const last = next();
  await settled();
  fails = false;
  await last;
});

test("what is written during a look is looked at again", async () => {
  let looks = 0;
  let written: () => void = () => {};
  const look = async (): Promise<boolean> => {
    if (++looks === 1) written();
    await Promise.resolve();
    return looks === 2;
  };
  const poll = new SharedPoll(look, NEVER_MS, (callback) => {
    written = () => callback(false);
    return () => {};
  });
  await new Promise<void>((resolve) => poll.onNext(resolve));
  assert.equal(looks, 2);
});

test("where nothing is told of, or no longer, the timer looks", async () => {
  const file = new Watched();
  file.tells = false;
  const poll = new SharedPoll(file.look, 2, file.watch);
  file.more = true;
  await new Promise<void>((resolve) => poll.onNext(resolve));
  assert.equal(file.looks, 1);
  file.tells = true;
  await new Promise<void>((resolve) => poll.onNext(resolve));
  // The watch is there, and silent.
  for (let round = 0; round < 3; round++) await new Promise<void>((resolve) => poll.onNext(resolve));
  assert.equal(file.looks, 5);
  poll.open();
  assert.equal(file.written, null);
});
