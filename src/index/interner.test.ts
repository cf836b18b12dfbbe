import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { atOnce } from "../base/rest.ts";
import { PrefixSet } from "../base/prefix-set.ts";
import { nameHash } from "../format/native/name-hash.ts";
import { Interner, type InternerParts } from "./interner.ts";

function loadedFrom(parts: InternerParts): Interner | null {
  return atOnce(Interner.fromParts(parts));
}

function copyOf(parts: InternerParts): InternerParts {
  return { bytes: parts.bytes.slice(), offsets: parts.offsets.slice(), hashes: parts.hashes.slice() };
}

test("names get ids from 0 in order, and keep them", () => {
  const interner = new Interner();
  assert.equal(interner.find("order:1"), -1);
  assert.equal(interner.intern("order:1"), 0);
  assert.equal(interner.intern("Grüße ✓ 😀"), 1);
  assert.equal(interner.intern("x".repeat(1024)), 2);
  assert.equal(interner.intern("order:1"), 0);
  assert.equal(interner.find("Grüße ✓ 😀"), 1);
  assert.deepEqual([interner.name(0), interner.name(1), interner.name(2)], ["order:1", "Grüße ✓ 😀", "x".repeat(1024)]);
  assert.equal(interner.byteLength(1), Buffer.byteLength("Grüße ✓ 😀"));
  assert.equal(interner.size, 3);
  const target = new Uint8Array(2000);
  assert.equal(interner.copyName(0, target, 3), 7);
  assert.equal(Buffer.from(target).toString("utf8", 3, 10), "order:1");
  assert.equal(interner.copyName(2, target, 900), 1024);
  assert.equal(target[1923], 0x78);
  assert.equal(interner.hashOf(0), nameHash(Buffer.from("order:1"), 0, 7));
  assert.equal(interner.beginsOne(0, new PrefixSet(["x", "order:"])), true);
  assert.equal(interner.beginsOne(0, new PrefixSet(["order:12"])), false);
  const bytes = Buffer.from("--order:1--");
  assert.equal(interner.findBytes(bytes, 2, 9), 0);
  assert.equal(interner.internBytes(bytes, 0, 11), 3);
});

test("more names than the caches hold all stay reachable, before and after a checkpoint", () => {
  const seed = randomInt(1 << 30);
  console.log(`seed ${seed}`);
  const interner = new Interner();
  const count = 50_000;
  for (let i = 0; i < count; i++) assert.equal(interner.intern(`entity:${seed}:${i}`), i);
  const loaded = loadedFrom(copyOf(interner.toParts()));
  assert.ok(loaded);
  for (const each of [interner, loaded]) {
    assert.equal(each.size, count);
    for (let i = count - 1; i >= 0; i--) {
      assert.equal(each.find(`entity:${seed}:${i}`), i);
      assert.equal(each.name(i), `entity:${seed}:${i}`);
    }
    assert.equal(each.find(`entity:${seed}:${count}`), -1);
  }
  assert.equal(loaded.intern("another"), count);
  assert.equal(loaded.find("another"), count);
});

test("names are found whichever parts of the table were built first after loading", () => {
  const interner = new Interner();
  for (let id = 0; id < 5000; id++) interner.intern(`order:${id}`);
  const loaded = loadedFrom(copyOf(interner.toParts()));
  assert.ok(loaded);
  assert.equal(loaded.find("order:4999"), 4999);
  assert.equal(loaded.intern("order:new"), 5000);
  for (let id = 5001; id < 9000; id++) assert.equal(loaded.intern(`order:${id}`), id);
  for (let id = 0; id < 5000; id++) assert.equal(loaded.find(`order:${id}`), id);
  assert.equal(loaded.find("order:new"), 5000);
  assert.equal(loaded.find("order:absent"), -1);
});

test("the first names alone can be taken for a checkpoint", () => {
  const interner = new Interner();
  for (const name of ["a", "bb", "ccc"]) interner.intern(name);
  const loaded = loadedFrom(copyOf(interner.toParts(2)));
  assert.equal(loaded?.size, 2);
  assert.equal(loaded?.find("bb"), 1);
  assert.equal(loaded?.find("ccc"), -1);
});

test("parts that cannot be an interner are refused", () => {
  const interner = new Interner();
  for (const name of ["a", "bé", "ccc"]) interner.intern(name);
  const good = copyOf(interner.toParts());
  const offsets = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
  assert.ok(loadedFrom(good));
  const bad: [string, Partial<InternerParts>][] = [
    ["a ragged offsets column", { offsets: good.offsets.subarray(0, 7) }],
    ["no offsets at all", { offsets: new Uint8Array(0) }],
    ["offsets past the bytes", { offsets: offsets(0, 1, 4, 8) }],
    ["offsets that fall", { offsets: offsets(0, 4, 1, 7) }],
    ["an empty name", { offsets: offsets(0, 1, 1, 7) }],
    ["a name that starts within a character", { offsets: offsets(0, 1, 3, 7) }],
    ["offsets that do not start at 0", { offsets: offsets(1, 2, 4, 7) }],
    ["bytes that are not UTF-8", { bytes: Uint8Array.of(97, 98, 0xff, 0xff, 99, 99, 99) }],
    ["too few hashes", { hashes: good.hashes.subarray(4) }],
  ];
  for (const [what, change] of bad) assert.equal(loadedFrom({ ...good, ...change }), null, what);
});

test("many names are loaded in steps", () => {
  const interner = new Interner();
  for (let id = 0; id < 140_000; id++) interner.intern(`a name of forty bytes, with its number ${String(id).padStart(6, "0")}`);
  const steps = Interner.fromParts(copyOf(interner.toParts()));
  let rests = 0;
  let step = steps.next();
  for (; step.done !== true; step = steps.next()) rests++;
  // Of 65,536 names, and of 4 MiB of them.
  assert.equal(rests, 2 + 1);
  assert.equal(step.value?.find("a name of forty bytes, with its number 139999"), 139_999);
});
