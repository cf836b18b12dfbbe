/** How many events an entity has: by its clock where that counts them, by the segments' indexes where events were removed, and never those in flight. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, type } from "./events/definition.ts";
import { convertStore } from "./convert.ts";
import { Store } from "./store.ts";
import { createMemoryDisk } from "./testing/memory-disk.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });
const at = (entity: string) => ({ entity, scope: "s" });

async function append(store: Store, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) await store.append(at(`e${n % 3}`), Noted({ n }));
}

test("an entity's events are counted without a look at any index page", async () => {
  const disk = createMemoryDisk();
  const options = { disk, segmentBytesMax: 4096 };
  const writing = await Store.open("/store", options);
  await append(writing, 0, 900);
  assert.ok(writing.segments().length > 30);
  assert.equal(await writing.count({ entity: "e1" }), 300);
  await writing.close();
  for (const readOnly of [false, true]) {
    const store = await Store.open("/store", { ...options, readOnly });
    const { indexPagesLoaded } = await store.stats();
    for (const entity of ["e0", "e1", "e2"]) assert.equal(await store.count({ entity }), 300);
    assert.equal(await store.count({ entity: "nobody" }), 0);
    assert.equal(await store.count({ entity: "_batpak" }), 0, "the store's own records are no events");
    assert.equal((await store.stats()).indexPagesLoaded, indexPagesLoaded);
    await store.close();
  }
});

test("an event that is in flight is not counted, and one that is refused never", async () => {
  const store = await Store.open("/store", { disk: createMemoryDisk() });
  await append(store, 0, 3);
  const appending = store.append(at("e1"), Noted({ n: 3 }));
  const first = store.append(at("new"), Noted({ n: 4 }));
  const refused = store.append(at("e2"), Noted({ n: 5 }), { expect: "none" });
  assert.deepEqual(await Promise.all(["e1", "new", "e2"].map((entity) => store.count({ entity }))), [1, 0, 1]);
  await Promise.all([appending, first]);
  await assert.rejects(refused, { code: "CONFLICT" });
  assert.deepEqual(await Promise.all(["e1", "new", "e2"].map((entity) => store.count({ entity }))), [2, 1, 1]);
  await store.close();
});

test("what compaction removed is not counted, also in what is appended to, opened anew or converted afterwards", async () => {
  const disk = createMemoryDisk();
  const options = { disk, segmentBytesMax: 4096 };
  let store = await Store.open("/store", options);
  await append(store, 0, 300);
  await store.compact({ query: { entity: "e1" } });
  const left = (await store.read({ entity: "e1" }).toArray()).length;
  assert.ok(left > 0 && left < 100, `${left} are left`);
  assert.equal(await store.count({ entity: "e1" }), left);
  await append(store, 300, 330);
  await store.close();
  store = await Store.open("/store", options);
  for (const [entity, count] of [
    ["e0", 110],
    ["e1", left + 10],
  ] as const)
    assert.equal(await store.count({ entity }), count);
  await store.close();
});

test("a store of the batpak 0.3 layout, and what is converted from it", async () => {
  const disk = createMemoryDisk();
  const Plain = defineEvent("Plain", { schema: type<{ n: number }>(), kind: { category: 0xf, type: 1 } });
  const store = await Store.open("/old", { disk, layout: "batpak-0.3", segmentBytesMax: 4096 });
  for (let n = 0; n < 90; n++) await store.append(at(`e${n % 3}`), Plain({ n }));
  assert.equal(await store.count({ entity: "e1" }), 30);
  await store.close();
  await convertStore("/old", "/new", { layout: "native", disk });
  const converted = await Store.open("/new", { disk, readOnly: true });
  assert.equal(await converted.count({ entity: "e1" }), 30);
  await converted.close();
});
