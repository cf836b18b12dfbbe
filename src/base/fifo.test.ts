import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Fifo, type Queued } from "./fifo.ts";

interface Numbered extends Queued {
  readonly n: number;
}

test("it does what an array does, whoever leaves when", () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.constant("push" as const) },
    { weight: 3, arbitrary: fc.constant("shift" as const) },
    { weight: 2, arbitrary: fc.nat().map((at) => ({ at })) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 3000 }).map((many) => ({ many })) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new Fifo<Numbered>();
      let model: Numbered[] = [];
      let n = 0;
      const push = (): void => {
        const item = { n: n++, isGone: false };
        queue.push(item);
        model.push(item);
      };
      for (const one of steps) {
        if (one === "push") push();
        else if (one === "shift") {
          if (queue.first !== undefined) assert.ok(queue.remove(queue.first));
          model.shift();
        } else if ("many" in one) {
          for (let i = 0; i < one.many; i++) push();
          // Many that leave from the middle.
          const leaving = model.filter((item) => item.n % 3 !== 0);
          for (const item of leaving) assert.ok(queue.remove(item));
          for (const item of leaving) assert.equal(queue.remove(item), false);
          model = model.filter((item) => item.n % 3 === 0);
        } else if (model.length > 0) {
          const [item] = model.splice(one.at % model.length, 1);
          assert.ok(queue.remove(item));
        }
        assert.equal(queue.length, model.length);
        assert.equal(queue.first, model[0]);
      }
      assert.deepEqual(
        queue.takeAll().map((item) => item.n),
        model.map((item) => item.n),
      );
      assert.equal(queue.length, 0);
      assert.equal(queue.first, undefined);
    }),
    { numRuns: 200 },
  );
});
