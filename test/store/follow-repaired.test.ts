/** Readers that are open while their store is repaired: what they show afterwards, and what their subscriptions are given. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { hooked } from "./support/hooked-disk.ts";

const DIRECTORY = "/store";
const at = { entity: "a", scope: "s" };
const event = (data: unknown): { kind: number; data: unknown } => ({ kind: 0x1001, data });

/** A store of ten events, closed. */
async function tenEvents(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const writer = await Store.open(DIRECTORY, { disk });
  for (let n = 0; n < 10; n++) await writer.append(at, event(n));
  await writer.close();
  return disk;
}

test("a mark that a repair removes while a reader looks for it is none", async () => {
  const disk = await tenEvents();
  let removes = false;
  const beside = hooked(disk.asProcess(7), (when, operation, path) => {
    if (removes && when === "after" && operation === "status" && path.endsWith(".mark")) disk.put(path, null);
  });
  const reader = await Store.open(DIRECTORY, { disk: beside, readOnly: true });
  removes = true;
  assert.equal(await reader.refresh(), 10);
  await reader.close();
});
