import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "./base/store-error.ts";
import { defineEvent } from "./events/definition.ts";
import type { ImportProgress } from "./import.ts";
import { createMemoryDisk } from "./testing/memory-disk.ts";
import { openMemoryStore } from "./testing/memory-store.ts";

const record = (n: number, more: Record<string, unknown> = {}) => ({
  entity: `order:${n % 7}`,
  scope: "shop:eu",
  kind: 0x1000,
  payload: { n },
  event_id: n.toString(16).padStart(32, "0"),
  wall_ms: 1_700_000_000_000 + n,
  ...more,
});

test("importing twice adds nothing the second time", async () => {
  const store = await openMemoryStore();
  const records = Array.from({ length: 3500 }, (_, n) => record(n));
  const seen: ImportProgress[] = [];
  assert.deepEqual(await store.import(records, { onProgress: (progress) => seen.push(progress) }), { imported: 3500, skipped: 0, bad: [] });
  assert.deepEqual(
    seen.map(({ imported }) => imported),
    [1000, 2000, 3000, 3500],
  );
  assert.deepEqual(await store.import(records), { imported: 0, skipped: 3500, bad: [] });
  assert.equal(await store.count(), 3500);
  const event = await store.get(record(3499).event_id);
  assert.equal(event?.timestamp, 1_700_000_003_499);
  assert.deepEqual(event?.data, { n: 3499 });
  assert.equal(event?.metadata, null);
  await store.close();
});

test("lines of JSON are records, blank lines are passed over, integers keep their digits and forms are read", async () => {
  const store = await openMemoryStore();
  async function* lines() {
    yield '{"entity":"a","scope":"s","kind":4096,"payload":{"big":18446744073709551615,"at":{"$date":"2024-01-31T12:00:00.000Z"}}}';
    yield "  ";
    yield '{"entity":"a","scope":"s","kind":4096,"payload":{"$$x":{"$bytes":"aGk="}},"clock":77,"prev_hash":"nonsense","other":1}';
  }
  assert.deepEqual(await store.import(lines()), { imported: 2, skipped: 0, bad: [] });
  const [first, second] = await store.read().toArray();
  assert.deepEqual(first.data, { big: 2n ** 64n - 1n, at: new Date("2024-01-31T12:00:00.000Z") });
  assert.deepEqual(second.data, { $x: new Uint8Array([0x68, 0x69]) });
  assert.equal(second.clock, 1);
  await store.import([{ entity: "b", scope: "s", kind: 4096, payload: { at: new Date(5), bytes: new Uint8Array([1]) } }]);
  assert.deepEqual((await store.read({ entity: "b" }).first())?.data, { at: new Date(5), bytes: new Uint8Array([1]) });
  await store.close();
});

test("a time that would run backwards is clamped and kept in the metadata", async () => {
  const store = await openMemoryStore();
  const times = [5000, 4000, 6000, 6000, 5999, -7];
  await store.import(times.map((wall_ms, n) => record(n, { wall_ms })));
  const events = await store.read().toArray();
  assert.deepEqual(
    events.map(({ timestamp, metadata }) => [timestamp, metadata]),
    [
      [5000, null],
      [5000, { import: { wall_ms: 4000 } }],
      [6000, null],
      [6000, null],
      [6000, { import: { wall_ms: 5999 } }],
      [6000, { import: { wall_ms: -7 } }],
    ],
  );
  // A record without a time is stored now, and what comes after it is clamped to that.
  await store.import([record(10, { wall_ms: undefined }), record(11, { wall_ms: 7000 })]);
  const [now, after] = await store.read({ sequence: { from: 6 } }).toArray();
  assert.equal(after.timestamp, now.timestamp);
  assert.deepEqual(after.metadata, { import: { wall_ms: 7000 } });
  await store.close();
});

test("the last time that a frame can have comes back; a later one is a bad record", async () => {
  // Times past it used to be written: a native store had a frame then that was none, and could not be opened; a 0.3 store failed in its commit.
  const last = Math.floor(Number.MAX_SAFE_INTEGER / 1000);
  for (const layout of ["native", "batpak-0.3"] as const) {
    const disk = createMemoryDisk();
    const store = await openMemoryStore({ disk, layout, checkpoint: false });
    for (const wall_ms of [last + 1, 2 ** 48 - 1, Number.MAX_SAFE_INTEGER]) {
      const refused = store.import([record(0, { wall_ms })]);
      await assert.rejects(refused, { code: "INVALID_LINE", message: new RegExp(`wall_ms is ${wall_ms}`) });
    }
    const records = [record(0, { wall_ms: last }), record(1, { wall_ms: last + 1 }), record(7, { wall_ms: last })];
    const { imported, bad } = await store.import(records, { skipBad: true });
    assert.deepEqual([imported, bad.map(({ line }) => line)], [2, [2]]);
    await store.append({ entity: record(0).entity, scope: "shop:eu" }, { kind: 0x1000, data: 1 });
    await store.close();
    const again = await openMemoryStore({ disk });
    const events = await again.read({ time: { from: last } }).toArray();
    assert.deepEqual(
      events.map(({ timestamp }) => timestamp),
      [last, last, last],
    );
    assert.deepEqual((await again.verify()).problems, []);
    await again.close();
  }
});

test("correlation and causation are kept; a root is stored as one", async () => {
  const store = await openMemoryStore();
  const id = record(0).event_id;
  await store.import([
    record(0, { correlation_id: id, causation_id: null }),
    record(1, { correlation_id: id, causation_id: id }),
    record(2, { correlation_id: "00000000-0000-0000-0000-00000000ffff" }),
  ]);
  const events = await store.read().toArray();
  assert.deepEqual(
    events.map(({ correlationId, causationId }) => [Number.parseInt(correlationId.slice(-4), 16), causationId]),
    [
      [0, null],
      [0, events[0].id],
      [0xffff, null],
    ],
  );
  assert.deepEqual((await store.read({ causedBy: id }).toArray()).length, 1);
  await store.close();
});

const badRecords: readonly [string, unknown, RegExp][] = [
  ["no object", 7, /no object/],
  ["not JSON", "{", /JSON/],
  ["without entity", record(5, { entity: undefined }), /entity is missing/],
  ["without payload", record(5, { payload: undefined }), /payload is missing/],
  ["an empty scope", record(5, { scope: "" }), /scope is empty/],
  ["the library's entity", record(5, { entity: "_batpak" }), /_batpak/],
  ["a batch marker's kind", record(5, { kind: 6 }), /reserves/],
  ["a reserved kind", record(5, { kind: 0xd999 }), /reserves/],
  ["a kind as text", record(5, { kind: "4096" }), /kind is "4096", 0 to/],
  ["a bad id", record(5, { event_id: "xyz" }), /event_id/],
  ["a bad time", record(5, { wall_ms: 1.5 }), /wall_ms is 1.5/],
  ["an unknown form", record(5, { payload: { $nope: 1 } }), /\$nope/],
  ["a class instance", record(5, { payload: new URL("http://localhost/") }), /payload/],
  ["another event under a known id", record(1, { payload: { n: "other" } }), /payload differs/],
];

test(`a bad record stops before its batch is written, or is reported (${badRecords.length} kinds)`, async () => {
  for (const [name, bad, reason] of badRecords) {
    const store = await openMemoryStore();
    await store.import([record(1)]);
    const records = [record(2), record(3), bad, record(4)] as ReturnType<typeof record>[];
    await assert.rejects(store.import(records), (error) => {
      assert.ok(isStoreError(error, "INVALID_LINE"), name);
      assert.equal(error.message, `Cannot import line 3: ${error.details.reason}`);
      assert.doesNotMatch(error.details.reason, /^Cannot import/);
      assert.equal(error.details.line, 3, name);
      assert.match(error.details.reason, reason, name);
      return true;
    });
    assert.equal(await store.count(), 1, name);
    const result = await store.import(records, { skipBad: true });
    assert.deepEqual({ ...result, bad: result.bad.map(({ line }) => line) }, { imported: 3, skipped: 0, bad: [3] }, name);
    await store.close();
  }
});

test("whole batches before the bad record stay, and one id twice in a file is one event", async () => {
  const store = await openMemoryStore();
  const records = [...Array.from({ length: 2100 }, (_, n) => record(n)), record(2099), record(2099, { kind: 0x1001 })];
  await assert.rejects(store.import(records), (error) => isStoreError(error, "INVALID_LINE") && error.details.line === 2102);
  assert.equal(await store.count(), 2100);
  await store.close();
});

test("small limits make small batches, a payload over the limit is a bad record", async () => {
  const store = await openMemoryStore({ batchEventsMax: 3, payloadBytesMax: 100, batchBytesMax: 250 });
  const records = Array.from({ length: 20 }, (_, n) => record(n, { payload: "x".repeat(n === 9 ? 200 : 80) }));
  const result = await store.import(records, { skipBad: true });
  assert.deepEqual([result.imported, result.bad.map(({ line }) => line)], [19, [10]]);
  await store.close();
});

test("wrong arguments, an aborted signal and a read-only store are refused", async () => {
  const store = await openMemoryStore();
  await assert.rejects(store.import(7 as never), { code: "INVALID_ARGUMENT" });
  await assert.rejects(store.import([], { skipbad: true } as never), { code: "INVALID_ARGUMENT" });
  await assert.rejects(store.import([record(1)], { signal: AbortSignal.abort(new Error("enough")) }), /enough/);
  assert.equal(await store.count(), 0);
  await store.append({ entity: "x", scope: "y" }, defineEvent("Named")({}));
  await store.close();
  await assert.rejects(store.import([record(1)]), (error) => isStoreError(error, "CLOSED"));
});

test("a time is noted where it is clamped although its batch waited for room, and others were let in before it", async () => {
  // The clamp was decided before the batch had its place: what was accepted meanwhile changed given times without a note.
  const clock = { nowMicros: () => 1_600_000_000_000_000, monotonicMs: () => performance.now() };
  const store = await openMemoryStore({ queuedBytesMax: 64 * 1024, clock });
  const records = Array.from({ length: 6000 }, (_, n) => record(n, { wall_ms: 1_700_000_000_000 + (n % 2000 < 1000 ? n * 1000 : n) }));
  let ended = false;
  const Beside = defineEvent("Beside");
  const others = Array.from({ length: 20 }, async (_, n) => {
    while (!ended) await store.append({ entity: `beside:${n}`, scope: "beside" }, Beside("x".repeat(2000)));
  });
  await store.import(records);
  ended = true;
  await Promise.all(others);
  let lastMs = 0;
  let clamped = 0;
  const events = await store.read({ scope: "shop:eu" }).toArray();
  assert.equal(events.length, records.length);
  for (const { timestamp, metadata, data } of events) {
    const { wall_ms } = records[(data as { n: number }).n];
    assert.ok(timestamp >= lastMs);
    lastMs = timestamp;
    if (timestamp === wall_ms) continue;
    assert.deepEqual(metadata, { import: { wall_ms } });
    clamped++;
  }
  assert.ok(clamped > 1000);
  await store.close();
});

test("a batpak 0.3 store takes no time before 1970: a bad line like any, and nothing of metadata", async () => {
  const store = await openMemoryStore({ layout: "batpak-0.3" });
  await assert.rejects(store.import([record(0), record(1, { wall_ms: -1 })]), {
    code: "INVALID_LINE",
    message: "Cannot import line 2: wall_ms is -1, 0 and later is allowed in the batpak 0.3 layout",
  });
  await store.close();
});
