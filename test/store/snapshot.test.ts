/** `store.snapshot`: a copy of one moment, made beside appending, that never changes its source and is never half there. */
import assert from "node:assert/strict";
import { cpSync, linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { Store } from "../../src/store.ts";
import type { StoreOptions } from "../../src/store-options.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { FIXTURES_DIRECTORY } from "../support/batpak03-fixtures.ts";
import { Counted, known, openStore } from "./support/log-image.ts";

const SMALL = { segmentBytesMax: 16 * 1024 } as const;

function temporary(): { directory: string; remove(): void } {
  const directory = mkdtempSync(join(tmpdir(), "batpak-snapshot-"));
  return { directory, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

async function fill(store: Store<typeof known.events>, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 10) {
    await Promise.all(
      Array.from({ length: Math.min(10, to - n) }, (_, i) =>
        store.append({ entity: `e:${(n + i) % 7}`, scope: "s" }, Counted({ n: n + i, pad: "x".repeat(200) })),
      ),
    );
  }
}

const bytesOf = (directory: string): Map<string, string> =>
  new Map(
    readdirSync(directory)
      .filter((name) => name.endsWith(".fbat"))
      .map((name) => [name, readFileSync(join(directory, name)).toString("base64")]),
  );

test("a snapshot made while appending has exactly the events before its sequence, and verifies", async () => {
  const { directory, remove } = temporary();
  const source = await Store.open(join(directory, "source"), { ...known, ...SMALL });
  await fill(source, 0, 300);
  const [copy] = await Promise.all([source.snapshot(join(directory, "copy")), fill(source, 300, 700)]);
  assert.ok(copy.segments > 3 && copy.linkedSegments > 0, JSON.stringify(copy));
  const events = await source.read({ sequence: { before: copy.nextSequence } }).toArray();
  for (const options of [{ readOnly: true }, {}] as StoreOptions[]) {
    const opened = await Store.open(copy.directory, { ...options, ...known });
    assert.deepEqual(
      (await opened.read().toArray()).map(({ id, hash, sequence }) => ({ id, hash, sequence })),
      events.map(({ id, hash, sequence }) => ({ id, hash, sequence })),
    );
    assert.deepEqual((await opened.verify()).problems, []);
    await opened.close();
  }
  assert.equal(copy.events, events.length);
  await source.close();
  remove();
});

test("whatever a copy does, its source keeps its bytes, also where their files are linked", async () => {
  const { directory, remove } = temporary();
  const source = await Store.open(join(directory, "source"), { ...known, ...SMALL });
  await fill(source, 0, 400);
  await source.close();
  const reader = await Store.open(join(directory, "source"), { readOnly: true });
  const made = await reader.snapshot(join(directory, "copy"));
  await reader.close();
  assert.ok(statSync(join(made.directory, "000001.fbat")).nlink > 1, "the oldest segment is linked");
  const before = bytesOf(join(directory, "source"));
  // Without blocks that can be used, the next writer makes them anew: in files of their own.
  const linked = bytesOf(made.directory);
  for (const name of linked.keys()) {
    const path = join(made.directory, name);
    if (statSync(path).nlink === 1) continue;
    const broken = readFileSync(path);
    broken[broken.length - 1] ^= 1;
    // As after a crash: the file of the copy alone.
    rmSync(path);
    writeFileSync(join(directory, `shared-${name}`), broken);
    linkSync(join(directory, `shared-${name}`), path);
  }
  rmSync(join(made.directory, "index.ckpt"), { force: true });
  const copy = await Store.open(made.directory, { ...known, ...SMALL });
  await fill(copy, 400, 600);
  await copy.close();
  assert.deepEqual(bytesOf(join(directory, "source")), before);
  for (const name of before.keys()) {
    const shared = join(directory, `shared-${name}`);
    try {
      const bytes = readFileSync(shared);
      const original = Buffer.from(before.get(name) as string, "base64");
      original[original.length - 1] ^= 1;
      assert.ok(bytes.equals(original), `${name} was written in place though another directory has it too`);
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT") throw error;
    }
  }
  const again = await Store.open(made.directory, { readOnly: true });
  assert.equal(again.openReport.route, "checkpoint");
  assert.equal(await again.count(), 600);
  assert.ok((await again.verify()).ok);
  await again.close();
  remove();
});

test("stores of the 0.3 layout are copied too", async () => {
  const { directory, remove } = temporary();
  for (const name of ["batch_rotate", "ckpt_tail", "compact"]) {
    const source = join(directory, name);
    cpSync(join(FIXTURES_DIRECTORY, name), source, { recursive: true });
    const store = await Store.open(source, { readOnly: true });
    const events = (await store.read().toArray()).map(({ id, sequence, hash }) => ({ id, sequence, hash }));
    const copy = await store.snapshot(join(directory, `${name}-copy`));
    await store.close();
    const opened = await Store.open(copy.directory, { readOnly: true });
    assert.deepEqual(
      (await opened.read().toArray()).map(({ id, sequence, hash }) => ({ id, sequence, hash })),
      events,
    );
    await opened.close();
  }
  remove();
});

// Found by a review: the copy was made in the store's own directory.
test("a target that symbolic links lead into the store's directory is refused as one that lies in it", async () => {
  const { directory, remove } = temporary();
  const path = join(directory, "store");
  symlinkSync(path, join(directory, "link"));
  symlinkSync(directory, join(directory, "above"));
  const writer = await Store.open(path, known);
  await writer.append({ entity: "a", scope: "s" }, Counted({ n: 1 }));
  const reader = await Store.open(join(directory, "link"), { readOnly: true });
  const names = readdirSync(path);
  for (const store of [writer, reader]) {
    for (const target of ["link", "link/copy", "link/new/copy", "above/store/copy", "store/copy"])
      await assert.rejects(store.snapshot(join(directory, target)), { code: "INVALID_ARGUMENT", message: /in the store's own directory/ });
  }
  assert.deepEqual(readdirSync(path), names);
  assert.equal((await reader.snapshot(join(directory, "above", "copy"))).events, 1);
  await Promise.all([reader.close(), writer.close()]);
  remove();
});

test("a snapshot wants a directory of its own, and a store that is whole", async () => {
  const disk = createMemoryDisk();
  const store = await Store.open("/store", { ...known, disk });
  await store.append({ entity: "a", scope: "s" }, Counted({ n: 1 }));
  await assert.rejects(store.snapshot(""), { code: "INVALID_ARGUMENT" });
  await assert.rejects(store.snapshot("/store"), { code: "INVALID_ARGUMENT" });
  await assert.rejects(store.snapshot("/store/inside"), { code: "INVALID_ARGUMENT" });
  await store.snapshot("/copy");
  await assert.rejects(store.snapshot("/copy"), (error) => isStoreError(error, "IO") && error.details.errno === "ENOTEMPTY");
  const empty = await Store.open("/empty", { disk });
  assert.equal((await empty.snapshot("/empty-copy")).events, 0);
  await empty.close();
  const opened = await Store.open("/empty-copy", { disk });
  assert.equal(await opened.count(), 0);
  await opened.close();
  await store.close();
  await assert.rejects(store.snapshot("/late"), { code: "CLOSED" });
});

for (const checkpoint of [true, false]) {
  // Without a checkpoint, nothing but the order of names keeps a copy that lacks its last segments from passing for a smaller store.
  test(`a snapshot cut off anywhere is whole or does not open, and its source is as it was (checkpoint: ${checkpoint})`, () =>
    cutOff(checkpoint));
}

async function cutOff(checkpoint: boolean): Promise<void> {
  const options = { segmentBytesMax: 4096, durability: "os", ...(checkpoint ? {} : { checkpoint: false as const }) } as const;
  let resolved = false;
  const run = async (disk: SimulatedDisk): Promise<number> => {
    resolved = false;
    const store = await openStore(disk, options);
    try {
      for (let n = 0; n < 12; n++) await store.append({ entity: `e:${n % 3}`, scope: "s" }, Counted({ n, pad: "x".repeat(700) }));
      if (checkpoint) await store.checkpoint();
      const before = disk.operationCount;
      await store.snapshot("/copy");
      resolved = true;
      return before;
    } finally {
      await store.close().catch(() => {});
    }
  };
  const whole = new SimulatedDisk();
  const started = await run(whole);
  const states = { whole: 0, absent: 0, refused: 0 };
  for (let number = started + 1; number <= whole.operationCount; number++) {
    const disk = new SimulatedDisk();
    disk.crashDuring(number);
    await run(disk).catch((error: unknown) => assert.ok(disk.crashed, String(error)));
    for (const left of [disk.diskAfterKill(), ...disk.possibleDisks({ limit: 24, seed: number })]) {
      const segments = (await left.list("/copy").catch(() => [])).filter((name) => name.endsWith(".fbat"));
      try {
        const copy = await Store.open("/copy", { disk: left, ...known });
        const count = await copy.count();
        assert.ok(count > 0 || !resolved, `nothing of a snapshot that had resolved is there after a crash at ${number}`);
        if (count > 0) {
          assert.equal(count, 12, `a part of the store after a crash at ${number}`);
          assert.ok((await copy.verify()).ok);
          states.whole++;
        } else {
          assert.equal(segments.length, 0, `a crash at ${number} left segments that opened as an empty store`);
          states.absent++;
        }
        await copy.close();
      } catch (error) {
        if (resolved || !isStoreError(error, "CORRUPT")) throw error;
        states.refused++;
      }
      const source = await openStore(left, options);
      assert.ok((await source.verify()).ok);
      await source.close();
    }
  }
  console.log(`snapshot: ${states.whole + states.absent + states.refused} crash states tried, ${JSON.stringify(states)}`);
  assert.ok(states.whole > 0 && states.absent > 0 && states.refused > 0, JSON.stringify(states));
}

test("a source that cannot be read is blamed, not the target; and the other way round", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, SMALL);
  await fill(store, 0, 30);
  const failing = { open: store.directory, read: store.directory, create: "/target" };
  for (const [kind, directory] of Object.entries(failing)) {
    disk.faults = (operation) => (operation.kind === kind && operation.path.startsWith(directory) ? { error: "EIO" } : undefined);
    await assert.rejects(store.snapshot(`/target-${kind}`), (error) => {
      assert.ok(isStoreError(error, "IO"), `${kind}: ${String(error)}`);
      assert.ok(error.details.path?.startsWith(directory), error.details.path);
      return true;
    });
    disk.faults = undefined;
  }
  await store.close();
});
