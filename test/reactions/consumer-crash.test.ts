/** A consumer's commit under crashes: the position is the one before or the new one, in its file as in the log, and never behind a promise. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, type } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const Ticked = defineEvent("Ticked", { schema: type<{ n: number }>() });
const Noted = defineEvent("Noted", { schema: type<{ upTo: number }>() });
const EVENTS = [Ticked, Noted] as const;
const at = { entity: "clock", scope: "test" };
const COMMITS = [1, 2, 5, 7];

interface Told {
  /** The last position that was promised. */
  promised: number;
  /** The last that was asked for. */
  asked: number;
}

async function run(disk: SimulatedDisk, positionIn: "file" | "log", told: Told, durability: "fsync" | "os"): Promise<void> {
  const store = await Store.open("/store", { events: EVENTS, disk, segmentBytesMax: 4096, durability, checkpoint: { everyEvents: 4 } });
  try {
    await store.append(
      at,
      Array.from({ length: 4 }, (_, n) => Ticked({ n })),
    );
    await store.append(
      at,
      Array.from({ length: 4 }, (_, n) => Ticked({ n: n + 4 })),
    );
    const consumer = await store.consumer("c", { kind: Ticked }, { positionIn });
    for (const position of COMMITS) {
      told.asked = position;
      if (positionIn === "file") await consumer.commit(position);
      else await store.appendBatch([{ coordinate: at, event: Noted({ upTo: position }) }], { commit: consumer.at(position) });
      told.promised = position;
    }
  } finally {
    await store.close().catch(() => {});
  }
}

for (const [positionIn, durability] of [
  ["file", "fsync"],
  ["file", "os"],
  ["log", "fsync"],
] as const) {
  test(`crashed during every disk operation: ${positionIn}, ${durability}`, async () => {
    const whole = new SimulatedDisk();
    await run(whole, positionIn, { promised: -1, asked: -1 }, durability);
    let between = 0;
    let states = 0;
    for (let operation = 1; operation <= whole.operationCount; operation++) {
      const disk = new SimulatedDisk();
      disk.crashDuring(operation);
      const told = { promised: -1, asked: -1 };
      await run(disk, positionIn, told, durability).catch((error: unknown) => assert(disk.crashed, String(error)));
      for (const left of [disk.diskAfterKill(), ...disk.possibleDisks({ limit: 2, seed: operation })]) {
        states++;
        const store = await Store.open("/store", { events: EVENTS, disk: left });
        const consumer = await store.consumer("c", { kind: Ticked });
        const { position } = consumer;
        assert(position === told.promised || position === told.asked, `operation ${operation}: ${position} of ${JSON.stringify(told)}`);
        if (position === told.asked && told.asked !== told.promised) between++;
        // In the log, position and event came together or not at all.
        if (positionIn === "log") {
          const newest = await store.read({ kind: Noted }, { direction: "backward" }).first();
          assert.equal((newest?.data as { upTo: number } | undefined)?.upTo ?? -1, position);
        }
        await consumer.reset("end");
        assert((await store.verify()).ok);
        await store.close();
      }
    }
    console.log(`consumer: ${states} crash states tried`);
    assert(between > 0, "some crash came after the commit point and before the promise");
  });
}
