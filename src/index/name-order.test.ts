import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { PrefixSet } from "../base/prefix-set.ts";
import { atOnce } from "../base/rest.ts";
import { Interner } from "./interner.ts";
import { NameOrder } from "./name-order.ts";

/** Makes the order of all names that there are; gives how many questions and steps it took. */
function makeWhole(order: NameOrder): { questions: number; steps: number } {
  const whole = { questions: 0, steps: 0 };
  for (; order.isDue; whole.questions++) for (const _ of order.help()) whole.steps++;
  return whole;
}

/** Asks so often that names which came since are sorted as well. */
function askUntilDue(order: NameOrder): void {
  for (let i = 0; i < 100_000 && !order.isDue; i++) order.find(new PrefixSet(["none begins so"]), 1);
}

/** Counts the names that are looked at. */
function countLooks(names: Interner): { looks: number } {
  const counted = { looks: 0 };
  for (const method of ["beginsOne", "compareStart", "compare"] as const) {
    const look = Interner.prototype[method] as (...given: unknown[]) => unknown;
    Object.assign(names, {
      [method]: (...given: unknown[]) => {
        counted.looks++;
        return look.apply(names, given);
      },
    });
  }
  return counted;
}

// Few letters, so that many begin alike: of one byte to four, the least and the greatest, and some that differ in their last byte alone.
const letter = fc.constantFrom("a", "b", "\0", ":", "é", "è", "中", "😀", "😁", "\u{10ffff}", "\uffff");
const text = fc.array(letter, { minLength: 1, maxLength: 6 }).map((letters) => letters.join(""));
const prefix = fc.oneof(text, fc.constant(""));

test("what begins with a prefix is found, whatever is sorted and whatever comes in between", () => {
  const step = fc.record({
    added: fc.array(text, { maxLength: 60 }),
    prefixes: fc.array(prefix, { minLength: 1, maxLength: 3 }),
    helps: fc.boolean(),
    asks: fc.boolean(),
    idsMax: fc.constantFrom(0, 1, 5, 1000),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
      const names = new Interner();
      const order = new NameOrder(names);
      for (const { added, prefixes, helps, asks, idsMax } of steps) {
        for (const name of added) names.intern(name);
        if (asks) askUntilDue(order);
        if (helps) atOnce(order.help());
        const expected = Array.from({ length: names.size }, (_, id) => id).filter((id) =>
          prefixes.some((one) => names.name(id).startsWith(one)),
        );
        const found = order.find(new PrefixSet(prefixes), idsMax);
        if (expected.length > idsMax) assert.equal(found, null);
        else
          assert.deepEqual(
            found?.sort((a, b) => a - b),
            expected,
          );
      }
    }),
    { numRuns: 400 },
  );
});

test("names are added in the middle of sorting, and of merging", () => {
  const seed = randomInt(1 << 30);
  console.log(`seed ${seed}`);
  const names = new Interner();
  const order = new NameOrder(names);
  const prefixes = new PrefixSet(["tenant:7:", "tenant:12", "x"]);
  let added = 0;
  const add = (count: number): void => {
    for (const end = added + count; added < end; added++)
      names.intern(`tenant:${Math.imul(added + seed, 0x9e37_79b1) >>> 20}:order:${added}`);
  };
  for (let round = 0; round < 4; round++) {
    add(30_000);
    while (order.isDue) {
      for (const _ of order.help()) add(3);
      const found = order.find(prefixes, 100_000);
      if (found === null) continue;
      const expected = Array.from({ length: names.size }, (_, id) => id).filter((id) => names.beginsOne(id, prefixes));
      assert.deepEqual(
        found.sort((a, b) => a - b),
        expected,
      );
    }
  }
  assert.notEqual(order.find(prefixes, 100_000), null);
});

test("a few names are looked through until that was done often enough; then a question looks at few of them", () => {
  const names = new Interner();
  for (let i = 0; i < 1000; i++) names.intern(`order:${i}`);
  const order = new NameOrder(names);
  const counted = countLooks(names);
  const one = new PrefixSet(["order:77"]);
  for (let i = 0; i < 5; i++) {
    assert.equal(order.isDue, false);
    assert.equal(order.find(one, 100)?.length, 11);
  }
  assert.equal(counted.looks, 5000);
  assert.equal(order.isDue, true);
  makeWhole(order);
  counted.looks = 0;
  assert.equal(order.find(one, 100)?.length, 11);
  assert.ok(counted.looks <= 22, `${counted.looks} looks at 1000 names`);
  // A new one costs a look each time, until those looks are as many.
  names.intern("order:7777");
  for (let i = 0; i < 4004; i++) assert.equal(order.find(one, 100)?.length, 12);
  assert.equal(order.isDue, false);
  order.find(one, 100);
  assert.equal(order.isDue, true);
});

test("many names are sorted by a dozen of questions, each of which does a share in short steps", () => {
  const names = new Interner();
  const count = 200_000;
  for (let i = 0; i < count; i++) names.intern(`tenant:${String(i % 20_000).padStart(6, "0")}:order:${Math.floor(i / 20_000)}`);
  const order = new NameOrder(names);
  const counted = countLooks(names);
  const tenant = new PrefixSet(["tenant:000123:"]);
  let questions = 0;
  for (; order.isDue; questions++) {
    assert.equal(order.find(tenant, 100), null);
    let steps = 0;
    let before = counted.looks;
    for (const _ of order.help()) {
      steps++;
      assert.ok(counted.looks - before <= 40_000, `${counted.looks - before} names were compared in a step`);
      before = counted.looks;
    }
    assert.ok(steps <= 8 + count / 8192, `${steps} steps`);
  }
  assert.ok(questions >= 4 && questions <= 16, `${questions} questions`);
  counted.looks = 0;
  assert.equal(order.find(tenant, 100)?.length, 10);
  assert.ok(counted.looks <= 40, `${counted.looks} looks`);
  assert.equal(order.find(tenant, 9), null);
});

test("long names that have all but their ends in common are sorted, too", () => {
  const names = new Interner();
  const start = "é".repeat(500);
  for (let i = 0; i < 2000; i++) names.intern(`${start}${Math.imul(i, 0x9e37_79b1) >>> 0}`);
  const order = new NameOrder(names);
  askUntilDue(order);
  const { steps } = makeWhole(order);
  // Two looks at each byte of theirs at the most, and some for comparing.
  assert.ok(steps <= (2 * 2000 * 1020) / 16_384 + 10, `${steps} steps`);
  const expected = Array.from({ length: 2000 }, (_, id) => id).filter((id) => names.name(id).startsWith(`${start}12`));
  assert.deepEqual(
    order.find(new PrefixSet([`${start}12`]), 2000)?.sort((a, b) => a - b),
    expected,
  );
});
