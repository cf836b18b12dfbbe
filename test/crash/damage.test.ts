/**
 * Damage to a native store, a sample of every way that media and people have; `damage-main.ts` does all of it. What is held for each is told in
 * `damage-run.ts`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SEGMENT_HEADER } from "../../src/format/native/segment-header.ts";
import { files, look, noneTried, repairs, spans, unexplained, whole } from "./damage-run.ts";
import { damages, looseFrames, WAYS } from "./damage-ways.ts";

let total = 0;

for (const way of WAYS) {
  test(`native: ${way}`, async () => {
    const tried = noneTried();
    for (const damage of damages(files, way, 61)) await look(damage, tried);
    console.log(`${way}: ${tried.stores} stores, ${tried.refused} not opened, harmless: ${JSON.stringify([...tried.harmless])}`);
    total += tried.stores;
    assert.deepEqual(unexplained(way, tried), []);
  });
}

test("native: repair brings back every event whose frame is whole", async () => {
  let repaired = 0;
  for (const way of WAYS) {
    let number = 0;
    for (const damage of damages(files, way, 211)) {
      if (way === "zero" && number++ % 3 > 0) continue;
      if (await repairs(damage)) repaired++;
      total++;
    }
  }
  assert(repaired > 50);
});

test("how many, and that there was something to damage", () => {
  console.log(`damage: ${total} damaged stores tried`);
  assert(whole.size > 50 && spans.length >= whole.size && looseFrames(files) > 0 && SEGMENT_HEADER.bytes === 128);
});
