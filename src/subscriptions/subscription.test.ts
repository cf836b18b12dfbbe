/** Subscriptions, on the real store. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { defineEvent, type } from "../events/definition.ts";
import { Store } from "../store.ts";
import { openMemoryStore } from "../testing/memory-store.ts";

const Ticked = defineEvent("Ticked", { schema: type<{ n: number }>() });
const at = (entity: string): { entity: string; scope: string } => ({ entity, scope: "test" });

test("a subscription gives what is there and what comes, without a gap or a duplicate", async () => {
  const store = await openMemoryStore();
  const total = 500;
  const seen: number[] = [];
  await Promise.all(Array.from({ length: 100 }, (_, n) => store.append(at("a"), Ticked({ n }))));
  const following = (async () => {
    for await (const event of store.subscribe({ kind: Ticked })) {
      seen.push(event.data.n);
      if (seen.length === total) return;
    }
  })();
  for (let n = 100; n < total; n += 4) {
    await Promise.all([0, 1, 2, 3].map((more) => store.append(at(more % 2 === 0 ? "a" : "b"), Ticked({ n: n + more }))));
  }
  await following;
  assert.deepEqual(seen, [...Array(total).keys()]);
  await store.close();
});

test("a definition that nobody has used yet is followed once it is learnt", async () => {
  const store = await openMemoryStore();
  const first = store.subscribe({ kind: Ticked })[Symbol.asyncIterator]().next();
  await store.append(at("a"), Ticked({ n: 1 }));
  const result = await first;
  assert.equal(result.done, false);
  assert.equal(result.value?.data.n, 1);
  await store.close();
});

test("a subscription and a consumer go by their query as it was, whatever becomes of the object", async () => {
  const store = await openMemoryStore();
  const query = { entity: "a" };
  const subscription = store.subscribe(query)[Symbol.asyncIterator]();
  const consumer = await store.consumer("c", query);
  query.entity = "b";
  // Learning its kind has the queries compiled again.
  await store.append(at("b"), Ticked({ n: 1 }));
  await store.append(at("a"), Ticked({ n: 2 }));
  assert.equal((await subscription.next()).value?.entity, "a");
  assert.equal((await consumer[Symbol.asyncIterator]().next()).value?.entity, "a");
  assert.equal(await consumer.lag(), 1);
  await store.close();
});

test("a subscription begins behind `after`, ends when the store closes, and with its signal's reason", async () => {
  const store = await openMemoryStore();
  for (let n = 0; n < 5; n++) await store.append(at("a"), Ticked({ n }));
  const abort = new AbortController();
  const aborted = store.subscribe({ entity: "nobody" }, { signal: abort.signal })[Symbol.asyncIterator]().next();
  abort.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  const seen: number[] = [];
  const following = (async () => {
    for await (const event of store.subscribe({ entity: "a" }, { after: 2 })) seen.push(event.sequence);
  })();
  await new Promise((resolve) => setTimeout(resolve, 5));
  await store.close();
  await following;
  assert.deepEqual(seen, [3, 4]);
});

test("a subscription from the end gives what becomes visible after its call, however late it is iterated", async () => {
  const store = await openMemoryStore();
  for (let n = 0; n < 3; n++) await store.append(at("a"), Ticked({ n }));
  const subscription = store.subscribe({ entity: "a" }, { after: "end" });
  await store.append(at("a"), Ticked({ n: 3 }));
  const seen: number[] = [];
  for await (const event of subscription) {
    seen.push(event.sequence);
    if (seen.length === 1) await store.append(at("a"), Ticked({ n: 4 }));
    else break;
  }
  assert.deepEqual(seen, [3, 4]);
  await store.close();
});

test("a read-only store follows the writer", async () => {
  const directory = mkdtempSync(join(tmpdir(), "batpak-follow-"));
  const writer = await Store.open(directory, { segmentBytesMax: 65_536 });
  await writer.append(at("a"), Ticked({ n: 0 }));
  const reader = await Store.open(directory, { readOnly: true });
  const total = 1200;
  const seen: number[] = [];
  const following = (async () => {
    for await (const event of reader.subscribe({ entity: "a" })) {
      seen.push((event.data as { n: number }).n);
      if (seen.length === total) return;
    }
  })();
  for (let n = 1; n < total; n += 11) {
    const batch = Array.from({ length: Math.min(11, total - n) }, (_, more) => Ticked({ n: n + more }));
    await writer.append(at("a"), batch);
  }
  await following;
  assert.deepEqual(seen, [...Array(total).keys()]);
  assert((await writer.stats()).segments > 2, "the writer rotated while it was followed");
  await reader.close();
  await writer.close();
  rmSync(directory, { recursive: true });
});
