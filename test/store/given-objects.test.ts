/** Calls that answer later go by what they were given: whoever called may use the same objects for the next call at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineDecider, defineEvent, Store, type } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const Added = defineEvent("Added", { schema: type<{ count: number }>() });
const Counter = defineDecider({
  events: [Added],
  initial: 0,
  decide: (count: number) => Added({ count }),
  evolve: { Added: (sum: number, event) => sum + event.data.count },
});

test("a command goes to the entity that was given, under the id that was given, whatever becomes of the objects", async () => {
  const store = await Store.open("/store", { disk: new SimulatedDisk(), events: [Added] });
  const coordinate = { entity: "first", scope: "s" };
  const options = { commandId: "one" };
  const commands = [store.handle(coordinate, Counter, 1), store.handle(coordinate, Counter, 2, options)];
  Object.assign(coordinate, { entity: "second", scope: "t" });
  options.commandId = "two";
  const [, [second]] = await Promise.all(commands);
  assert.equal(await store.count({ entity: "first", scope: "s" }), 2);
  const [again] = await store.handle({ entity: "first", scope: "s" }, Counter, 2, { commandId: "one" });
  assert.equal(again.id, second.id);
  await store.close();
});
