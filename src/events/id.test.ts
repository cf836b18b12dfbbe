import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { formatHex, formatId, formatIdHex, IdIssuer, keyedId, parseId } from "./id.ts";
import { utf8, utf8Length } from "./utf8.ts";

const random = (target: Uint8Array): void => {
  target.set(randomBytes(target.length));
};
const sha = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());
const invalid = { code: "INVALID_ARGUMENT" };

test("an id survives text and hex, in either case", () => {
  for (let round = 0; round < 200; round++) {
    const bytes = new Uint8Array(randomBytes(20));
    const text = formatId(bytes, 3);
    assert.match(text, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    const id = bytes.slice(3, 19);
    assert.deepEqual(parseId(text, "read"), id);
    assert.deepEqual(parseId(text.toUpperCase(), "read"), id);
    assert.deepEqual(parseId(formatIdHex(bytes, 3), "read"), id);
    assert.equal(formatIdHex(bytes, 3), text.replaceAll("-", ""));
    assert.equal(formatHex(bytes, 0, 20), Buffer.from(bytes).toString("hex"));
  }
});

test("anything else is no id", () => {
  const good = "01890a5d-ac96-774b-bcce-b302099a8057";
  for (const bad of [
    "",
    "x",
    good.slice(1),
    `${good}0`,
    good.replace("0", "g"),
    good.replace("-", "0"),
    `0189-0a5dac96-774b-bcce-b302099a8057`,
    `é${good.slice(1)}`,
    `{${good.slice(2)}}`,
    7,
    null,
    undefined,
    {},
  ]) {
    assert.throws(
      () => parseId(bad, "get an event"),
      (error: Error & { code?: string }) => {
        assert.ok(error instanceof TypeError);
        assert.equal(error.code, "INVALID_ARGUMENT");
        assert.match(error.message, /^Cannot get an event: /);
        return true;
      },
    );
  }
});

test("a keyed id is the stated hash with version 8", () => {
  const entity = utf8("order:5é");
  const input = Buffer.concat([
    Buffer.from("batpak key 1"),
    Buffer.from([entity.length, 0, 0, 0]),
    entity,
    Buffer.from([3, 0, 0, 0]),
    Buffer.from("k"),
  ]);
  const expected = sha(input).slice(0, 16);
  expected[6] = (expected[6] & 15) | 0x80;
  expected[8] = (expected[8] & 63) | 0x80;
  assert.deepEqual(keyedId("order:5é", 3, "k", sha), expected);
  assert.notDeepEqual(keyedId("order:5é", 4, "k", sha), expected);
  assert.notDeepEqual(keyedId("order:5", 3, "k", sha), expected);
});

test("a keyed id is right after one of much longer names, and in any script", () => {
  const idOf = (entity: string, item: number, key: string): Uint8Array => {
    const [name, text] = [Buffer.from(entity), Buffer.from(key)];
    const numbers = Buffer.alloc(8);
    numbers.writeUInt32LE(name.length, 0);
    numbers.writeUInt32LE(item, 4);
    const id = sha(Buffer.concat([Buffer.from("batpak key 1"), numbers.subarray(0, 4), name, numbers.subarray(4), text])).slice(0, 16);
    id[6] = (id[6] & 15) | 0x80;
    id[8] = (id[8] & 63) | 0x80;
    return id;
  };
  for (const [entity, item, key] of [
    ["e", 0, "k"],
    ["заказ:1", 70_000, "ключ"],
    ["x".repeat(1024), 1, "🦇".repeat(256)],
    ["abc\u00e9def", 2, "abcdef\u20ac"],
    ["e", 0, "k"],
  ] as const) {
    assert.deepEqual(keyedId(entity, item, key, sha), idOf(entity, item, key));
  }
});

test("keys are 1 to 1,024 bytes of well-formed text", () => {
  const entity = "e";
  assert.equal(keyedId(entity, 0, "k".repeat(1024), sha).length, 16);
  assert.equal(keyedId(entity, 0, "é".repeat(512), sha).length, 16);
  for (const bad of ["", "k".repeat(1025), "é".repeat(513), "\ud800", "a\udc00b", 7 as unknown as string]) {
    assert.throws(() => keyedId(entity, 0, bad, sha), invalid);
  }
});

test("utf8Length agrees with the platform and finds lone surrogates", () => {
  for (const text of ["", "a", "é", "€", "🦇", "a🦇b€", "\uffff\ud7ff\ue000"]) assert.equal(utf8Length(text), Buffer.byteLength(text));
  for (const text of ["\ud800", "\udc00", "\ud800a", "\udc00\ud800", "🦇\ud83e"]) assert.equal(utf8Length(text), -1);
});

function issue(issuer: IdIssuer, timeMs: number): string {
  const target = new Uint8Array(18);
  issuer.issue(timeMs, target, 1);
  assert.equal(target[0], 0);
  assert.equal(target[17], 0);
  return formatIdHex(target, 1);
}

test("issued ids are version 7, carry the time and increase strictly however time moves", () => {
  const issuer = new IdIssuer(random);
  let previous = "";
  let newest = 0;
  let time = 1_700_000_000_000;
  for (let round = 0; round < 5000; round++) {
    time += [0, 0, 0, 1, -5, 3, 1000, -990][round % 8];
    newest = Math.max(newest, time);
    const id = issue(issuer, time);
    assert.ok(id > previous, `${id} after ${previous}`);
    assert.equal(Number.parseInt(id.slice(0, 12), 16), newest);
    assert.equal(id[12], "7");
    assert.match(id[16], /[89ab]/);
    previous = id;
  }
});

test("random bits are drawn anew each millisecond and counted up within one", () => {
  const issuer = new IdIssuer(random);
  const first = issue(issuer, 1000);
  const second = issue(issuer, 1000);
  assert.equal(BigInt(`0x${second}`) - BigInt(`0x${first}`), 1n);
  assert.notEqual(issue(issuer, 1001).slice(13), second.slice(13));
});

test("an overflow carries into the next millisecond", () => {
  const ones = (target: Uint8Array): void => void target.fill(255);
  const issuer = new IdIssuer(ones);
  assert.equal(issue(issuer, 5), `0000000000057fffbfffffffffffffff`);
  assert.equal(issue(issuer, 5), `0000000000067fffbfffffffffffffff`);
  const carry = new IdIssuer(ones);
  carry.resumeAfter(parseId("000000000005712380000000ffffffff", "resume"));
  assert.equal(issue(carry, 5), "00000000000571238000000100000000");
  carry.resumeAfter(parseId("0000000000057123bfffffffffffffff", "resume"));
  assert.equal(issue(carry, 5), "00000000000571248000000000000000");
});

test("resuming never issues an id at or below the newest", () => {
  const newest = "018bcfe568007fff9234567812345678";
  const issuer = new IdIssuer(random);
  issuer.resumeAfter(parseId(newest, "resume"));
  assert.equal(issue(issuer, 0), "018bcfe568007fff9234567812345679");
  issuer.resumeAfter(parseId("018bcfe567007fff9234567812345678", "resume")); // older: changes nothing
  assert.equal(issue(issuer, 0), "018bcfe568007fff923456781234567a");
  issuer.resumeAfter(parseId("018bcfe56800ffffffffffffffffffff", "resume")); // not one of ours
  assert.ok(issue(issuer, 0) > "018bcfe56800ffffffffffffffffffff");
});

test("a clock from before 1970 counts as 1970", () => {
  const issuer = new IdIssuer(random);
  const first = issue(issuer, -5);
  assert.equal(first.slice(0, 12), "000000000000");
  assert.ok(issue(issuer, -4) > first);
});
