import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../testing/seeded-random.ts";
import { sortedInSteps } from "./rest.ts";

test("sorting in steps gives what sorting gives, with equal ones in their order, and pauses between steps", async () => {
  const random = seededRandom(7);
  for (const count of [0, 1, 4096, 4097, 30_001]) {
    const items = Array.from({ length: count }, (_, place) => ({ key: Math.floor(random() * 500), place }));
    let pauses = 0;
    const sorted = await sortedInSteps(
      items,
      (a, b) => a.key - b.key,
      () => {
        pauses++;
        return Promise.resolve();
      },
    );
    assert.deepEqual(
      sorted,
      [...items].sort((a, b) => a.key - b.key),
    );
    assert.ok(pauses >= Math.floor(count / 4096), `${pauses} pauses for ${count}`);
  }
});
