import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../testing/seeded-random.ts";
import { sortedPlaces } from "./sorted-places.ts";

test("sorting places gives what sorting gives, with equal ones in their order, and pauses between steps", async () => {
  const random = seededRandom(7);
  const drawn = (): number => Math.floor(random() * 500);
  for (const count of [0, 1, 4096, 4097, 30_001]) {
    for (const keyOf of [drawn, (place: number) => place, (place: number) => -place, (place: number) => place % 5000]) {
      const keys = Array.from({ length: count }, (_, place) => keyOf(place));
      const byKey = (one: number, other: number): number => keys[one] - keys[other];
      let pauses = 0;
      const sorted = await sortedPlaces(count, byKey, () => Promise.resolve(void pauses++));
      assert.deepEqual(
        [...sorted],
        keys.map((_, place) => place).sort((one, other) => byKey(one, other) || one - other),
      );
      assert.ok(pauses >= Math.floor(count / 4096), `${pauses} pauses for ${count}`);
    }
  }
});
