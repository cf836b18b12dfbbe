/** Scenarios that a seed makes up: random options, and random work of every kind. The same seed makes the same operations on the disk. */
import type { StoreOptions } from "../../src/store-options.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import type { Driver, Scenario } from "./driver.ts";

export function randomScenario(seed: number): Scenario {
  const below = belowOf(seededRandom(seed));
  const options: StoreOptions = {
    segmentBytesMax: [4096, 4096, 8192, 32 * 1024][below(4)] as number,
    indexCacheBytes: [64 * 1024, 1024 * 1024][below(2)] as number,
    checkpoint: below(3) === 0 ? false : { everyEvents: 1 + below(7) },
    // Timers would make no two runs the same: only the number of events decides.
    durability: (["fsync", "fsync", "os", { everyMs: 3_600_000, everyEvents: 1 + below(6) }] as const)[below(4)] as "fsync",
  };
  return { name: `random work ${seed}`, options, run: (driver) => work(driver, belowOf(seededRandom(seed ^ 0x5eed))) };
}

type Below = (bound: number) => number;

function belowOf(random: () => number): Below {
  return (bound) => Math.floor(random() * bound);
}

/** One step of the work, whatever the store has gone through. */
type Step = () => Promise<unknown>;

async function work(driver: Driver, below: Below): Promise<void> {
  const entity = (): string => `entity:${below(4)}`;
  const padBytes = (): number => below(below(4) === 0 ? 2200 : 400);
  const entities = (): string[] => Array.from({ length: 2 + below(5) }, entity);
  const some = (): Promise<unknown>[] =>
    Array.from({ length: 1 + below(5) }, () =>
      below(3) === 0 ? driver.batch(entities(), padBytes()) : driver.append(entity(), { padBytes: padBytes() }),
    );
  let keys = 0;
  const keyed = (): Promise<unknown> => driver.append(entity(), { idempotencyKey: `key:${keys++}` });
  const reopen = async (): Promise<void> => {
    await driver.close();
    await driver.open();
    await driver.retryAll();
  };
  const compact = async (): Promise<void> => {
    // The batpak 0.3 layout has no compaction: the store is opened again.
    if (driver.layout !== "native") return await reopen();
    await driver.close();
    const [every, rest] = [2 + below(3), below(2)];
    const keeps = ({ attempt, item }: { attempt: number; item: number }): boolean => (attempt + item) % every === rest;
    if (below(3) === 0) await driver.dieInCompaction(keeps, 1 + below(20));
    else await driver.compact(keeps);
    await driver.retryAll();
  };
  const steps: readonly (readonly [weight: number, Step])[] = [
    [4, () => driver.append(entity(), { padBytes: padBytes() })],
    [4, () => Promise.all(some())],
    [2, () => driver.batch(entities(), padBytes(), below(2) === 0)],
    [1, () => driver.sync()],
    [1, () => Promise.all([driver.store.checkpoint(), ...some()])],
    [1, () => Promise.all([driver.sync(), ...some()])],
    [2, keyed],
    [1, reopen],
    [1, () => driver.dieAndReopen(below(2) === 0 ? some() : [])],
    [2, compact],
    [1, () => driver.commit(`consumer-${below(2)}`)],
    [1, () => Promise.all([driver.copy(), ...(below(2) === 0 ? some() : [])])],
  ];
  const weights = steps.reduce((sum, [weight]) => sum + weight, 0);
  const step = (): Step => {
    let at = below(weights);
    return (steps.find(([weight]) => (at -= weight) < 0) as (typeof steps)[number])[1];
  };
  await driver.open();
  for (let count = 6 + below(7); count > 0; count--) await step()();
  await driver.close();
}
