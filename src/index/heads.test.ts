import assert from "node:assert/strict";
import { test } from "node:test";
import { Heads, type HeadsParts } from "./heads.ts";

function copyOf(parts: HeadsParts): HeadsParts {
  const { clock, sequence, timeMicros, hash, visibleSequence } = parts;
  return {
    clock: clock.slice(),
    sequence: sequence.slice(),
    timeMicros: timeMicros.slice(),
    hash: hash.slice(),
    visibleSequence: visibleSequence.slice(),
  };
}

function sample(): Heads {
  const heads = new Heads();
  heads.ensure(200);
  heads.clock[200] = 7;
  heads.sequence[200] = 2 ** 40;
  heads.timeMicros[200] = 1_700_000_000_000_000;
  heads.hash.fill(9, 200 * 32, 201 * 32);
  heads.setVisible(200, 2 ** 40);
  heads.setVisible(3, 5);
  return heads;
}

test("an entity without events has no clock, sequence or visible event", () => {
  const heads = new Heads(2);
  heads.ensure(1);
  heads.ensure(500);
  assert.equal(heads.count, 501);
  for (const entity of [0, 1, 2, 499, 500]) {
    assert.equal(heads.clock[entity], -1);
    assert.equal(heads.sequence[entity], -1);
    assert.equal(heads.visibleSequence[entity], -1);
  }
  assert.equal(heads.liveEntities, 0);
});

test("growing keeps what was there", () => {
  const heads = sample();
  heads.ensure(5000);
  assert.equal(heads.clock[200], 7);
  assert.equal(heads.sequence[200], 2 ** 40);
  assert.equal(heads.hash[200 * 32 + 31], 9);
  assert.equal(heads.visibleSequence[4999], -1);
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
  const loaded = Heads.fromParts(copyOf(heads.toParts()), 201);
  assert.ok(loaded);
  assert.deepEqual(copyOf(loaded.toParts()), copyOf(heads.toParts()));
  assert.equal(loaded.liveEntities, 2);
  assert.equal(loaded.count, 201);
});

test("parts that cannot be heads are refused", () => {
  const good = copyOf(sample().toParts());
  const numbers = (value: number): Uint8Array => new Uint8Array(new Float64Array(201).fill(value).buffer);
  assert.ok(Heads.fromParts(good, 201));
  assert.equal(Heads.fromParts(good, 200), null);
  assert.equal(Heads.fromParts({ ...good, hash: good.hash.subarray(1) }, 201), null);
  for (const column of ["clock", "sequence", "timeMicros", "visibleSequence"] as const) {
    for (const value of [Number.NaN, -2, 0.5, 2 ** 53, Infinity]) {
      assert.equal(Heads.fromParts({ ...good, [column]: numbers(value) }, 201), null, `${column} ${value}`);
    }
    assert.equal(Heads.fromParts({ ...good, [column]: good[column].subarray(8) }, 201), null, `${column} too short`);
  }
});
