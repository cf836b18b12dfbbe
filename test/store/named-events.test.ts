/** Events that another one correlates or caused: looked for behind that one, where the writer issued its id, and everywhere where somebody gave it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rawEvent } from "../../src/events/definition.ts";
import type { ImportRecord } from "../../src/index.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";

const at = (entity: string) => ({ entity, scope: "s" });

async function pagesOf(store: Store, read: () => Promise<unknown>): Promise<number> {
  const before = (await store.stats()).indexPagesLoaded;
  await read();
  return (await store.stats()).indexPagesLoaded - before;
}

/** So many events that no other names, in segments of a few each. */
async function fill(store: Store, events: number): Promise<void> {
  for (let n = 0; n < events; n += 20) {
    await store.append(
      at("filler"),
      Array.from({ length: 20 }, (_, i) => rawEvent(0xf001, n + i)),
    );
  }
}

test("what a late event caused is found without a look at the segments before it, whatever it is asked by", async () => {
  const disk = createMemoryDisk();
  const options = { disk, segmentBytesMax: 4096, durability: "os" as const };
  const writing = await Store.open("/store", options);
  await fill(writing, 4000);
  const root = await writing.append(at("root"), rawEvent(0xf001, "root"));
  const child = await writing.append(at("child"), rawEvent(0xf001, "child"), { causedBy: root.id });
  await writing.append(at("grandchild"), rawEvent(0xf001, "grandchild"), { causedBy: child.id });
  await fill(writing, 400);
  assert.ok(writing.segments().length > 200);
  await writing.close();
  const queries = [
    { correlation: root.id },
    { causedBy: root.id },
    { causedBy: child.id },
    { correlation: root.id, causedBy: child.id },
    [{ correlation: root.id }, { causedBy: child.id }],
  ];
  const found = [["root", "child", "grandchild"], ["child"], ["grandchild"], ["grandchild"], ["root", "child", "grandchild"]];
  for (const [i, query] of queries.entries()) {
    const store = await Store.open("/store", { ...options, readOnly: true });
    const pages = await pagesOf(store, async () => {
      assert.deepEqual(
        (await store.read(query).toArray()).map(({ data }) => data),
        found[i],
      );
      assert.equal(await store.count(query), found[i]!.length);
      assert.deepEqual(
        (await store.read(query, { direction: "backward" }).toArray()).map(({ data }) => data),
        found[i]!.toReversed(),
      );
    });
    assert.ok(pages < 120, `${pages} pages`);
    await store.close();
  }
});

test("where ids were given, what names an event may stand before it", async () => {
  const store = await Store.open("/store", { disk: createMemoryDisk(), segmentBytesMax: 4096 });
  const cause = "0190a000-0000-7000-8000-00000000000a";
  const effect = "0190a000-0000-7000-8000-000000000001";
  const record = (event_id: string, entity: string): ImportRecord => ({ event_id, entity, scope: "s", kind: 0xf001, payload: entity });
  await store.import([{ ...record(effect, "effect"), correlation_id: cause, causation_id: cause }]);
  await fill(store, 200);
  await store.import([record(cause, "cause")]);
  await fill(store, 200);
  assert.deepEqual(
    (await store.read({ causedBy: cause }).toArray()).map(({ data }) => data),
    ["effect"],
  );
  assert.deepEqual(
    (await store.read({ correlation: cause }).toArray()).map(({ data }) => data),
    ["effect", "cause"],
  );
  // Of an id that no event has, too.
  const trace = "0190a000-0000-7000-8000-0000000000ff";
  await store.append(at("traced"), rawEvent(0xf001, "traced"), { correlationId: trace });
  assert.deepEqual(
    (await store.read({ correlation: trace }).toArray()).map(({ data }) => data),
    ["traced"],
  );
  await store.close();
});

test("what was removed by compaction is named all the same", async () => {
  const store = await Store.open("/store", { disk: createMemoryDisk(), segmentBytesMax: 4096 });
  await fill(store, 100);
  const root = await store.append(at("root"), rawEvent(0xf001, "root"));
  await store.append(at("root"), rawEvent(0xf001, "later"));
  await store.append(at("child"), rawEvent(0xf002, "child"), { causedBy: root.id });
  await fill(store, 200);
  await store.compact({ keep: ({ sequence }) => sequence !== root.sequence });
  assert.equal(await store.get(root.id), null);
  assert.deepEqual(
    (await store.read({ causedBy: root.id }).toArray()).map(({ data }) => data),
    ["child"],
  );
  await store.close();
});

test("what a damaged event caused is read, where that is whole", async () => {
  const disk = createMemoryDisk();
  const options = { disk, segmentBytesMax: 4096 };
  const writing = await Store.open("/store", options);
  await fill(writing, 40);
  const { id } = await writing.append(at("root"), rawEvent(0xf001, "the one that is damaged"));
  await fill(writing, 40);
  await writing.append(at("child"), rawEvent(0xf001, "child"), { causedBy: id });
  await fill(writing, 40);
  const damaged = writing.segments()[1]!;
  await writing.close();
  const path = `/store/${String(damaged.id).padStart(6, "0")}.fbat`;
  const file = await disk.open(path, "write");
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0, bytes.length, 0);
  const place = bytes.indexOf("the one that is damaged");
  assert.ok(place > 0);
  file.writeSync(Uint8Array.of(0x21), 0, 1, place);
  await file.close();
  const store = await Store.open("/store", { ...options, readOnly: true });
  await assert.rejects(store.get(id), { code: "CORRUPT" });
  assert.deepEqual(
    (await store.read({ causedBy: id }).toArray()).map(({ data }) => data),
    ["child"],
  );
  await store.close();
});
