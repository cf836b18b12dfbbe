/** A torn tail that recovery cuts is never nowhere: at every moment, whatever a power cut takes, it is in its segment or kept aside whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const DIRECTORY = "/store";
const SEGMENT = `${DIRECTORY}/000001.fbat`;

test("what is cut is in its segment or kept aside, after a crash during every operation of recovery", async () => {
  const made = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk: made, checkpoint: false });
  await store.append({ entity: "a", scope: "s" }, { kind: 0x1000, data: 1 });
  await store.close();
  const whole = made.bytesOf(SEGMENT);
  const tail = Uint8Array.from({ length: 1500 }, (_, i) => 1 + ((i * 7) % 250));
  let states = 0;
  for (let crashedAt = 1; ; crashedAt++) {
    const disk = new SimulatedDisk();
    for (const path of made.paths()) disk.put(path, made.bytesOf(path));
    disk.put(SEGMENT, Buffer.concat([whole, tail]));
    disk.crashDuring(crashedAt);
    const opened = await Store.open(DIRECTORY, { disk, checkpoint: false }).catch(() => null);
    await opened?.close().catch(() => {});
    for (const left of disk.possibleDisks({ limit: 64, seed: crashedAt })) {
      states++;
      const holds = (path: string, from: number): boolean =>
        Buffer.compare(left.bytesOf(path).subarray(from, from + tail.length), tail) === 0;
      const kept = left.paths().some((path) => (path === SEGMENT ? holds(path, whole.length) : path.includes(".cut-") && holds(path, 0)));
      assert.ok(kept, `a crash during operation ${crashedAt} of recovery lost the torn tail: ${left.paths().join(", ")}`);
    }
    if (!disk.crashed) break;
  }
  console.log(`kept aside: ${states} crash states tried`);
  assert.ok(states > 100, `only ${states} states`);
});
