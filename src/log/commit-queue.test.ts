import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../base/store-error.ts";
import type { CommitGroup } from "./commit-group.ts";
import { CommitQueue } from "./commit-queue.ts";

const LARGE_BYTES = 200 * 1024;

/** A queue over a disk whose writes end when a test says so, and a clock that goes when a test says so. What happens is noted in order. */
class Bench {
  readonly happened: string[] = [];
  readonly errors = new Map<string, unknown>();
  nowMs = 0;
  #names = new Map<CommitGroup, string[]>();
  #ends: ((error?: Error) => void)[] = [];
  readonly queue = new CommitQueue({
    seal: (group) => void this.happened.push(`seal ${this.#nameOf(group)}`),
    mayOverlap: () => false,
    write: (group) => {
      this.happened.push(`write ${this.#nameOf(group)}`);
      return new Promise((resolve, reject) => this.#ends.push((error) => (error === undefined ? resolve() : reject(error))));
    },
    complete: () => {},
    publish: (isQuiet) => void this.happened.push(isQuiet ? "quiet" : "published"),
    roomMade: () => {},
    poisoned: () => {},
    monotonicMs: () => this.nowMs,
  });

  #nameOf(group: CommitGroup): string {
    return (this.#names.get(group) ?? []).join("+");
  }

  /** A batch that took so long to encode is accepted. */
  accept(name: string, encodedMs: number): void {
    this.nowMs += encodedMs;
    const group = this.queue.open ?? this.queue.begin();
    if (group.frames === 0) this.#names.set(group, []);
    this.#names.get(group)?.push(name);
    group.position += LARGE_BYTES;
    group.frames += 1000;
    group.waiters.push({
      firstFrame: 0,
      frames: 1000,
      committed: () => void this.happened.push(`told ${name}`),
      failed: (error) => void this.errors.set(name, error),
    });
    this.queue.schedule();
  }

  /** The write that was begun first ends now. Returns what happened since the last one did. */
  async endWrite(error?: Error): Promise<string[]> {
    const end = this.#ends.shift();
    assert.ok(end !== undefined, "a write is under way");
    this.happened.length = 0;
    end(error);
    await new Promise((resolve) => setImmediate(resolve));
    return [...this.happened];
  }
}

/** A bench whose disk was seen to take less time than encoding does, with `a` being written and three more accepted. */
async function behindQuickDisk(): Promise<Bench> {
  const bench = new Bench();
  bench.accept("first", 0);
  bench.accept("second", 3);
  await bench.endWrite();
  assert.deepEqual(bench.happened, ["quiet", "told first", "seal second", "write second"]);
  for (const name of ["a", "b", "c"]) bench.accept(name, 3);
  return bench;
}

test("behind a quick disk each large group is sealed by itself, and its write begins before anybody is told of the one before", async () => {
  const bench = await behindQuickDisk();
  assert.deepEqual(await bench.endWrite(), ["published", "write a", "told second"]);
  bench.accept("d", 3);
  assert.deepEqual(await bench.endWrite(), ["published", "write b", "told a"]);
  assert.deepEqual(await bench.endWrite(), ["published", "write c", "told b"]);
  assert.deepEqual(await bench.endWrite(), ["published", "write d", "told c"]);
  assert.deepEqual(await bench.endWrite(), ["quiet", "told d"]);
  assert.ok(bench.queue.isIdle);
  assert.equal(bench.queue.queuedBytes, 0);
});

test("behind a disk that takes longer than encoding large groups gather", async () => {
  const bench = new Bench();
  for (const name of ["a", "b", "c"]) bench.accept(name, 1);
  bench.nowMs += 20;
  assert.deepEqual(await bench.endWrite(), ["quiet", "told a", "seal b+c", "write b+c"]);
  for (const name of ["d", "e"]) bench.accept(name, 1);
  bench.nowMs += 20;
  assert.deepEqual(await bench.endWrite(), ["quiet", "told b", "told c", "seal d+e", "write d+e"]);
});

test("four groups are in flight at the most: the next one gathers meanwhile", async () => {
  const bench = await behindQuickDisk();
  for (const name of ["d", "e", "f"]) bench.accept(name, 3);
  assert.equal(bench.queue.flying.length, 4);
  assert.deepEqual(await bench.endWrite(), ["published", "write a", "told second", "seal d+e+f"]);
});

test("a failed write: the group that was being written is unknown, those that waited were never stored, and nothing is written any more", async () => {
  const bench = await behindQuickDisk();
  bench.accept("d", 3);
  assert.deepEqual(await bench.endWrite(new Error("EIO")), []);
  assert.ok(isStoreError(bench.errors.get("second"), "COMMIT_UNKNOWN"));
  for (const name of ["a", "b", "c", "d"]) assert.ok(isStoreError(bench.errors.get(name), "POISONED"), name);
  assert.equal(bench.queue.queuedBytes, 0);
});

test("draining ends what is in flight, sealed or not, and begins nothing until it is quiet", async () => {
  const bench = await behindQuickDisk();
  bench.queue.drain();
  bench.accept("d", 3);
  bench.accept("e", 3);
  assert.deepEqual(await bench.endWrite(), ["published", "write a", "told second"]);
  await bench.endWrite();
  await bench.endWrite();
  assert.deepEqual(await bench.endWrite(), ["quiet", "told c", "seal d+e", "write d+e"]);
});
