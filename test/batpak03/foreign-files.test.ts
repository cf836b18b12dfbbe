/**
 * Files under a segment's name that no crash of a batpak 0.3 store leaves, and those that one does: the first are refused, the others kept aside,
 * and both are told.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { encodeSegmentHeader } from "../../src/format/batpak03/segment.ts";
import { isStoreError, Store } from "../../src/index.ts";
import { DIRECTORY, diskWith, filesOf, type Files, fixtureFiles, makeNativeFiles } from "../support/small-stores.ts";

const noise = Uint8Array.from({ length: 2000 }, (_, i) => (i * 7919) % 251);

function header(segmentId: number, version = 1): Uint8Array {
  const sink = new GrowingSink(64);
  encodeSegmentHeader(sink, { flags: 0, createdNs: 5n, segmentId });
  const bytes = sink.copy();
  // Behind the magic, the length, the map's tag and the first key.
  assert.equal(bytes[17], 1);
  bytes[17] = version;
  return bytes;
}

function asText(files: Files): string[] {
  return [...files].map(([name, bytes]) => `${name} ${Buffer.from(bytes).toString("latin1")}`).sort();
}

/** A writer is refused, with a message that matches, and changes nothing; a reader has what else is there, and is told. */
async function isRefused(files: Files, segmentId: number, events: number, message: RegExp): Promise<void> {
  const disk = diskWith(files);
  await assert.rejects(Store.open(DIRECTORY, { disk }), (error) => {
    assert(isStoreError(error, "CORRUPT"), String(error));
    assert.equal(error.details.segmentId, segmentId);
    assert.match(error.message, message);
    return true;
  });
  assert.deepEqual(asText(filesOf(disk)), asText(files));
  const reader = await Store.open(DIRECTORY, { disk, readOnly: true });
  assert.equal(await reader.count(), events);
  const { problems, tornTails } = reader.openReport;
  assert.deepEqual(
    [problems.map((problem) => [problem.code, problem.segmentId, problem.offset]), tornTails],
    [[["DAMAGED", segmentId, 0]], []],
  );
  const verified = await reader.verify();
  assert.deepEqual(
    verified.problems.map((problem) => problem.code),
    ["DAMAGED", "HEADER_DAMAGED"],
  );
  await reader.close();
}

test("another program's file, another layout's segment and a later version's are refused as the newest, and left alone", async () => {
  const tiny = fixtureFiles("tiny");
  const text = Buffer.from("this is text of somebody else\n".repeat(500));
  const native = (await makeNativeFiles(3)).get("000001.fbat") as Uint8Array;
  const foreign = /000002\.fbat is not one of its segments \(the file does not begin with FBAT\); move it elsewhere/;
  await isRefused(new Map([...tiny, ["000002.fbat", text]]), 2, 3, foreign);
  await isRefused(new Map([...tiny, ["000002.fbat", native]]), 2, 3, foreign);
  const prose = Buffer.concat([Buffer.from("FBAT"), text]);
  await isRefused(new Map([...tiny, ["000002.fbat", prose]]), 2, 3, /claims a header of \d+ bytes\); move it elsewhere/);
  const later = /format version 2, which a later version writes; 1 is read here\); open the store with the version that wrote it/;
  await isRefused(new Map([...tiny, ["000002.fbat", Buffer.concat([header(2, 2), noise])]]), 2, 3, later);
  await isRefused(new Map([...tiny, ["000002.fbat", header(2, 2)]]), 2, 3, later);
  await isRefused(new Map([["000001.fbat", Buffer.concat([header(1, 2), noise])]]), 1, 0, later);
});

test("a file of somebody else's among the segments is told, also where nothing says that events were there", async () => {
  const files = new Map(fixtureFiles("rotate"));
  files.delete("index.ckpt");
  const before = await Store.open(DIRECTORY, { disk: diskWith(files), readOnly: true });
  const lost = 16;
  const events = await before.count();
  await before.close();
  files.set("000003.fbat", Buffer.from("this is text of somebody else\n".repeat(500)));
  await isRefused(files, 3, events - lost, /000003\.fbat is not one of its segments/);
});

test("a header of another version before frames of this one may be a byte that is wrong: they are read", async () => {
  const files = new Map(fixtureFiles("tiny"));
  files.delete("index.ckpt");
  const segment = Uint8Array.from(files.get("000001.fbat") as Uint8Array);
  segment[17] = 3;
  files.set("000001.fbat", segment);
  await isRefused(files, 1, 3, /segment 1 is damaged at offset 0 \(its header cannot be read: it is of format version 3, which a later/);
});

test("a newest file whose header is not whole was never begun: kept aside if not empty, told, and removed", async () => {
  const tiny = fixtureFiles("tiny");
  const whole = header(2);
  const garbled = whole.slice().fill(0, 20);
  for (const bytes of [new Uint8Array(), whole.slice(0, 5), whole.slice(0, 40), new Uint8Array(600), garbled, Buffer.from("a note")]) {
    const disk = diskWith(new Map([...tiny, ["000002.fbat", bytes]]));
    const writer = await Store.open(DIRECTORY, { disk });
    assert.equal(await writer.count(), 3);
    const keptIn = "000002.fbat.cut-0";
    assert.deepEqual(writer.openReport.cut, bytes.length === 0 ? null : { segmentId: 2, offset: 0, bytes: bytes.length, keptIn });
    assert.deepEqual(Buffer.from(filesOf(disk).get(keptIn) ?? []), Buffer.from(bytes));
    assert.equal(filesOf(disk).has("000002.fbat"), false);
    await writer.close();
  }
});

// Found by a review: where the checkpoint spoke of the newest segment last, nobody noted how far.
test("a newest file that cannot be read is damage where the checkpoint lists its events, and is left alone", async () => {
  for (const name of ["tiny", "reopen", "rotate"]) {
    const files = fixtureFiles(name);
    const newest = [...files.keys()]
      .filter((file) => file.endsWith(".fbat"))
      .sort()
      .at(-1) as string;
    const size = (files.get(newest) as Uint8Array).length;
    for (const [what, bytes] of [
      ["nothing", new Uint8Array(0)],
      ["zeros", new Uint8Array(size)],
      ["a header's beginning and zeros", Uint8Array.from(files.get(newest) as Uint8Array).fill(0, 40)],
    ] as const) {
      const disk = diskWith(new Map([...files, [newest, bytes]]));
      await assert.rejects(Store.open(DIRECTORY, { disk, layout: "batpak-0.3" }), { code: "CORRUPT" }, `${name}, ${what}`);
      assert.deepEqual(filesOf(disk).get(newest), bytes);
      const reader = await Store.open(DIRECTORY, { disk, layout: "batpak-0.3", readOnly: true });
      assert.deepEqual(
        reader.openReport.problems.map(({ code, offset }) => [code, offset]),
        [["DAMAGED", 0]],
        `${name}, ${what}`,
      );
      assert.equal((await reader.verify()).ok, false);
      await reader.close();
    }
  }
});
