/** Readers hold pages of segment files: what they hold of a commit that recovery cut must not pass for what was written in its place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, Store, type } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { diskWith, DIRECTORY, filesOf } from "../support/small-stores.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number; text: string }>(), kind: { category: 1, type: 1 } });
const at = { entity: "a", scope: "s" };

test("a whole frame of a torn batch, held by a reader, gives way to the event that the next writer puts in its place", async () => {
  const disk = new SimulatedDisk();
  const first = await Store.open(DIRECTORY, { disk, checkpoint: false, events: [Noted] });
  const { id } = await first.append(at, Noted({ n: 0, text: "" }));
  const { id: beside } = await first.append({ entity: "b", scope: "s" }, Noted({ n: 0, text: "" }));
  const before = filesOf(disk);
  await first.append(at, [Noted({ n: 1, text: "never committed" }), Noted({ n: 2, text: "x".repeat(2000) })]);
  const whole = filesOf(disk).get("000001.fbat") as Uint8Array;
  await first.close();
  const end = whole.findLastIndex((byte) => byte !== 0);
  const torn = diskWith(new Map([...before, ["000001.fbat", whole.slice(0, end - 500)]]));

  const reader = await Store.open(DIRECTORY, { disk: torn.asProcess(7), readOnly: true, events: [Noted] });
  assert.equal((await reader.read().toArray()).length, 2);
  assert.equal((await reader.head("a"))?.sequence, 0);
  assert.ok(reader.openReport.tornTail);
  // A page is held from the second frame on that is read from it.
  for (const asked of [id, beside, id]) assert.equal((await reader.get(asked))?.id, asked);

  const writer = await Store.open(DIRECTORY, { disk: torn, checkpoint: false, events: [Noted] });
  const receipt = await writer.append(at, Noted({ n: 10, text: "committed" }));
  await reader.refresh();
  assert.equal((await reader.head("a"))?.id, receipt.id);
  assert.deepEqual((await reader.get(receipt.id))?.data, { n: 10, text: "committed" });
  const read = await reader.read({ clock: { from: 1 } }).toArray();
  assert.deepEqual(
    read.map(({ data }) => data),
    [{ n: 10, text: "committed" }],
  );
  await reader.close();
  await writer.close();
});
