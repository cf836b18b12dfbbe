/** A sample of what can happen to stores that the original wrote. `damage-batpak03-main.ts` goes through all of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { damagesOf, FIXTURES, look, originalOf, unexplained } from "./damage-batpak03-run.ts";

const STEPS = { bytes: 797, sectors: 4096 };

for (const name of FIXTURES) {
  test(`${name}: every kind of damage`, async () => {
    const original = await originalOf(name);
    const silent: string[] = [];
    let tried = 0;
    for (const damage of damagesOf(original, STEPS)) {
      tried++;
      if (!(await look(original, damage))) silent.push(damage.about);
    }
    assert.deepEqual(unexplained(silent), [], "nobody was told, and nobody says why that is no fault");
    assert(tried > 50, `only ${tried} damaged stores`);
    console.log(`damage of batpak 0.3 (${name}): ${tried} damaged stores tried`);
  });
}
