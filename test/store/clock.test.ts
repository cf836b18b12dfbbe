/** A machine's clock that tells what no event can have for its time. */
import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { defineEvent, type } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const Noted = defineEvent("Noted", { kind: 0xf001, schema: type<{ n: number }>() });
const at = { entity: "e", scope: "s" };

afterEach(() => mock.restoreAll());

// Found here: one such reading made events that were acknowledged and could not be read, and the store did not open again.
for (const wrongMs of [Number.MAX_SAFE_INTEGER / 1000 + 1, 2 ** 48, Number.NaN, Number.POSITIVE_INFINITY]) {
  for (const layout of ["native", "batpak-0.3"] as const) {
    for (const durability of ["fsync", "os"] as const) {
      test(`a clock that tells ${wrongMs} ms loses nothing (${layout}, ${durability})`, async () => {
        const disk = new SimulatedDisk();
        const open = (): ReturnType<typeof Store.open> => Store.open("/store", { disk, layout, durability, segmentBytesMax: 4096 });
        const before = Date.now();
        let store = await open();
        await store.append(at, Noted({ n: 0 }));
        mock.method(Date, "now", () => wrongMs);
        // Enough for some segments to be begun under such a clock.
        for (let n = 1; n <= 40; n++) await store.append(at, Noted({ n }));
        await store.close();
        store = await open();
        await store.append(at, Noted({ n: 41 }));
        mock.restoreAll();
        const last = await store.append(at, Noted({ n: 42 }));
        assert.ok(last.timestamp >= before && last.timestamp <= Date.now(), String(last.timestamp));
        await store.close();
        store = await open();
        const read = await store.read({ entity: "e" }).toArray();
        assert.deepEqual(
          read.map(({ data }) => (data as { n: number }).n),
          Array.from({ length: 43 }, (_, n) => n),
        );
        assert.equal((await store.verify()).ok, true);
        await store.close();
      });
    }
  }
}

for (const micros of [1_700_000_000_000_999.5, -5, Number.NEGATIVE_INFINITY]) {
  for (const layout of ["native", "batpak-0.3"] as const) {
    test(`a given clock that tells ${micros} µs loses nothing, and times are whole (${layout})`, async () => {
      const disk = new SimulatedDisk();
      const clock = { nowMicros: () => micros, monotonicMs: () => performance.now() };
      for (let n = 0; n < 3; n++) {
        const store = await Store.open("/store", { disk, layout, clock });
        const { timestamp } = await store.append(at, Noted({ n }));
        assert.ok(Number.isInteger(timestamp) && timestamp >= 0);
        assert.equal(await store.count({ time: { from: timestamp, to: timestamp } }), n + 1);
        assert.equal((await store.verify()).ok, true);
        await store.close();
      }
    });
  }
}

test("a store that is made under such a clock opens", async () => {
  mock.method(Date, "now", () => Number.NaN);
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk });
  await store.append(at, Noted({ n: 1 }));
  await store.close();
  mock.restoreAll();
  const again = await Store.open("/store", { disk });
  assert.equal(await again.count(), 1);
  await again.close();
});
