/** The bytes of a consumer's position. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { CONSUMER_POSITION, CONSUMER_SLOT_BYTES, decodeConsumerPosition, encodeConsumerPosition } from "./consumer-position.ts";

const storeId = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const hash = "0123456789abcdef".repeat(4);

test("a position comes back as it went in", () => {
  for (const position of [-1, 0, 41, 2 ** 40, Number.MAX_SAFE_INTEGER - 1]) {
    for (const name of ["a", "注文", "x".repeat(80)]) {
      for (const content of [
        { storeId, name, position, hash, turn: 7 },
        { storeId: new Uint8Array(16), name, position, hash: null, turn: 0xffff_ffff },
      ]) {
        assert.deepEqual(decodeConsumerPosition(encodeConsumerPosition(content)), { kind: "ok", content });
      }
    }
  }
});

test("golden bytes", () => {
  const bytes = encodeConsumerPosition({ storeId, name: "mailer", position: 255, hash, turn: 3 });
  assert.equal(
    Buffer.from(bytes).toString("hex"),
    [
      "42415450414b4350", // magic
      "0100", // version
      "0600", // length of the name
      "03000000", // turn
      "0102030405060708090a0b0c0d0e0f10", // store id
      "0001000000000000", // the position and one
      hash,
      "6d61696c6572", // name
      "4759fe0c", // CRC
    ].join(""),
  );
});

test("no changed, missing or added byte passes", () => {
  const bytes = encodeConsumerPosition({ storeId, name: "mailer", position: 255, hash, turn: 3 });
  for (let at = 0; at < bytes.length; at++) {
    for (const bit of [1, 0x80]) {
      const bad = bytes.slice();
      bad[at] ^= bit;
      assert.equal(decodeConsumerPosition(bad).kind, "corrupt", `byte ${at}`);
    }
    assert.equal(decodeConsumerPosition(bytes.subarray(0, at)).kind, "corrupt");
  }
  assert.equal(decodeConsumerPosition(Uint8Array.from([...bytes, 1])).kind, "corrupt");
});

// Found by the fuzzer: read as text with characters in place of the bytes, it could be written to no record again.
test("a name that is not UTF-8 is none, whatever the checksum says", () => {
  const bytes = encodeConsumerPosition({ storeId, name: "mailer", position: 255, hash, turn: 3 });
  bytes[CONSUMER_POSITION.name] = 0xe9;
  new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
  assert.deepEqual(decodeConsumerPosition(bytes), { kind: "corrupt", reason: "its name is not UTF-8" });
});

/** A file of two records, either of which may be cut or changed. */
function fileOf(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(CONSUMER_SLOT_BYTES + second.length);
  bytes.set(first);
  bytes.set(second, CONSUMER_SLOT_BYTES);
  return bytes;
}

test("of two records that of the later turn is in force, also where turns begin anew", () => {
  const record = (position: number, turn: number): Uint8Array => encodeConsumerPosition({ storeId, name: "mailer", position, hash, turn });
  const positionIn = (bytes: Uint8Array): number | string => {
    const outcome = decodeConsumerPosition(bytes);
    return outcome.kind === "ok" ? outcome.content.position : outcome.kind;
  };
  for (const turn of [0, 1, 0x7fff_ffff, 0xffff_ffff]) {
    const [older, newer] = [record(5, turn), record(9, turn + 1)];
    assert.equal(positionIn(fileOf(older, newer)), 9);
    assert.equal(positionIn(fileOf(newer, older)), 9);
  }
  const [older, newer] = [record(5, 0), record(9, 1)];
  for (let at = 0; at < newer.length; at++) {
    const torn = newer.slice();
    torn[at] ^= 1;
    assert.equal(positionIn(fileOf(older, torn)), 5, `byte ${at} of the second`);
    assert.equal(positionIn(fileOf(torn, older)), 5, `byte ${at} of the first`);
    assert.equal(positionIn(fileOf(torn, torn)), "corrupt");
    assert.equal(positionIn(fileOf(older, newer.subarray(0, at))), 5, `cut at ${at}`);
  }
  assert.equal(positionIn(fileOf(older, new Uint8Array(CONSUMER_SLOT_BYTES))), 5);
  assert.equal(positionIn(fileOf(older, new Uint8Array(CONSUMER_SLOT_BYTES + 1))), "corrupt", "a longer file is another's");
});

test("docs/format.md has the same offsets", () => {
  const page = readFileSync(new URL("../../docs/format.md", import.meta.url), "utf8");
  const table = /<!-- consumer position -->(.*?)<!-- end consumer position -->/s.exec(page)?.[1] ?? "";
  const offsets = [...table.matchAll(/^\| (\d+) \| \S+ \| (\w+) \|/gm)].map(([, offset, field]) => [field, Number(offset)]);
  assert.deepEqual(Object.fromEntries(offsets), CONSUMER_POSITION);
});
