/** Which records stay in force: of each consumer and of equal definitions the latest, in the order of writing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GrowingSink } from "../base/byte-sink.ts";
import { SYSTEM_ENTITY, SYSTEM_SCOPE } from "../events/coordinate.ts";
import { SYSTEM_CHECKPOINT, SYSTEM_CONFIG_CHANGE } from "../events/kind.ts";
import { beginFrame, endFrame } from "../format/native/frame.ts";
import { FRAME_FLAG } from "../format/native/frame-layout.ts";
import { stagePayload } from "./frame-placer.ts";
import { addRecordInForce, consumerRecordPayload, consumersIn } from "./records-in-force.ts";

function frameOf(kind: number, payload: unknown): Uint8Array {
  const sink = new GrowingSink();
  const start = beginFrame(sink, { entity: SYSTEM_ENTITY, scope: SYSTEM_SCOPE, kind, version: 1, flags: FRAME_FLAG.system });
  stagePayload(sink, payload);
  return sink.bytes.slice(0, endFrame(sink, start));
}

const definition = (name: string, kind: number, version: number): Uint8Array =>
  frameOf(SYSTEM_CONFIG_CHANGE, { record: "definition", name, kind, version });
const position = (consumer: string, at: number | null): Uint8Array =>
  frameOf(SYSTEM_CHECKPOINT, consumerRecordPayload({ consumer, position: at }));

test("of equal definitions and of a consumer's positions the latest is in force, where it was written", () => {
  const written = [
    definition("A", 1, 1),
    position("c", 1),
    definition("B", 2, 1),
    definition("A", 1, 2),
    definition("A", 3, 1),
    frameOf(SYSTEM_CONFIG_CHANGE, { record: "conversion" }),
    frameOf(SYSTEM_CONFIG_CHANGE, { record: "conversion" }),
    definition("A", 1, 1),
    position("d", null),
    position("c", 0),
  ];
  const records: Uint8Array[] = [];
  for (const frame of written) addRecordInForce(records, frame);
  assert.deepEqual(
    records,
    [2, 3, 4, 5, 6, 7, 8, 9].map((place) => written[place]),
  );
  assert.deepEqual(consumersIn(records), new Map([["c", 0]]));
  // A list that was read as a whole goes on as one that was added to.
  const goesOn = written.slice(0, 5);
  for (const frame of written.slice(5)) addRecordInForce(goesOn, frame);
  assert.deepEqual(goesOn, records);
});

test("a record is added without a look at all that are there, be it new or written over and over", () => {
  let looks = 0;
  const records = new Proxy<Uint8Array[]>([], {
    get(list, name) {
      if (typeof name === "string" && /^[0-9]+$/.test(name)) looks++;
      return Reflect.get(list, name) as unknown;
    },
  });
  for (let kind = 1; kind <= 1000; kind++) addRecordInForce(records, definition(`E${kind}`, kind, 1));
  for (let time = 0; time < 1000; time++) addRecordInForce(records, definition("E1000", 1000, 1));
  assert.equal(records.length, 1000);
  assert.ok(looks <= 10_000, `${looks} looks at records`);
});
