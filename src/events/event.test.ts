import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { StoredEvent } from "./event.ts";
import type { FrameReader, Slab } from "./event.ts";

const decoded: string[] = [];
/** One byte a field, for a layout that needs no bytes. */
const reader: FrameReader = {
  kind: (view, at) => view.getUint8(at),
  version: () => 3,
  clock: () => 4,
  timeMicros: () => 1_700_000_000_123_999,
  id: (bytes, _view, at) => `id-${bytes[at]}`,
  correlationId: () => "root",
  causationId: () => null,
  hash: () => "h",
  previousHash: () => "p",
  entity: () => "e",
  scope: () => "s",
  metadata: () => {
    decoded.push("metadata");
    return null;
  },
  payload: () => {
    decoded.push("payload");
    return { at: new Date(0), big: 2n ** 64n };
  },
};
const bytes = new Uint8Array([0, 9]);
const slab: Slab = { bytes, view: new DataView(bytes.buffer) };

test("an event decodes what is looked at, once", () => {
  const event = new StoredEvent(reader, slab, 1, 7, { name: "Moved", definition: null });
  assert.equal(event.kind, 9);
  assert.equal(event.id, "id-9");
  assert.equal(event.timestamp, 1_700_000_000_123);
  assert.deepEqual(decoded, []);
  assert.equal(event.data, event.data);
  assert.equal(event.metadata, null);
  assert.equal(event.metadata, null);
  assert.deepEqual(decoded, ["payload", "metadata"]);
});

test("printing, JSON and copies show decoded values", () => {
  const event = new StoredEvent(reader, slab, 1, 7, { name: "Moved", definition: null });
  const expected = {
    id: "id-9",
    sequence: 7,
    entity: "e",
    scope: "s",
    kind: 9,
    type: "Moved",
    version: 3,
    clock: 4,
    timestamp: 1_700_000_000_123,
    correlationId: "root",
    causationId: null,
    hash: "h",
    previousHash: "p",
    metadata: null,
    data: { at: new Date(0), big: 2n ** 64n },
  };
  assert.deepStrictEqual(event.toObject(), expected);
  assert.equal(inspect(event), inspect(expected));
  assert.deepEqual(JSON.parse(JSON.stringify(event)), {
    ...expected,
    data: { at: { $date: "1970-01-01T00:00:00.000Z" }, big: { $bigint: "18446744073709551616" } },
  });
});

test("what cannot be decoded is no obstacle to printing: it shows why", () => {
  const fail = (what: string) => (): never => {
    throw new Error(`no ${what} there`);
  };
  const event = new StoredEvent({ ...reader, metadata: fail("metadata"), payload: fail("data") }, slab, 1, 7, null);
  assert.match(inspect(event), /id: 'id-9'[^]*metadata: Error: no metadata there[^]*data: Error: no data there/);
  assert.throws(() => event.toObject(), /no metadata there/);
});
