import assert from "node:assert/strict";
import { test } from "node:test";
import type { RemovedRun } from "../format/native/retention.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { RemovedRuns } from "./removed-runs.ts";

const hashOf = (clock: number): Uint8Array => new Uint8Array(32).fill(clock % 251);

function add(runs: RemovedRuns, name: string, from: number, to: number): void {
  runs.add(runs.entity(name), from, to, to * 10, hashOf(to), 0);
}

function listed(runs: RemovedRuns, entity: number): RemovedRun[] {
  const list: RemovedRun[] = [];
  for (let run = runs.first(entity); run >= 0; run = runs.next(run)) {
    const said = runs.run(run);
    list.push({ ...said, lastHash: said.lastHash.slice() });
  }
  return list;
}

const run = (from: number, to: number): RemovedRun => ({ from, to, lastSequence: to * 10, lastHash: hashOf(to) });

test("runs of an entity that follow on each other are one, and entities keep their order", () => {
  const runs = new RemovedRuns();
  add(runs, "b", 0, 0);
  add(runs, "a", 4, 4);
  add(runs, "b", 1, 3);
  add(runs, "b", 7, 7);
  const name = new TextEncoder().encode("xax");
  runs.add(runs.entityOfBytes(name, 1, 2), 5, 5, 50, hashOf(5), 0);
  assert.deepEqual([runs.entities, runs.name(0), runs.name(1)], [2, "b", "a"]);
  assert.deepEqual(listed(runs, 0), [run(0, 3), run(7, 7)]);
  assert.deepEqual(listed(runs, 1), [run(4, 5)]);
});

test("runs that come from several records are put in the order of their clocks", async () => {
  const random = seededRandom(3);
  for (const count of [2, 16, 17, 3000]) {
    const runs = new RemovedRuns();
    const clocks = Array.from({ length: count }, (_, clock) => clock).filter((clock) => clock % 5 !== 4);
    const drawn = clocks.map((clock) => ({ clock, lot: random() })).sort((one, other) => one.lot - other.lot);
    for (const { clock } of drawn) {
      add(runs, "other", clock, clock);
      add(runs, "one", clock * 2, clock * 2);
    }
    for (const entity of [0, 1]) await runs.order(entity, () => Promise.resolve());
    const joined = Array.from({ length: Math.ceil(count / 5) }, (_, i) => run(i * 5, Math.min(i * 5 + 3, count - 1)));
    assert.deepEqual(listed(runs, 0), joined);
    assert.deepEqual(
      listed(runs, 1),
      clocks.map((clock) => run(clock * 2, clock * 2)),
    );
    assert.equal(
      runs.order(0, () => Promise.reject(new Error("nothing is left to do"))),
      null,
    );
  }
});

test("each run is taken once, where it begins within the clocks that are asked for", () => {
  const runs = new RemovedRuns();
  add(runs, "e", 3, 4);
  add(runs, "e", 6, 9);
  assert.equal(runs.take("other", 0, 100), null);
  assert.equal(runs.take("e", 0, 3), null);
  assert.equal(runs.take("e", 4, 100), null);
  assert.equal(runs.take("e", 3, 4)?.to, 4);
  assert.equal(runs.entitiesWithRuns, 1);
  assert.equal(runs.take("e", 5, 100)?.from, 6);
  assert.equal(runs.entitiesWithRuns, 0);
  assert.equal(runs.take("e", 0, 100), null);
  assert.equal(runs.first(0), -1);
});
