/** Checkpoints that are asked for: alone, together, and while a commit is in flight. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, Store, type } from "../../src/index.ts";
import { openMemoryStore } from "../../src/testing/memory-store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { stop } from "./support/hooked-disk.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });
const at = { entity: "a", scope: "s" };

// Two at once on an idle store: the second met the first one's write, and waited for a commit that never came.
test("checkpoints asked for together are all written, with no append to wake them", { timeout: 10_000 }, async () => {
  const store = await openMemoryStore();
  await store.append(at, Noted({ n: 0 }));
  await Promise.all([store.checkpoint(), store.checkpoint(), store.checkpoint()]);
  assert.equal((await store.stats()).checkpoints, 3);
  await store.close();
});

test("a checkpoint asked for while a commit is in flight is written when it ends", { timeout: 10_000 }, async () => {
  const store = await openMemoryStore();
  const appended = Promise.all(Array.from({ length: 50 }, (_, n) => store.append(at, Noted({ n }))));
  await new Promise((resolve) => process.nextTick(resolve));
  await Promise.all([store.checkpoint(), store.checkpoint(), appended]);
  assert((await store.stats()).checkpoints > 0);
  await store.close();
});

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

// The heads were ahead by what had failed, and no group was left to say by how much: the next writer went on from clocks that no event had.
test("a checkpoint that waits for another one is refused where the store is poisoned meanwhile", { timeout: 10_000 }, async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk });
  await store.append(at, Noted({ n: 0 }));
  const first = stop();
  disk.faults = ({ kind, path }) => (kind === "sync" && path.includes(".tmp") ? { until: first.here() } : undefined);
  const written = store.checkpoint();
  await first.reached;
  const refused = assert.rejects(store.checkpoint(), { code: "POISONED" });
  disk.faults = ({ kind, path }) => (kind === "write" && path.endsWith(".fbat") ? { error: "EIO" } : undefined);
  await assert.rejects(store.append(at, Noted({ n: 1 })), { code: "COMMIT_UNKNOWN" });
  disk.faults = undefined;
  first.open();
  await written;
  await refused;
  await assert.rejects(store.close(), { code: "POISONED" });
  const again = await Store.open("/store", { disk, events: [Noted] });
  assert.equal((await again.append(at, Noted({ n: 2 }), { expect: { clock: 0 } })).clock, 1);
  assert.deepEqual((await again.verify()).problems, []);
  await again.close();
});

// Close gave up the lock, and the checkpoint took its name when the next writer had changed the log.
test("close answers the checkpoints that were asked for before it, and leaves no file open", { timeout: 10_000 }, async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk });
  await store.append(at, Noted({ n: 0 }));
  const [first, second] = [stop(), stop()];
  const left = [first, second];
  disk.faults = ({ kind, path }) => {
    const next = kind === "sync" && path.includes(".tmp") ? left.shift() : undefined;
    return next === undefined ? undefined : { until: next.here() };
  };
  const written = [store.checkpoint()];
  await first.reached;
  await store.append(at, Noted({ n: 1 }));
  written.push(store.checkpoint());
  let isClosed = false;
  const closing = store.close().then(() => {
    isClosed = true;
  });
  first.open();
  await second.reached;
  await turn();
  assert(!isClosed, "the second one is being written");
  second.open();
  await closing;
  await Promise.all(written);
  assert.equal(disk.openFileCount, 0);
});
