/**
 * A writer takes over what the original left: segments that nobody has synced, with others behind them. What it shows is durable before it is shown.
 *
 * Found by reading: only the newest segment was synced. A power cut took the others, from under events that had been acknowledged behind them, and
 * what was left told of nothing.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/store.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY, KIND } from "./driver.ts";

const at = { entity: "a", scope: "s" };
const OPTIONS = { layout: "batpak-0.3", checkpoint: false } as const;
const SESSIONS = 3;
const event = (n: number): { kind: number; data: unknown } => ({ kind: KIND, data: { n, pad: "x".repeat(900) } });

/** The segments of a store of so many sessions, by their paths. */
async function segmentsOfSessions(): Promise<ReadonlyMap<string, Uint8Array>> {
  const made = new SimulatedDisk();
  for (let session = 0; session < SESSIONS; session++) {
    const store = await Store.open(DIRECTORY, { ...OPTIONS, disk: made });
    await store.append(at, event(session));
    await store.close();
  }
  return new Map([...made.paths()].filter((path) => path.endsWith(".fbat")).map((path) => [path, made.bytesOf(path)]));
}

/** A directory in which a process that was killed has written these files, and synced none of them. */
async function unsynced(files: ReadonlyMap<string, Uint8Array>): Promise<SimulatedDisk> {
  const original = new SimulatedDisk();
  await original.makeDirectory(DIRECTORY);
  for (const [path, bytes] of files) {
    const file = await original.open(path, "create");
    await file.write(bytes, 0, bytes.length, 0, false);
  }
  const disk = original.asProcess(2000);
  original.kill();
  return disk;
}

/** Opens for writing, appends, and cuts the power; what is left must have all that was shown and acknowledged. */
async function takeOver(disk: SimulatedDisk, shown: number): Promise<void> {
  const store = await Store.open(DIRECTORY, { ...OPTIONS, disk });
  assert.equal(await store.count(), shown);
  await store.append(at, event(shown));
  for (const left of disk.possibleDisks({ limit: 16 })) {
    const reopened = await Store.open(DIRECTORY, { ...OPTIONS, disk: left });
    assert.equal(await reopened.count(), shown + 1);
    assert.ok((await reopened.verify()).ok);
    await reopened.close();
  }
}

test("segments that the original never synced outlast a power cut once they were shown", async () => {
  await takeOver(await unsynced(await segmentsOfSessions()), SESSIONS);
});

test("they do so as well behind a newest one that was only begun", async () => {
  const files = new Map(await segmentsOfSessions());
  files.set(`${DIRECTORY}/00000${SESSIONS + 1}.fbat`, new Uint8Array(0));
  await takeOver(await unsynced(files), SESSIONS);
});

test("and where the mark tells of an earlier one of ours", async () => {
  const made = new SimulatedDisk();
  const store = await Store.open(DIRECTORY, { ...OPTIONS, disk: made });
  await store.append(at, event(0));
  await store.close();
  const mark = `${DIRECTORY}/durable.mark`;
  await takeOver(await unsynced(new Map([...(await segmentsOfSessions()), [mark, made.bytesOf(mark)]])), SESSIONS);
});

test("a copy that a reader makes of them is durable once it was made", async () => {
  const disk = await unsynced(await segmentsOfSessions());
  const store = await Store.open(DIRECTORY, { disk, readOnly: true });
  const { linkedSegments } = await store.snapshot("/copy");
  assert.ok(linkedSegments > 0);
  await store.close();
  for (const left of disk.possibleDisks({ limit: 16 })) {
    const copy = await Store.open("/copy", { disk: left, readOnly: true });
    assert.equal(await copy.count(), SESSIONS);
    assert.deepEqual((await copy.verify()).problems, []);
    await copy.close();
  }
});
