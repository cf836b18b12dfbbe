/** A disk that is full when a store that crashed is opened: nothing is lost, nothing is left behind however often it is tried, and with room it goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { Store } from "../../src/store.ts";
import type { Layout } from "../../src/store-options.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY } from "./driver.ts";

/** A store with a torn tail. */
async function torn(layout: Layout): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  // The same bytes each time: the last hash must not end in a zero, which would pass for one of those behind it.
  const sameEachTime = {
    clock: { nowMicros: () => 1_700_000_000_000_000, monotonicMs: () => 0 },
    random: (target: Uint8Array) => void target.fill(7),
  };
  const store = await Store.open(DIRECTORY, { disk, layout, durability: "os", checkpoint: false, ...sameEachTime });
  for (let n = 0; n < 5; n++) await store.append({ entity: "a", scope: "s" }, { kind: 0x1000, data: n });
  await store.sync();
  const segment = disk.paths().find((path) => path.endsWith("000001.fbat")) as string;
  const written = disk.bytesOf(segment);
  let end = written.length;
  while (written[end - 1] === 0) end--;
  disk.kill();
  await store.close().catch(() => {});
  const left = disk.diskAfterKill();
  left.put(segment, Buffer.concat([written.subarray(0, end), new Uint8Array(3000).fill(7)]));
  return left;
}

for (const layout of ["native", "batpak-0.3"] as const) {
  // Found by looking: each attempt left what it had copied of the torn tail behind, and so took what little room there was.
  test(`recovery on a full disk, tried again and again (${layout})`, async () => {
    const disk = await torn(layout);
    let refused = 0;
    for (let failing = 1; failing < 40; failing++) {
      const before = disk.paths();
      let changes = 0;
      disk.faults = ({ kind, path }) => {
        const grows = (kind === "write" && !path.endsWith("lock")) || (kind === "create" && !path.includes("/lock"));
        return grows && ++changes >= failing ? { error: "ENOSPC", afterBytes: 100 } : undefined;
      };
      const opened = await Store.open(DIRECTORY, { disk, layout, checkpoint: false }).catch((error: unknown) => error);
      disk.faults = undefined;
      if (opened instanceof Store) {
        await opened.close();
        break;
      }
      refused++;
      assert.ok(isStoreError(opened, "IO"), String(opened));
      const more = disk.paths().filter((path) => !before.includes(path) && !path.endsWith("/lock") && !path.endsWith("durable.mark"));
      assert.ok(more.length <= 1, `attempt ${failing} left ${more.join(", ")}`);
      const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
      assert.equal(await reader.count(), 5);
      await reader.close();
    }
    assert.ok(refused > 2, `${refused} openings were refused`);
    const kept = disk.paths().filter((path) => path.includes(".cut-"));
    assert.equal(kept.length, 1, kept.join(", "));
    const store = await Store.open(DIRECTORY, { disk });
    assert.equal(await store.count(), 5);
    await store.append({ entity: "a", scope: "s" }, { kind: 0x1000, data: "more" });
    await store.close();
    for (const left of disk.possibleDisks({ limit: 8 })) {
      const again = await Store.open(DIRECTORY, { disk: left });
      assert.equal(await again.count(), 6);
      await again.close();
    }
  });
}
