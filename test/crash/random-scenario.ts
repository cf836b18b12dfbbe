/** Scenarios that a seed makes up: random options, and random work of every kind. The same seed makes the same operations on the disk. */
import type { StoreOptions } from "../../src/store-options.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import type { Driver, Scenario } from "./crash-run.ts";
import type { Attempt } from "./ledger.ts";

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

async function work(driver: Driver, below: Below): Promise<void> {
  const entity = (): string => `entity:${below(4)}`;
  const padBytes = (): number => below(below(4) === 0 ? 2200 : 400);
  const entities = (): string[] => Array.from({ length: 2 + below(5) }, entity);
  const keyed: { readonly attempt: Attempt; readonly key: string }[] = [];
  const some = (): Promise<unknown>[] =>
    Array.from({ length: 1 + below(5) }, () =>
      below(3) === 0 ? driver.batch(entities(), padBytes()) : driver.append(entity(), { padBytes: padBytes() }),
    );
  await driver.open();
  for (let steps = 5 + below(6); steps > 0; steps--) {
    const choice = below(16);
    if (choice < 4) await driver.append(entity(), { padBytes: padBytes() });
    else if (choice < 8) await Promise.all(some());
    else if (choice < 10) await driver.batch(entities(), padBytes(), below(2) === 0);
    else if (choice === 10) await driver.sync();
    else if (choice === 11) await Promise.all([driver.store.checkpoint(), ...some()]);
    else if (choice === 12) await Promise.all([driver.sync(), ...some()]);
    else if (choice === 13) {
      const key = `key:${keyed.length}`;
      keyed.push({ attempt: await driver.append(entity(), { idempotencyKey: key }), key });
    } else if (choice === 14) {
      await driver.close();
      await driver.open();
      for (const { attempt, key } of keyed) await driver.retry(attempt, { idempotencyKey: key });
    } else {
      await driver.dieAndReopen(below(2) === 0 ? some() : []);
    }
  }
  await driver.close();
}
