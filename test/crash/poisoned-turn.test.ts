/**
 * A store that is poisoned while it turns to a new segment: closing waits for what was begun, and nothing is written once the directory's lock may be
 * somebody else's. An old turn that went on would write over what the next writer acknowledged.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError, type Layout, rawEvent, Store } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

/** One batch fills a segment. */
const batch = Array.from({ length: 40 }, (_, n) => ({
  coordinate: { entity: `entity:${n}`, scope: "s" },
  event: rawEvent(0xf001, { pad: "x".repeat(500) }),
}));

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

for (const layout of ["native", "batpak-0.3"] as const satisfies readonly Layout[]) {
  for (const held of ["create", "write", "sync"] as const) {
    test(`${layout}: poisoned while the next segment's ${held} is under way`, async () => {
      const disk = new SimulatedDisk();
      const options = { disk, layout, segmentBytesMax: 16 * 1024 };
      const store = await Store.open("/store", options);
      await store.appendBatch(batch);
      let release = (): void => {};
      let isHeld = false;
      disk.faults = ({ kind, path }) => {
        if (path.endsWith("durable.mark") && kind === "write") return { error: "EIO" };
        if (isHeld || kind !== held || !path.endsWith("2.fbat")) return undefined;
        isHeld = true;
        return { until: new Promise<void>((resolve) => (release = resolve)) };
      };
      const answer = store.appendBatch(batch).catch((error: unknown) => error);
      await turns(30);
      assert.ok(isHeld, "the turn is under way");
      await assert.rejects(store.sync(), (error) => isStoreError(error, "POISONED"));
      assert.ok(isStoreError(await answer, "COMMIT_UNKNOWN"));
      let closed = false;
      const closing = store.close().catch((error: unknown) => {
        closed = true;
        return error;
      });
      await turns(30);
      assert.equal(closed, false, "closing waits for the turn");
      disk.faults = undefined;
      release();
      assert.ok(isStoreError(await closing, "POISONED"));

      let changes = 0;
      disk.faults = () => {
        changes++;
        return undefined;
      };
      await turns(50);
      assert.equal(changes, 0, "nothing is done once it is closed");
      const next = await Store.open("/store", options);
      await next.append({ entity: "new", scope: "s" }, rawEvent(0xf001, "acknowledged"));
      await next.close();
      const third = await Store.open("/store", options);
      assert.equal((await third.read({ entity: "new" }).toArray()).length, 1);
      assert.ok((await third.verify()).ok);
      await third.close();
    });
  }
}
