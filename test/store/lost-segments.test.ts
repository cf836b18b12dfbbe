/** A directory of which every segment is gone, while its checkpoint or its mark still speaks of events: told by everything that opens it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { compactStore, repairStore, Store } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { batpak } from "../cli/run-cli.ts";
import { crashChange } from "../crash/change-crash.ts";
import { DIRECTORY, diskWith, type Files, filesOf } from "../support/small-stores.ts";

const LAYOUTS = ["native", "batpak-0.3"] as const;
const at = { entity: "e", scope: "s" };
const event = { kind: 0xf001, data: "worth keeping" };

async function filesOfStore(layout: (typeof LAYOUTS)[number], events: number): Promise<Files> {
  const disk = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { disk, layout });
  for (let n = 0; n < events; n++) await store.append(at, event);
  await store.close();
  return filesOf(disk);
}

for (const layout of LAYOUTS) {
  test(`${layout}: a reader is told, a writer and a repair are refused, and nothing is changed`, async () => {
    const files = await filesOfStore(layout, 20);
    assert.deepEqual([...files.keys()].sort(), ["000001.fbat", "durable.mark", "index.ckpt"]);
    for (const names of [["index.ckpt", "durable.mark"], ["index.ckpt"], ["durable.mark"]]) {
      const left = new Map([...files].filter(([name]) => names.includes(name)));
      const disk = diskWith(left);
      const refused = { code: "CORRUPT", message: new RegExp(`/store has ${names.join(" and ")} and no segments`) };
      await assert.rejects(Store.open(DIRECTORY, { disk }), refused);
      await assert.rejects(Store.open(DIRECTORY, { disk, layout }), refused);
      await assert.rejects(repairStore(DIRECTORY, { disk, apply: true }), refused);
      // Where not even the layout is known, there is nothing to compact.
      await assert.rejects(compactStore(DIRECTORY, { disk, keepLast: 1 }), { code: /^(?:CORRUPT|NOT_FOUND|UNSUPPORTED_BY_LAYOUT)$/ });
      const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
      assert.match(reader.openReport.problems.at(-1)?.message ?? "", /^Every event is lost: /);
      assert.equal(await reader.count(), 0);
      assert.ok((await reader.verify()).problems.some(({ code }) => code === "DAMAGED"));
      await reader.close();
      assert.deepEqual(filesOf(disk), left);
    }
  });

  test(`${layout}: whatever a crash leaves of a new store opens`, async () => {
    const make = async (disk: SimulatedDisk): Promise<void> => {
      const store = await Store.open(DIRECTORY, { disk, layout, durability: "os" });
      await store.append(at, event);
      await store.append(at, event);
      await store.close();
    };
    const open = async (left: SimulatedDisk): Promise<void> => {
      const store = await Store.open(DIRECTORY, { disk: left, layout });
      assert.deepEqual((await store.verify()).problems, []);
      await store.append(at, event);
      await store.close();
    };
    const disk = (): SimulatedDisk => diskWith(new Map([["notes.txt", new Uint8Array(3)]]));
    const { states } = await crashChange(`a new ${layout} store`, { disk, run: make, check: open, checkLater: open }, 4);
    assert.ok(states > 30, `${states} states`);
  });

  test(`${layout}: verify of a reader that is older than the checkpoint looks once more`, async () => {
    const disk = diskWith(await filesOfStore(layout, 5));
    const reader = await Store.open(DIRECTORY, { disk: disk.asProcess(7), readOnly: true });
    const writer = await Store.open(DIRECTORY, { disk });
    for (let n = 0; n < 5; n++) await writer.append(at, event);
    await writer.checkpoint();
    await writer.close();
    const { events, problems } = await reader.verify();
    assert.deepEqual([events, problems], [10, []]);
    await reader.close();
  });
}

test("a mark that speaks of no event is that of a store that was only begun", async () => {
  const mark = (await filesOfStore("native", 0)).get("durable.mark") as Uint8Array;
  const disk = diskWith(new Map([["durable.mark", mark]]));
  await assert.rejects(Store.open(DIRECTORY, { disk, readOnly: true }), { code: "NOT_FOUND" });
  const store = await Store.open(DIRECTORY, { disk });
  assert.equal((await store.append(at, event)).sequence, 0);
  await store.close();
});

test("verify tells of a checkpoint that is ahead of the log, also where opening has found nothing else", async () => {
  const files = new Map(await filesOfStore("native", 5));
  // Of another store, and so ignored.
  files.set("index.ckpt", (await filesOfStore("native", 20)).get("index.ckpt") as Uint8Array);
  const reader = await Store.open(DIRECTORY, { disk: diskWith(files), readOnly: true });
  assert.deepEqual(reader.openReport.problems, []);
  assert.deepEqual(
    (await reader.verify()).problems.map(({ code }) => code),
    ["CHECKPOINT_MISMATCH"],
  );
  await reader.close();
});

test("batpak verify and batpak dump exit as they do where something is wrong", async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "batpak-lost-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const store = await Store.open(directory);
  await store.append(at, event);
  await store.close();
  rmSync(join(directory, "000001.fbat"));
  for (const verb of ["verify", "dump"]) {
    const { code, err } = await batpak([verb, directory]);
    assert.equal(code, 1, verb);
    assert.match(err, /Every event is lost/, verb);
  }
});
