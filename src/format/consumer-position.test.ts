/** The bytes of a consumer's position. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CONSUMER_POSITION, decodeConsumerPosition, encodeConsumerPosition } from "./consumer-position.ts";

const storeId = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const hash = "0123456789abcdef".repeat(4);

test("a position comes back as it went in", () => {
  for (const position of [-1, 0, 41, 2 ** 40, Number.MAX_SAFE_INTEGER - 1]) {
    for (const name of ["a", "注文", "x".repeat(80)]) {
      for (const content of [
        { storeId, name, position, hash },
        { storeId: new Uint8Array(16), name, position, hash: null },
      ]) {
        assert.deepEqual(decodeConsumerPosition(encodeConsumerPosition(content)), { kind: "ok", content });
      }
    }
  }
});

test("golden bytes", () => {
  const bytes = encodeConsumerPosition({ storeId, name: "mailer", position: 255, hash });
  assert.equal(
    Buffer.from(bytes).toString("hex"),
    [
      "42415450414b4350", // magic
      "0100", // version
      "0600", // length of the name
      "00000000",
      "0102030405060708090a0b0c0d0e0f10", // store id
      "0001000000000000", // the position and one
      hash,
      "6d61696c6572", // name
      "66aec4d6", // CRC
    ].join(""),
  );
});

test("no changed, missing or added byte passes", () => {
  const bytes = encodeConsumerPosition({ storeId, name: "mailer", position: 255, hash });
  for (let at = 0; at < bytes.length; at++) {
    for (const bit of [1, 0x80]) {
      const bad = bytes.slice();
      bad[at] ^= bit;
      assert.equal(decodeConsumerPosition(bad).kind, "corrupt", `byte ${at}`);
    }
    assert.equal(decodeConsumerPosition(bytes.subarray(0, at)).kind, "corrupt");
  }
  assert.equal(decodeConsumerPosition(Uint8Array.from([...bytes, 0])).kind, "corrupt");
});

test("docs/format.md has the same offsets", () => {
  const page = readFileSync(new URL("../../docs/format.md", import.meta.url), "utf8");
  const table = /<!-- consumer position -->(.*?)<!-- end consumer position -->/s.exec(page)?.[1] ?? "";
  const offsets = [...table.matchAll(/^\| (\d+) \| \S+ \| (\w+) \|/gm)].map(([, offset, field]) => [field, Number(offset)]);
  assert.deepEqual(Object.fromEntries(offsets), CONSUMER_POSITION);
});
