/** A reader of a store that the original has written, beside whoever writes: it numbers events as the writer does, and shows no half of a batch. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { crc32 } from "node:zlib";
import { rawEvent, Store } from "../../src/index.ts";

const made: string[] = [];
after(() => made.forEach((directory) => rmSync(directory, { recursive: true, force: true })));

const alice = { entity: "player:alice", scope: "room:1" };

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "batpak03-"));
  made.push(directory);
  return directory;
}

test("a checkpoint whose allocator stands past its events numbers a reader's events as it does the writer's", async () => {
  const directory = newDirectory();
  const first = await Store.open(directory, { layout: "batpak-0.3" });
  await first.append(alice, rawEvent(0xf001, { n: 0 }));
  await first.close();
  const path = join(directory, "index.ckpt");
  const bytes = readFileSync(path);
  // The original burns a batch's sequences where it fails.
  bytes[bytes.indexOf("global_sequence") + "global_sequence".length] = 4;
  bytes.writeUInt32LE(crc32(bytes.subarray(12)), 8);
  writeFileSync(path, bytes);
  const writer = await Store.open(directory);
  assert.equal(writer.openReport.route, "checkpoint");
  const reader = await Store.open(directory, { readOnly: true });
  assert.equal((await reader.stats()).nextSequence, 4);
  await writer.append(alice, rawEvent(0xf001, { n: 1 }));
  await reader.refresh();
  for (const store of [writer, reader])
    assert.deepEqual(
      (await store.read().toArray()).map((event) => event.sequence),
      [0, 4],
    );
  await writer.close();
  await reader.close();
});
