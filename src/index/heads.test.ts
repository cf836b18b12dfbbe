import assert from "node:assert/strict";
import { test } from "node:test";
import { atOnce } from "../base/rest.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { Heads, type HeadsParts } from "./heads.ts";

/** The parts of the heads as they are now. */
function partsOf(heads: Heads): HeadsParts {
  const picture = heads.beginPicture();
  while (!picture.advance());
  picture.end();
  return picture.parts;
}

function restored(parts: HeadsParts, count: number, sequenceMax = 2 ** 41): Heads | null {
  return atOnce(Heads.restore(parts, count, sequenceMax));
}

function hashOf(byte: number): Uint8Array {
  return new Uint8Array(32).fill(byte);
}

function sample(): Heads {
  const heads = new Heads();
  heads.ensure(200);
  heads.accept(200, 7, 2 ** 40, 1_700_000_000_000_000);
  heads.setHashBytes(200, hashOf(9));
  heads.setVisible(200, 2 ** 40);
  heads.accept(3, 0, 5, 6);
  heads.setVisible(3, 5);
  return heads;
}

test("an entity without events has no clock, sequence or visible event, nor has one without a place", () => {
  const heads = new Heads();
  heads.ensure(1);
  heads.ensure(5000);
  assert.equal(heads.count, 5001);
  for (const entity of [0, 1, 2, 4999, 5000, 5001, 2 ** 30]) {
    assert.equal(heads.clock(entity), -1);
    assert.equal(heads.sequence(entity), -1);
    assert.equal(heads.visibleSequence(entity), -1);
    assert.equal(heads.timeMicros(entity), 0);
  }
  assert.equal(heads.liveEntities, 0);
});

test("growing keeps what was there, where it was", () => {
  const heads = sample();
  const hash = heads.hash(200);
  heads.ensure(50_000);
  assert.equal(heads.clock(200), 7);
  assert.equal(heads.sequence(200), 2 ** 40);
  assert.deepEqual(heads.hash(200), hashOf(9));
  assert.equal(heads.hash(200).buffer, hash.buffer);
  assert.equal(heads.visibleSequence(49_999), -1);
});

test("live entities are those with a visible event", () => {
  const heads = sample();
  assert.equal(heads.liveEntities, 2);
  heads.setVisible(3, 6);
  assert.equal(heads.liveEntities, 2);
  heads.clearVisible(3);
  heads.clearVisible(3);
  assert.equal(heads.liveEntities, 1);
});

test("parts come back as they were", () => {
  const heads = sample();
  const loaded = restored(partsOf(heads), 201);
  assert.ok(loaded);
  assert.deepEqual(partsOf(loaded), partsOf(heads));
  assert.equal(loaded.liveEntities, 2);
  assert.equal(loaded.count, 201);
  assert.equal(loaded.timeMicros(200), 1_700_000_000_000_000);
  const nine = new DataView(new Uint8Array(40).fill(9).buffer);
  assert.equal(loaded.hasHash(200, nine, 3), true);
  nine.setUint8(34, 8);
  assert.equal(loaded.hasHash(200, nine, 3), false);
  assert.equal(loaded.hasHash(200, nine, 2), true);
});

test("parts that cannot be heads are refused", () => {
  const good = partsOf(sample());
  const numbers = (value: number): Uint8Array => new Uint8Array(new Float64Array(201).fill(value).buffer);
  assert.ok(restored(good, 201));
  assert.equal(restored(good, 200), null);
  assert.equal(restored({ ...good, hash: good.hash.subarray(1) }, 201), null);
  assert.ok(restored(good, 201, 2 ** 40));
  assert.equal(restored(good, 201, 2 ** 40 - 1), null, "a head past the end");
  assert.equal(
    restored({ ...good, sequence: good.visibleSequence, visibleSequence: numbers(2 ** 40) }, 201),
    null,
    "visible past the head",
  );
  for (const column of ["clock", "sequence", "timeMicros", "visibleSequence"] as const) {
    for (const value of [Number.NaN, -2, 0.5, 2 ** 53, Infinity]) {
      assert.equal(restored({ ...good, [column]: numbers(value) }, 201), null, `${column} ${value}`);
    }
    assert.equal(restored({ ...good, [column]: good[column].subarray(8) }, 201), null, `${column} too short`);
  }
});

test("a picture is of its moment, whatever changes while it is worked out, and holds hashes bit by bit", () => {
  const fraction = seededRandom(5);
  const random = (below: number): number => Math.floor(fraction() * below);
  const heads = new Heads();
  const entities = 20_000;
  // As numbers, some of these bytes are NaN with a message, which does not survive being read as a number.
  const randomHash = (): Uint8Array => Uint8Array.from({ length: 32 }, (_, i) => (i % 8 > 5 ? 0xff : random(256)));
  const change = (entity: number): void => {
    heads.ensure(entity);
    heads.accept(entity, random(1000), random(100_000), random(1_000_000));
    if (random(2) === 0) heads.setHashBytes(entity, randomHash());
    if (random(4) === 0) heads.clearVisible(entity);
    else heads.setVisible(entity, random(100_000));
  };
  for (let entity = 0; entity < entities; entity++) change(entity);
  const expected = partsOf(heads);
  const picture = heads.beginPicture();
  for (let i = 0; i < 3000; i++) change(random(entities));
  for (let copied = false; !copied; ) {
    copied = picture.advance();
    for (let i = 0; i < 3000; i++) change(random(entities + 500));
  }
  picture.end();
  assert.equal(picture.count, entities);
  assert.deepEqual(picture.parts, expected);
  assert.notDeepEqual(partsOf(heads).clock, expected.clock);
});

test("restored heads are as those they were taken of, and so are pictures of them, whichever were asked for before", () => {
  const fraction = seededRandom(6);
  const random = (below: number): number => Math.floor(fraction() * below);
  // Neither a whole number of blocks, nor of the steps of a picture.
  const entities = 5003;
  const original = new Heads();
  const change = (all: readonly Heads[], entity: number): void => {
    const [clock, sequence, time, visible] = [random(1000), 50_000 + random(1000), random(1_000_000), random(50_000)];
    const hash = hashOf(random(256));
    for (const heads of all) {
      heads.ensure(entity);
      heads.accept(entity, clock, sequence, time);
      heads.setHashBytes(entity, hash);
      if (visible % 5 === 0) heads.clearVisible(entity);
      else heads.setVisible(entity, visible);
    }
  };
  for (let entity = 0; entity < entities; entity++) change([original], entity);
  const loaded = restored(partsOf(original), entities);
  assert.ok(loaded);
  const both = [original, loaded];
  for (let i = 0; i < 200; i++) change(both, random(entities));
  change(both, entities + 2);
  for (const heads of both) heads.ensure(entities + 60);
  assert.deepEqual(partsOf(loaded), partsOf(original));
  const pictures = both.map((heads) => heads.beginPicture());
  for (let copied = false; !copied; ) {
    for (let i = 0; i < 300; i++) change(both, random(entities + 80));
    copied = pictures.map((picture) => picture.advance()).every(Boolean);
  }
  for (const picture of pictures) picture.end();
  assert.deepEqual(pictures[1]?.parts, pictures[0]?.parts);
  assert.deepEqual(partsOf(loaded), partsOf(original));
  assert.equal(loaded.liveEntities, original.liveEntities);
});

test("a picture takes accepted heads back, before they change and after", () => {
  const heads = sample();
  const picture = heads.beginPicture();
  heads.accept(3, 44, 45, 46);
  picture.takeBack(3, 4, 5, 6);
  picture.takeBack(200, 6, 2 ** 40, 3);
  heads.accept(200, 8, 9, 10);
  while (!picture.advance());
  picture.end();
  const loaded = restored(picture.parts, 201);
  assert.ok(loaded);
  assert.deepEqual([loaded.clock(3), loaded.sequence(3), loaded.timeMicros(3), loaded.visibleSequence(3)], [4, 5, 6, 5]);
  assert.deepEqual([loaded.clock(200), loaded.sequence(200), loaded.visibleSequence(200)], [6, 2 ** 40, 2 ** 40]);
  assert.deepEqual(loaded.hash(200), hashOf(9));
  assert.deepEqual([heads.clock(3), heads.clock(200)], [44, 8]);
});

test("one picture at a time", () => {
  const heads = sample();
  const picture = heads.beginPicture();
  assert.throws(() => heads.beginPicture(), /one picture/);
  picture.end();
  heads.beginPicture().end();
});
