/** What the kernel describes of a checkpoint's entries, against what the loops read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { msgpackReader, viewOf } from "../../base/msgpack.ts";
import { createEntryWalker } from "../../kernel/frame-kernel.ts";
import type { CheckpointEntry } from "./checkpoint.ts";
import { checkpointEntryFields, emptyEntry, openEntryWalker, readCheckpointEntry, takeRecord } from "./checkpoint-entry.ts";
import { CHECKPOINT_ENTRY_KEYS } from "./layout.ts";

const BYTES = 256 * 1024;
const found = openEntryWalker(BYTES);
assert(found !== null);
const walker = found;
/** More than an entry may take: the kernel describes none that might end later. */
const ROOM = 1024;

const entryToFill = (): CheckpointEntry => ({ ...emptyEntry(), bytes: walker.bytes, view: viewOf(walker.bytes) });

/** An unsigned integer of up to `bits` bits in any form that holds it. */
const unsigned = (bits: number): fc.Arbitrary<number[]> =>
  fc.tuple(fc.oneof(fc.bigInt(0n, 300n), fc.bigInt(0n, 2n ** BigInt(bits) - 1n)), fc.nat(4)).map(([value, wider]) => {
    const widths = [7, 8, 16, 32, 64].filter((width) => value < 2n ** BigInt(width));
    const width = widths[Math.min(wider, widths.length - 1)];
    if (width === 7) return [Number(value)];
    const bytes = Array.from({ length: width / 8 }, (_, i) => Number((value >> BigInt(width - 8 * (i + 1))) & 0xffn));
    return [0xcc + Math.log2(width / 8), ...bytes];
  });

const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => [0xc4, 16, ...bytes]);

/** Bytes from 0x80 on take two bytes; lesser ones may. */
const hash = fc
  .array(fc.tuple(fc.oneof(fc.nat(255), fc.constantFrom(0, 0x7f, 0x80, 0xcc, 0xcd, 0xff)), fc.nat(6)), { minLength: 32, maxLength: 32 })
  .map((bytes) => [0xdc, 0, 32, ...bytes.flatMap(([byte, form]) => (byte < 0x80 && form > 0 ? [byte] : [0xcc, byte]))]);

/** How many bits the field of each key may have that is a number. */
const BITS = new Map<number, number>([3, 4, 7, 12].map((key) => [key, 32]));
BITS.set(5, 16);
for (const key of [6, 10, 11, 13]) BITS.set(key, 53);

const members = fc.tuple(
  ...CHECKPOINT_ENTRY_KEYS.names.map((name, key) => {
    const bits = BITS.get(key);
    if (bits !== undefined) return unsigned(bits);
    return name.endsWith("hash") ? hash : name === "causation_id" ? fc.oneof(fc.constant([0xc0]), id) : id;
  }),
);

function entryOf(list: readonly (readonly number[])[]): Uint8Array {
  return Uint8Array.from([0x8e, ...list.flatMap((value, key) => [...CHECKPOINT_ENTRY_KEYS.encoded[key], ...value])]);
}

const usual = members.map(entryOf);

/** Lays `bytes` at `at`, among bytes of one sort. */
function place(bytes: Uint8Array, at: number, filler: number): void {
  walker.bytes.fill(filler, 0, at + bytes.length + ROOM);
  walker.bytes.set(bytes, at);
}

/** What stands at `at` by the loops: fields and end, or null where it is no entry. */
function readByLoops(at: number): readonly [ReturnType<typeof checkpointEntryFields>, number] | null {
  const entry = entryToFill();
  const reader = msgpackReader(walker.bytes, viewOf(walker.bytes), at, BYTES);
  readCheckpointEntry(reader, entry);
  return reader.fault === null ? [checkpointEntryFields(entry), reader.position] : null;
}

/** The same by the kernel; null also where the entry is of another form. */
function readByKernel(at: number): ReturnType<typeof readByLoops> {
  if (walker.describe(at, BYTES, 1) === 0) return null;
  const entry = entryToFill();
  const end = takeRecord(walker, 0, entry);
  return [checkpointEntryFields(entry), end];
}

test("the kernel describes each entry of the usual form as the loops read it", () => {
  fc.assert(
    fc.property(usual, fc.nat(1000), fc.nat(255), (bytes, at, filler) => {
      place(bytes, at, filler);
      const expected = readByLoops(at);
      assert.equal(expected?.[1], at + bytes.length);
      assert.deepEqual(readByKernel(at), expected);
    }),
    { numRuns: 3000 },
  );
});

test("what the kernel describes of entries with wrong bytes is what the loops read", () => {
  let described = 0;
  let refused = 0;
  const change = fc.tuple(fc.nat(700), fc.oneof(fc.nat(255), fc.constantFrom(0xc0, 0xc4, 0xcb, 0xcc, 0xcf, 0xd0, 0xdc)));
  fc.assert(
    fc.property(usual, fc.array(change, { minLength: 1, maxLength: 3 }), fc.nat(255), (bytes, changes, filler) => {
      for (const [where, byte] of changes) bytes[where % bytes.length] = byte;
      place(bytes, 100, filler);
      const actual = readByKernel(100);
      if (actual === null) refused++;
      else {
        described++;
        assert.deepEqual(actual, readByLoops(100));
      }
    }),
    { numRuns: 10_000 },
  );
  assert(described > 1000 && refused > 1000, `${described} described, ${refused} refused`);
});

test("integers above what a field may hold are left to the loops, which refuse them", () => {
  const [list] = fc.sample(members, { seed: 1, numRuns: 1 });
  for (const [key, bits] of BITS) {
    const withNumber = (value: bigint): Uint8Array => {
      const integer = [0xcf, ...Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(56 - 8 * i)) & 0xffn))];
      return entryOf(list.with(key, integer));
    };
    const limit = 2n ** BigInt(bits);
    place(withNumber(limit - 1n), 0, 0);
    assert.notEqual(readByKernel(0), null, `key ${key} at its limit`);
    assert.deepEqual(readByKernel(0), readByLoops(0));
    for (const value of [limit, 2n ** 63n, 2n ** 64n - 1n]) {
      place(withNumber(value), 0, 0);
      assert.equal(readByKernel(0), null);
      assert.equal(readByLoops(0), null);
    }
  }
});

test("no more are described than are asked for, than there is room for, and none that might end behind the limit", () => {
  const [entry] = fc.sample(usual, { seed: 2, numRuns: 1 });
  const count = Math.floor(BYTES / entry.length);
  for (let i = 0; i < count; i++) walker.bytes.set(entry, i * entry.length);
  walker.bytes.fill(0, count * entry.length);
  assert.equal(walker.describe(0, BYTES, 7), 7);
  assert.equal(walker.describe(0, entry.length - 1, 7), 0);
  const atOnce = walker.describe(0, BYTES, 1e9);
  assert(atOnce > 7 && atOnce < count);
  assert.equal(takeRecord(walker, atOnce - 1, entryToFill()), atOnce * entry.length);
  assert.equal(walker.describe(0, 6 * entry.length, 7), 5);
  // One of another form.
  walker.bytes[3 * entry.length] = 0x8f;
  assert.equal(walker.describe(0, BYTES, 7), 3);
});

test("where the memory cannot be had there is no walker, and no error", () => {
  assert.equal(createEntryWalker(2 ** 40, { keys: CHECKPOINT_ENTRY_KEYS.encoded, bytesMax: 1 }), null);
});
