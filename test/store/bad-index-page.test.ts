/** An index block whose pages turn out bad while the store is used: rebuilt from the frames, and no answer changes. */
import assert from "node:assert/strict";
import { subscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { defineEvent, Store, type } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });

test("a bad page met by get, head, count, a key and a read changes no answer", async () => {
  const disk = new SimulatedDisk();
  const writing = await Store.open("/store", { disk, segmentBytesMax: 8192 });
  const ids: string[] = [];
  for (let n = 0; n < 300; n++) {
    const receipt = await writing.append({ entity: `e${n % 5}`, scope: `s${n % 3}` }, Noted({ n }), { idempotencyKey: `k${n}` });
    ids.push(receipt.id);
  }
  const segments = writing.segments().filter(({ sealed }) => sealed);
  assert(segments.length > 2);
  await writing.close();
  for (const { id, bytes } of segments) {
    const path = `/store/${String(id).padStart(6, "0")}.fbat`;
    // Pages lie right behind the frames; root and trailer, at the end, stay right.
    for (let at = bytes; at < disk.bytesOf(path).length - 600; at += 40) disk.corrupt(path, at, (byte) => byte ^ 1);
  }
  const rebuilt = new Set<unknown>();
  subscribe("batpak:index-rebuilt", (message) => rebuilt.add((message as { segmentId: unknown }).segmentId));
  const store = await Store.open("/store", { disk });
  for (const [n, id] of ids.entries()) assert.equal((await store.get(id))?.sequence, n);
  assert.equal(await store.count({ scope: "s1" }), 100);
  assert.equal((await store.head("e3"))?.sequence, 298);
  assert.deepEqual(
    (await store.read({ entity: "e2" }, { direction: "backward" }).toArray()).map((event) => event.clock),
    Array.from({ length: 60 }, (_, i) => 59 - i),
  );
  const again = await store.append({ entity: "e0", scope: "s0" }, Noted({ n: 0 }), { idempotencyKey: "k0" });
  assert.equal(again.id, ids[0]);
  assert.equal(rebuilt.size, segments.length, "every bad index was met and rebuilt");
  await store.close();
});
