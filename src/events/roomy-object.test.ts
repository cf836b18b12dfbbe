import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect, types } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { GrowingSink } from "../base/byte-sink.ts";
import { decodePayload } from "./payload-decode.ts";
import { encodePayload } from "./payload-encode.ts";
import { PLAIN_MEMBERS_MAX, ROOMY_MEMBERS_MAX, roomyObject } from "./roomy-object.ts";

function columns(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, number) => [`column_${number}`, number]));
}

test("an object with room is a plain one to everybody", () => {
  for (const members of [PLAIN_MEMBERS_MAX + 1, 40, ROOMY_MEMBERS_MAX]) {
    for (let round = 0; round < 20; round++) {
      const object = roomyObject(members);
      assert.deepEqual(Reflect.ownKeys(object), []);
      for (const [name, value] of Object.entries(columns(members))) object[name] = value;
      assert.equal(Object.getPrototypeOf(object), Object.prototype);
      assert.equal(object.constructor, Object);
      assert.deepStrictEqual(object, columns(members));
      assert.deepStrictEqual(structuredClone(object), columns(members));
      assert.equal(JSON.stringify(object), JSON.stringify(columns(members)));
      assert.equal(inspect(object), inspect(columns(members)));
      assert.ok(!types.isProxy(object) && Object.isExtensible(object));
    }
  }
});

test("what is filled with other names, more or fewer, than those before is whole all the same", () => {
  for (let round = 0; round < 200; round++) {
    const members = 30;
    const object = roomyObject(members);
    const filled = (round * 7) % 60;
    for (let number = 0; number < filled; number++) object[`name_${(number * round) % 97}_${number}`] = number;
    assert.equal(Object.keys(object).length, filled);
    for (let number = 0; number < filled; number++) assert.equal(object[`name_${(number * round) % 97}_${number}`], number);
  }
});

test("payloads of many members, and lists, take about as much memory as what JSON.parse makes of them", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // The middle of some times: code that is being compiled meanwhile takes memory as well, and what is let go of gives it back.
  const bytesOf = (make: () => unknown): number => {
    const times = Array.from({ length: 5 }, () => onceBytesOf(make)).sort((one, other) => one - other);
    return times[2];
  };
  const onceBytesOf = (make: () => unknown): number => {
    for (let time = 0; time < 100; time++) make();
    collect();
    const before = process.memoryUsage().heapUsed;
    const kept = Array.from({ length: 5000 }, make);
    collect();
    return (process.memoryUsage().heapUsed - before) / kept.length;
  };
  const list = (items: number): string[] => Array.from({ length: items }, () => "item");
  for (const payload of [columns(20), columns(40), columns(100), list(3), list(20), list(1000)]) {
    const sink = new GrowingSink();
    encodePayload(sink, payload);
    const bytes = sink.bytes.slice(0, sink.position);
    const view = new DataView(bytes.buffer);
    const json = JSON.stringify(payload);
    const decoded = bytesOf(() => decodePayload(bytes, view, 0, bytes.length));
    const parsed = bytesOf(() => JSON.parse(json) as unknown);
    // Four to eight times as much where each object is a hash table, twice where an array has grown.
    assert.ok(decoded < parsed * 1.3 + 16, `${json.slice(0, 40)}: ${decoded.toFixed(0)} bytes, ${parsed.toFixed(0)} by JSON.parse`);
  }
});
