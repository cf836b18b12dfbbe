import assert from "node:assert/strict";
import { test } from "node:test";
import { RecordList } from "./record-list.ts";

test("records keep their numbers and bytes while the list grows", () => {
  const list = new RecordList(3);
  const bytes = new Uint8Array(20);
  const fill = (record: number): void => new DataView(bytes.buffer).setUint32(4, record);
  for (let record = 0; record < 10_000; record++) {
    assert.equal(list.add(), record);
    fill(record);
    list.setNumber(record, 0, record * 2 ** 33);
    list.setBytes(record, 1, bytes, 4, 16);
  }
  assert.equal(list.length, 10_000);
  for (let record = 0; record < 10_000; record++) {
    fill(record);
    assert.equal(list.number(record, 0), record * 2 ** 33);
    assert.deepEqual(list.bytes(record, 1, 16), bytes.slice(4));
  }
  assert.ok(list.compareBytes(3, 9000, 1, 16) < 0);
  assert.ok(list.compareBytes(9000, 3, 1, 16) > 0);
  assert.equal(list.compareBytes(4095, 4095, 1, 16), 0);
  assert.equal(list.compareBytes(3, 9000, 1, 2), 0, "the rest is not looked at");
});

test("a list of a few records takes little memory: a compaction of many small segments makes some for each", () => {
  const lists = Array.from({ length: 1000 }, () => new RecordList(8));
  const before = process.memoryUsage().arrayBuffers;
  for (const list of lists) for (let record = 0; record < 20; record++) list.add();
  const bytes = process.memoryUsage().arrayBuffers - before;
  assert.ok(bytes < lists.length * 8192, `${bytes / lists.length} bytes each`);
});
