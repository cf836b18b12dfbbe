/**
 * Small stores of both layouts with everything in them that a directory can have, as files by name: for damage and fuzz tests, which change
 * their bytes. The native one holds sealed segments with index blocks, an active segment, a checkpoint, a mark, batches, system records
 * and a payload that is itself a piece of a segment.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Store } from "../../src/store.ts";
import { defineEvent, type } from "../../src/events/definition.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { FIXTURES_DIRECTORY, loadFixture } from "./batpak03-fixtures.ts";

export const DIRECTORY = "/store";

/** Files of a directory by name. */
export type Files = ReadonlyMap<string, Uint8Array>;

export const Noted = defineEvent("Noted", { schema: type<{ n: number; text: string }>() });
const BackedUp = defineEvent("BackedUp", { schema: type<{ bytes: Uint8Array }>() });

/** The same bytes each time. */
export async function makeNativeFiles(events = 150, segmentBytesMax = 4096): Promise<Files> {
  const disk = new SimulatedDisk();
  const choose = seededRandom(1);
  let nowMicros = 1_700_000_000_000_000;
  const options = {
    disk,
    segmentBytesMax,
    clock: { nowMicros: () => (nowMicros += 700), monotonicMs: () => nowMicros / 1000 },
    random: (target: Uint8Array): void => {
      for (let i = 0; i < target.length; i++) target[i] = Math.floor(choose() * 256);
    },
  };
  const fill = async (from: number, to: number): Promise<void> => {
    const store = await Store.open(DIRECTORY, options);
    for (let n = from; n < to; n += 3) {
      const item = (more: number): { coordinate: { entity: string; scope: string }; event: ReturnType<typeof Noted> } => ({
        coordinate: { entity: `e${(n + more) % 5}`, scope: n % 2 === 0 ? "s" : "straße" },
        event: Noted({ n: n + more, text: "worth keeping" }),
      });
      if (n % 9 === 0) await store.append(item(0).coordinate, [item(0).event, item(1).event, item(2).event], { idempotencyKey: `k${n}` });
      else await store.appendBatch([item(0), item(1), item(2)]);
    }
    await store.close();
  };
  await fill(0, events / 2);
  const store = await Store.open(DIRECTORY, options);
  const piece = disk.bytesOf(`${DIRECTORY}/000001.fbat`).slice(0, 2000);
  await store.append({ entity: "backup", scope: "s" }, BackedUp({ bytes: piece }), { metadata: { of: "000001.fbat" } });
  await store.close();
  await fill(events / 2, events);
  return filesOf(disk);
}

/** The files of a store that the original wrote. */
export function fixtureFiles(name: string): Files {
  const fixture = loadFixture(name);
  const files = new Map(fixture.segments.map((segment) => [segment.name, segment.bytes]));
  if (fixture.checkpoint !== null) files.set("index.ckpt", new Uint8Array(readFileSync(join(FIXTURES_DIRECTORY, name, "index.ckpt"))));
  return files;
}

/** A disk on which the store's directory has exactly these files. */
export function diskWith(files: Files): SimulatedDisk {
  const disk = new SimulatedDisk();
  for (const [name, bytes] of files) disk.put(`${DIRECTORY}/${name}`, bytes);
  return disk;
}

/** The files in the store's directory, without those in directories below it. */
export function filesOf(disk: SimulatedDisk): Files {
  const files = new Map<string, Uint8Array>();
  for (const path of disk.paths()) {
    const name = path.slice(DIRECTORY.length + 1);
    if (path.startsWith(`${DIRECTORY}/`) && !name.includes("/") && name !== "lock") files.set(name, disk.bytesOf(path));
  }
  return files;
}
