/** A payload's getter runs while the payload is encoded where it will be written: whatever it does there, the store stays whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError, Store } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const at = { entity: "a", scope: "s" };
const event = (data: unknown): { kind: number; data: unknown } => ({ kind: 0x1001, data });

for (const layout of ["native", "batpak-0.3"] as const) {
  test(`a getter that appends does not disturb the append that it is of (${layout})`, async () => {
    const disk = new SimulatedDisk();
    const store = await Store.open("/store", { disk, layout });
    const inner: Promise<unknown>[] = [];
    const data = {
      before: 1,
      get other() {
        inner.push(store.append(at, event({ inner: true })), store.append(at, [event({ inner: true }), event(1)]));
        return 2;
      },
      after: 3,
    };
    const receipts = await Promise.all([store.append(at, event(data)), store.append(at, event(4))]);
    const answers = await Promise.allSettled(inner);
    assert.equal(answers.length, 2);
    for (const answer of answers) assert.ok(answer.status === "rejected" && isStoreError(answer.reason, "PAYLOAD_UNSUPPORTED"));
    await store.close();
    const again = await Store.open("/store", { disk, checkpoint: false });
    const events = await again.read().toArray();
    assert.deepEqual(
      events.map(({ id }) => id),
      receipts.map(({ id }) => id),
    );
    assert.deepEqual(
      events.map((one) => one.data),
      [{ before: 1, other: 2, after: 3 }, 4],
    );
    assert.ok((await again.verify()).ok);
    await again.close();
  });

  test(`a getter that closes the store and throws holds up nobody (${layout})`, { timeout: 10_000 }, async () => {
    const store = await Store.open("/store", { disk: new SimulatedDisk(), layout });
    const closed: Promise<void>[] = [];
    const data = {
      get other() {
        closed.push(store.close());
        throw new Error("no value");
      },
    };
    await assert.rejects(store.append(at, event(data)));
    await Promise.all(closed);
  });
}
