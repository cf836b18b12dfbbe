/** In the place of a checkpoint anything may lie, of any size: a store opens without it, and makes no room for it. */
import assert from "node:assert/strict";
import { statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mock, test } from "node:test";
import { Checkpointer } from "../../src/checkpoint/checkpointer.ts";
import { StoreError } from "../../src/base/store-error.ts";
import type { Disk, DiskFile } from "../../src/disk/disk.ts";
import { nodeDisk } from "../../src/disk/node-disk.ts";
import { replaceFile } from "../../src/disk/replace-file.ts";
import { CHECKPOINT_FILE } from "../../src/format/native/checkpoint.ts";
import type { HeadsPicture } from "../../src/index/heads-picture.ts";
import { rawEvent } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { newDirectory } from "../support/new-directory.ts";

const GIB = 2 ** 30;

/** The machine's disk, and how many bytes are asked for of files that are opened by promises, as the checkpoint is. */
function counting(): { disk: Disk; read: { bytes: number } } {
  const read = { bytes: 0 };
  const open: Disk["open"] = async (path, mode) => {
    const file = await nodeDisk.open(path, mode);
    const [asynchronous, synchronous] = [file.read.bind(file), file.readSync.bind(file)];
    return Object.assign(file, {
      read: (...given: Parameters<DiskFile["read"]>) => ((read.bytes += given[2]), asynchronous(...given)),
      readSync: (...given: Parameters<DiskFile["readSync"]>) => ((read.bytes += given[2]), synchronous(...given)),
    });
  };
  return { disk: Object.assign(Object.create(nodeDisk) as Disk, { open }), read };
}

for (const [what, spoil, reason] of [
  ["6 GiB of nothing", (path: string) => (writeFileSync(path, ""), truncateSync(path, 6 * GIB)), /its magic is wrong/],
  ["1 GiB of nothing", (path: string) => (writeFileSync(path, ""), truncateSync(path, GIB)), /its magic is wrong/],
  ["6 GiB behind a whole one", (path: string) => truncateSync(path, 6 * GIB), /it has 6442450944 bytes, at most 2147483647 are read/],
  ["1 GiB behind a whole one", (path: string) => truncateSync(path, GIB), /it has 1073741824 bytes, its description speaks of \d+/],
] as const) {
  test(`a checkpoint of another size is ignored: ${what}`, async () => {
    const directory = newDirectory();
    const writer = await Store.open(directory);
    for (let n = 0; n < 1000; n++) void writer.append({ entity: `e${n}`, scope: "s" }, rawEvent(0xf001, n));
    await writer.checkpoint();
    await writer.close();
    const path = join(directory, CHECKPOINT_FILE);
    assert.ok(statSync(path).size > 64 * 1024);
    spoil(path);
    const { disk, read } = counting();
    const reader = await Store.open(directory, { readOnly: true, disk });
    assert.match(reader.openReport.reasons.join("; "), reason);
    assert.equal(await reader.count(), 1000);
    assert.ok(read.bytes < 1024 * 1024, `${read.bytes} bytes were read`);
    const verified = await reader.verify();
    assert.deepEqual(
      verified.problems.map(({ code }) => code),
      ["CHECKPOINT_MISMATCH"],
    );
    await reader.close();
    await (await Store.open(directory)).close();
    const again = await Store.open(directory);
    assert.equal(again.openReport.route, "checkpoint");
    await again.close();
  });
}

test("a checkpoint that nobody could read is not written, and the one before it stays", async () => {
  const disk = createMemoryDisk();
  await disk.makeDirectory("/store");
  await replaceFile(disk, "/store", CHECKPOINT_FILE, Uint8Array.of(1, 2, 3));
  const heads = { advance: () => true, end: () => {} } as unknown as HeadsPicture;
  // Never touched, so it takes no memory.
  const columns = new Map([["entities.bytes", new Uint8Array(2 ** 31)]]);
  const checkpointer = new Checkpointer({
    disk,
    directory: "/store",
    picture: () => ({ content: { description: {}, columns }, heads, rows: [] }),
    sync: async () => {},
    failed: () => {},
  });
  await assert.rejects(checkpointer.begin(), {
    code: "TOO_LARGE",
    message: /^Cannot write a checkpoint: it has \d+ bytes, 2147483647 are allowed/,
  });
  assert.deepEqual(await disk.list("/store"), [CHECKPOINT_FILE]);
  assert.equal((await disk.status(`/store/${CHECKPOINT_FILE}`))?.size, 3);
});

test("a store whose checkpoint nobody could read is closed without one, and its mark is durable", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk });
  await store.append({ entity: "e", scope: "s" }, rawEvent(0xf001, 1));
  const tooLarge = new StoreError("TOO_LARGE", "Cannot write a checkpoint", { what: "the checkpoint", bytes: 2, bytesMax: 1 });
  const begin = mock.method(Checkpointer.prototype, "begin", () => Promise.reject(tooLarge));
  try {
    await store.close();
    assert.equal(begin.mock.callCount(), 1);
  } finally {
    begin.mock.restore();
  }
  assert.ok(disk.isContentDurable("/store/durable.mark"));
});
