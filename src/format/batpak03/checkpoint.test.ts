import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { decode, encode } from "@msgpack/msgpack";
import { hex, loadFixture } from "../../../test/support/batpak03-fixtures.ts";
import { viewOf } from "../../base/msgpack.ts";
import { encodeCheckpointPrefix } from "./checkpoint.ts";
import { CheckpointDecoder, decodeCheckpoint } from "./checkpoint-decoder.ts";
import { checkpointEntryFields } from "./checkpoint-entry.ts";

const pack = (value: unknown): Uint8Array => encode(value);

interface Heard {
  strings: string[];
  announced: number;
  rows: unknown[];
}

function hearing(): Heard & Parameters<typeof decodeCheckpoint>[1] {
  const heard: Heard = { strings: [], announced: -1, rows: [] };
  return Object.assign(heard, {
    string: (text: string, index: number) => assert.equal(heard.strings.push(text) - 1, index),
    entries: (count: number) => void (heard.announced = count),
    entry: (entry: Parameters<typeof checkpointEntryFields>[0]) => void heard.rows.push(checkpointEntryFields(entry)),
  });
}

type Body = Record<string, unknown> & { interner_strings: string[]; entries: Record<string, unknown>[] };

/** The checkpoint of `multi` as a value, changed. */
function changed(change: (body: Body) => unknown): Uint8Array {
  const { checkpoint } = loadFixture("multi");
  assert(checkpoint !== null);
  const body = decode(checkpoint.subarray(12)) as Body;
  const replaced = change(body);
  return fileOf(pack(typeof replaced === "object" ? replaced : body));
}

function fileOf(body: Uint8Array): Uint8Array {
  return Buffer.concat([encodeCheckpointPrefix(crc32(body)), body]);
}

function reasonFor(file: Uint8Array): string {
  const outcome = decodeCheckpoint(file, hearing());
  assert(outcome.kind !== "ok");
  return outcome.reason;
}

test("pieces of any size give what the whole gives", () => {
  const { checkpoint } = loadFixture("multi");
  assert(checkpoint !== null);
  const whole = hearing();
  const outcome = decodeCheckpoint(checkpoint, whole);
  for (const step of [1, 7, 300, 4096]) {
    const pieces = hearing();
    const decoder = new CheckpointDecoder(checkpoint.length, pieces);
    let have = 0;
    for (let start = 0; have < checkpoint.length || start < have; ) {
      have = Math.min(have + step, checkpoint.length);
      // A fresh copy each time: nothing may be kept of an earlier piece.
      const piece = checkpoint.slice(start, have);
      const stopped = decoder.push(piece, viewOf(piece), 0, piece.length);
      start += stopped;
      assert.equal(decoder.consumedBytes, start);
      if (have === checkpoint.length) assert.equal(start, have);
    }
    assert.deepEqual(decoder.finish(), outcome);
    assert.deepEqual(pieces.rows, whole.rows);
    assert.deepEqual(pieces.strings, whole.strings);
  }
});

test("keys in another order and keys of later releases are read past", () => {
  const expected = hearing();
  assert.equal(
    decodeCheckpoint(
      changed(() => undefined),
      expected,
    ).kind,
    "ok",
  );
  assert.equal(expected.announced, 200);
  const turned = changed((body) => {
    const { entries, ...rest } = body;
    const turnedEntries = entries.map((entry, index) => ({
      ...Object.fromEntries(Object.entries(entry).reverse()),
      lane_hint: { index, list: [1, "x", null] },
    }));
    return { shards: [1, [2]], entries: turnedEntries, ...rest, written_by: "0.9" };
  });
  const heard = hearing();
  assert.equal(decodeCheckpoint(turned, heard).kind, "ok");
  assert.deepEqual(heard.rows, expected.rows);
  assert.deepEqual(heard.strings, expected.strings);
});

test("a checkpoint that is not believed says why", () => {
  const { checkpoint } = loadFixture("tiny");
  assert(checkpoint !== null);
  for (const version of [0, 1, 3, 4, 5, 6, 256]) {
    const other = checkpoint.slice();
    viewOf(other).setUint16(6, version, true);
    assert.match(reasonFor(other), version >= 3 && version <= 6 ? /belongs to a later release/ : new RegExp(`version ${version},`));
  }
  for (let length = 0; length < checkpoint.length; length++)
    assert.notEqual(decodeCheckpoint(checkpoint.subarray(0, length), hearing()).kind, "ok");
  assert.match(reasonFor(Buffer.concat([checkpoint, Buffer.from([0])])), /CRC/);
  assert.match(reasonFor(fileOf(Buffer.concat([checkpoint.subarray(12), Buffer.from([0])]))), /follow/);
  assert.match(reasonFor(changed((body) => (body.entries[5].global_sequence = 4))), /sequence 4 after 4/);
  assert.match(reasonFor(changed((body) => (body.global_sequence = 199))), /allocator/);
  assert.match(reasonFor(changed((body) => (body.entries[5].entity_id = 1000))), /string ids/);
  assert.match(reasonFor(changed((body) => (body.entries[5].scope_id = 0))), /string ids/);
  assert.match(reasonFor(changed((body) => (body.watermark_offset = 5000))), /past the watermark/);
  assert.match(reasonFor(changed((body) => (body.entries[7].segment_id = 2))), /past the watermark/);
  assert.match(reasonFor(changed((body) => (body.entries[7].length = 3))), /3 bytes/);
  assert.match(reasonFor(changed((body) => delete body.entries[7].clock)), /lacks clock/);
  assert.match(reasonFor(changed((body) => delete body.watermark_offset)), /lacks watermark_offset/);
  const late = changed(({ interner_strings, ...body }) => ({ ...body, interner_strings: interner_strings.slice(0, 3) }));
  assert.match(reasonFor(late), /names string/);
});

test("whichever key comes last, the end is seen", () => {
  for (const last of ["global_sequence", "watermark_offset", "interner_strings", "entries"] as const) {
    const file = changed((body) => {
      const { [last]: value, ...rest } = body;
      return { ...rest, [last]: value };
    });
    assert.equal(decodeCheckpoint(file, hearing()).kind, "ok", last);
  }
});

test("a count of four billion is refused before anyone is told of it", () => {
  const { checkpoint } = loadFixture("tiny");
  assert(checkpoint !== null);
  const at = Buffer.from(checkpoint).indexOf("entries") + 7;
  const body = Buffer.concat([checkpoint.subarray(12, at), Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]), checkpoint.subarray(at + 1)]);
  const heard = hearing();
  assert.equal(decodeCheckpoint(fileOf(body), heard).kind, "corrupt");
  assert.equal(heard.announced, -1);
});

// Found by looking: one of empty strings is small, and takes an array with it that ends the process.
test("more strings than any store has are refused before one is read", () => {
  const { checkpoint } = loadFixture("tiny");
  assert(checkpoint !== null);
  const at = Buffer.from(checkpoint).indexOf("interner_strings") + 16;
  const start = Buffer.concat([checkpoint.subarray(0, at), Buffer.from([0xdd, 0x01, 0, 0, 1, 0xa0, 0xa0])]);
  const heard = hearing();
  const decoder = new CheckpointDecoder(2 ** 32, heard);
  decoder.push(start, viewOf(start), 0, start.length);
  assert.ok(decoder.hasFailed);
  assert.deepEqual(heard.strings, []);
});

test("the visitor's own doubt ends the reading", () => {
  const { checkpoint } = loadFixture("tiny");
  assert(checkpoint !== null);
  let calls = 0;
  const visitor = { ...hearing(), entry: () => (++calls === 2 ? "its segment is gone" : undefined) };
  assert.deepEqual(decodeCheckpoint(checkpoint, visitor), {
    kind: "corrupt",
    reason: "the checkpoint does not decode: entry 1: its segment is gone",
  });
  assert.equal(calls, 2);
});

test("nothing is heard of a file whose CRC is wrong", () => {
  const { checkpoint } = loadFixture("ckpt_badcrc");
  assert(checkpoint !== null);
  const heard = hearing();
  assert.equal(decodeCheckpoint(checkpoint, heard).kind, "corrupt");
  assert.equal(heard.strings.length + heard.rows.length, 0);
  assert.equal(hex(checkpoint, 0, 6), hex(Buffer.from("FBATCK")));
});
