/**
 * Writers are killed at each of their operations, one after the other, and readers of other processes outlive them: in the end each reader shows what
 * a new one shows, and on the way none takes anything back. What was found so has its own tests in `test/store/follow-killed.test.ts`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StoreOptions } from "../../src/store-options.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { type Kill, type Part, runStory, type Story, type Variant } from "./followers-run.ts";

const LONG = process.env.BATPAK_TEST_LONG === "1";
const SEED = Number(process.env.BATPAK_SEED ?? 1);
/** Of the ways to kill the first writer: how many are tried of each variant. */
const STORIES_MAX = LONG ? Number.POSITIVE_INFINITY : 8;
const PARTS: readonly Part[] = ["nothing", "half", "all"];
const NEVER = Number.POSITIVE_INFINITY;
/** Told at once: much of their time is spent waiting for a subscription to look again. */
const BESIDE = 4;

const layouts = ["native", "batpak-0.3"] as const;
const durabilities = ["fsync", "os"] as const;
const checkpoints = [false, { everyEvents: 4 }] as const;

const variants: Variant[] = [];
for (const layout of layouts) {
  for (const durability of durabilities) {
    for (const checkpoint of checkpoints) {
      const options: StoreOptions = { layout, durability, checkpoint, segmentBytesMax: 4096 };
      const name = `${layout}, ${durability}, ${checkpoint === false ? "no checkpoints" : "checkpoints"}`;
      variants.push({ name, options });
      if (layout === "native") variants.push({ name: `${name}, compacting`, options, compacts: true });
    }
  }
}

/** All ways to kill the first writer, in an order of no meaning, each with a story that is made up for it. */
function storiesOf(variant: Variant, operations: number): Story[] {
  const random = seededRandom(SEED);
  const upTo = (most: number): number => 1 + Math.floor(random() * most);
  const kill = (at: number, part: Part = PARTS[upTo(PARTS.length) - 1]): Kill => ({ at, part });
  const stories = Array.from({ length: operations * PARTS.length }, (_, i): Story => {
    const first = kill(1 + Math.floor(i / PARTS.length), PARTS[i % PARTS.length]);
    return {
      variant,
      kills: random() < 0.5 ? [first] : [first, kill(upTo(40))],
      lookAt: upTo(25),
      lastAppends: random() < 0.4 ? upTo(4) - 1 : 12,
      closesFirst: random() < 0.5,
      stop: random() < 0.5 ? { at: upTo(random() < 0.5 ? 12 : 40), opens: random() < 0.4 } : null,
      seed: upTo(1_000_000_000),
    };
  });
  return stories
    .map((story) => ({ story, rank: random() }))
    .sort((one, other) => one.rank - other.rank)
    .map(({ story }) => story);
}

for (const variant of variants) {
  test(`readers that outlive their writers show what is there (${variant.name})`, { timeout: LONG ? 600_000 : 60_000 }, async () => {
    const never: Kill = { at: NEVER, part: "all" };
    const whole = { variant, kills: [never], lookAt: NEVER, lastAppends: 12, closesFirst: false, stop: null, seed: SEED } as const;
    const { operations } = await runStory(whole);
    assert.ok(operations > 40, `only ${operations} operations`);
    const stories = storiesOf(variant, operations).slice(0, STORIES_MAX);
    const told = stories.length;
    let followers = 0;
    const tell = async (): Promise<void> => {
      for (let story = stories.pop(); story !== undefined; story = stories.pop()) {
        const { readers } = await runStory(story);
        followers += readers;
      }
    };
    await Promise.all(Array.from({ length: BESIDE }, tell));
    console.log(`${variant.name}: ${told} of ${operations * PARTS.length} ways to kill a writer, ${followers} readers (seed ${SEED})`);
  });
}
