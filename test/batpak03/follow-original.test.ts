/** A reader of a store that the original has written, beside whoever writes: it numbers events as the writer does, and shows no half of a batch. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { rawEvent, Store } from "../../src/index.ts";
import { type Fixture, loadFixture } from "../support/batpak03-fixtures.ts";
import { newDirectory } from "../support/new-directory.ts";

const alice = { entity: "player:alice", scope: "room:1" };

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

/** What the original has written by and by: after each header, frame and footer, the segments and their sizes. */
function* stepsOf({ segments }: Fixture): Generator<{ readonly segmentId: number; readonly bytes: Uint8Array }> {
  for (const { segmentId, bytes } of segments) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 8 + view.getUint32(4);
    yield { segmentId, bytes: bytes.subarray(0, at) };
    // A footer begins with the header of an array: as a length, that is more than any segment has.
    while (at < bytes.length && view.getUint32(at) < bytes.length) {
      at += 8 + view.getUint32(at);
      yield { segmentId, bytes: bytes.subarray(0, at) };
    }
    yield { segmentId, bytes };
  }
}

async function seenBy(store: Store): Promise<string[]> {
  const events = await store.read().toArray();
  return events.map(({ sequence, hash }) => `${sequence} ${hash}`);
}

for (const name of ["batch", "batch_rotate"]) {
  test(`${name}: a reader that was opened at any time follows the original as one that is opened anew`, async () => {
    const steps = [...stepsOf(loadFixture(name))];
    const directory = newDirectory();
    const put = ({ segmentId, bytes }: (typeof steps)[number]): void =>
      writeFileSync(join(directory, `${String(segmentId).padStart(6, "0")}.fbat`), bytes);
    const readers: Store[] = [];
    for (const [i, step] of steps.entries()) {
      put(step);
      const fresh = await Store.open(directory, { readOnly: true });
      const seen = await seenBy(fresh);
      for (const [opened, reader] of readers.entries()) {
        // Some look each time, some now and then.
        if (i % (1 + (opened % 3)) !== 0 && i < steps.length - 1) continue;
        await reader.refresh();
        assert.deepEqual(await seenBy(reader), seen, `opened after step ${opened}, looking after step ${i} of ${steps.length}`);
      }
      readers.push(fresh);
    }
    assert.equal(await readers[0].count(), loadFixture(name).rows.length);
    for (const reader of readers) await reader.close();
  });
}

test("a reader misses nothing where a writer was killed in a batch, and others have gone on in new segments", async () => {
  const directory = newDirectory();
  const segment = join(directory, "000001.fbat");
  const killed = await Store.open(directory, { layout: "batpak-0.3", checkpoint: false });
  await killed.append(alice, rawEvent(0xf001, { n: 0 }));
  const before = readFileSync(segment);
  await killed.append(
    alice,
    Array.from({ length: 9 }, (_, n) => rawEvent(0xf001, { n: -n })),
  );
  const bytes = readFileSync(segment);
  await killed.close();
  rmSync(join(directory, "durable.mark"));
  writeFileSync(segment, before);
  const reader = await Store.open(directory, { readOnly: true });
  assert.equal(await reader.count(), 1);
  // Of the batch, its BEGIN and one event.
  let end = before.length;
  for (let frame = 0; frame < 2; frame++) end += 8 + bytes.readUInt32BE(end);
  writeFileSync(segment, bytes.subarray(0, end));
  for (const n of [3, 4]) {
    const writer = await Store.open(directory, { checkpoint: false });
    await writer.append(alice, rawEvent(0xf001, { n }));
    if (n === 4) await reader.refresh();
    await writer.close();
  }
  for (const look of ["first", "second"]) {
    assert.deepEqual(
      (await reader.read().toArray()).map((event) => event.data),
      [{ n: 0 }, { n: 3 }, { n: 4 }],
      `the ${look} look`,
    );
    await reader.refresh();
  }
  await reader.close();
});
