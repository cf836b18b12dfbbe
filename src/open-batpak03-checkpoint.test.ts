/** A checkpoint is read ahead of what decodes it; what fails there while nobody waits for it must not end the process. What cannot be one is not read on. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fixtureNames, FIXTURES_DIRECTORY, loadFixture } from "../test/support/batpak03-fixtures.ts";
import { rest } from "./base/rest.ts";
import type { DiskFile } from "./disk/disk.ts";
import type { CheckpointVisitor } from "./format/batpak03/checkpoint-decoder.ts";
import { decodeInPieces } from "./open-batpak03-checkpoint.ts";
import { createMemoryDisk } from "./testing/memory-disk.ts";

const name = fixtureNames().find((each) => loadFixture(each).checkpoint !== null);
assert(name !== undefined);
const checkpoint = new Uint8Array(readFileSync(join(FIXTURES_DIRECTORY, name, "index.ckpt")));
const visitor: CheckpointVisitor = { string: () => {}, entries: () => {}, entry: () => undefined };

/** The file of the checkpoint, of which every read but the first fails a turn of the event loop later. */
async function failingFile(): Promise<DiskFile> {
  const disk = createMemoryDisk();
  const file = await disk.open("/index.ckpt", "create");
  await file.write(checkpoint, 0, checkpoint.length, 0, false);
  let reads = 0;
  const { read } = file;
  return Object.assign(file, {
    read: async (...given: Parameters<DiskFile["read"]>): Promise<number> => {
      if (reads++ === 0) return await read.apply(file, given);
      await rest();
      throw Object.assign(new Error("EIO: the disk failed"), { code: "EIO" });
    },
  });
}

test("a read ahead that fails while somebody rests rejects once it is needed", async () => {
  const file = await failingFile();
  const resting = async (): Promise<void> => {
    for (let turns = 0; turns < 5; turns++) await rest();
  };
  await assert.rejects(decodeInPieces(file, checkpoint.length, visitor, resting), { code: "EIO" });
  await file.close();
});

test("a read ahead that fails after the rest has ended it all is nobody's", async () => {
  const file = await failingFile();
  const ending = async (): Promise<void> => Promise.reject(new Error("enough"));
  await assert.rejects(decodeInPieces(file, checkpoint.length, visitor, ending), /enough/);
  for (let turns = 0; turns < 5; turns++) await rest();
  await file.close();
});

test("what cannot be a checkpoint is not read to its end", async () => {
  const later = checkpoint.slice();
  later[6] = 3;
  for (const [what, bytes, reason] of [
    ["nothing of it", new Uint8Array(0), /does not begin with FBATCK/],
    ["a later version", later, /of version 3/],
    ["a whole one, and more behind it", checkpoint, /follow the checkpoint's body/],
  ] as const) {
    let reads = 0;
    const read: DiskFile["read"] = async (target, offset, length, position) => {
      target.fill(0, offset, offset + length);
      target.set(bytes.subarray(position, position + length), offset);
      reads++;
      return length;
    };
    const decoded = await decodeInPieces({ read } as DiskFile, 200e9, visitor);
    assert.match(decoded.kind === "ok" ? "" : decoded.reason, reason, what);
    assert.ok(reads <= 2, `${what}: ${reads} reads`);
  }
});
