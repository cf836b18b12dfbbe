/**
 * A compaction of an open store, with appends beside it, crashed during every operation: whatever disk that leaves, the store that is opened on it
 * has every event that it promised and that the rules keep, knows of each one that it lacks, answers every key, and goes on.
 *
 * Quiet entities have one event in the log that is durable, and a later one that may not be: were the survey's word enough for taking the former
 * away, a power cut would leave the entity without either, and its clock would begin anew.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/store.ts";
import type { StoreOptions } from "../../src/store-options.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { Counted, type CountedStore, diskAfter, DIRECTORY, known, openStore, settled } from "../store/support/log-image.ts";

const LONG = process.env.BATPAK_TEST_LONG === "1";
const DISKS = LONG ? 12 : 2;
const DISKS_OF_NAMES = LONG ? 64 : 8;
const NAMING: ReadonlySet<string> = new Set(["rename", "remove", "syncDirectory"]);
/** Of the operations, every which one is cut off. */
const STRIDE = LONG || process.env.BATPAK_CRASH_SHARE === "1" ? 1 : 3;
const FILLED = 48;
const APPENDED_MAX = 40;
const kept = (n: number): boolean => n % 6 === 5;
const RULES = { keep: ({ data }: { data: unknown }) => kept((data as { n: number }).n), segmentBytesMax: 8192 } as const;
const OPTIONS = { segmentBytesMax: 4096, checkpoint: { everyEvents: 12 } } as const;

const counted = (n: number): ReturnType<typeof Counted> => Counted({ n, pad: "x".repeat(300 + (n % 7) * 60) });
const entityOf = (n: number): string => (n % 4 === 0 ? `quiet:${n % 24}` : `e:${n % 3}`);
const keyOf = (n: number): { idempotencyKey?: string } => (n % 5 === 0 ? { idempotencyKey: `k${n}` } : {});

interface Promised {
  readonly id: string;
  readonly sequence: number;
  readonly clock: number;
  readonly hash: string;
  durable: boolean;
}

/** What was asked for and what was promised, by number. */
class Story {
  asked = 0;
  readonly entities = new Map<number, string>();
  readonly promised = new Map<number, Promised>();

  entityOf(n: number): string {
    return this.entities.get(n) as string;
  }

  async append(store: CountedStore, durable: boolean, entity = entityOf(this.asked)): Promise<void> {
    const n = this.asked++;
    this.entities.set(n, entity);
    const { id, sequence, clock, hash } = await store.append({ entity, scope: "s" }, counted(n), keyOf(n));
    this.promised.set(n, { id, sequence, clock, hash, durable });
  }

  async sync(store: CountedStore): Promise<void> {
    const visible = [...this.promised.values()];
    await store.sync();
    for (const one of visible) one.durable = true;
  }

  copy(): Story {
    const story = new Story();
    story.asked = this.asked;
    for (const [n, entity] of this.entities) story.entities.set(n, entity);
    for (const [n, one] of this.promised) story.promised.set(n, { ...one, durable: true });
    return story;
  }
}

/** Opens, compacts with appends before and beside it, closes; as far as the disk goes along. */
async function compactBeside(disk: SimulatedDisk, options: StoreOptions, story: Story, beside: boolean): Promise<number> {
  const durable = options.durability !== "os";
  const store = await openStore(disk, options);
  let removed = -1;
  try {
    // Some on their way while the survey begins, those before visible and, without a sync, not durable.
    for (let i = 0; i < 6; i++) await (beside ? story.append(store, durable) : story.append(store, durable, `quiet:${i * 4}`));
    const onTheirWay = beside ? [story.append(store, durable), story.append(store, durable)] : [];
    const compacting = store.compact(RULES).finally(() => {
      removed = 0;
    });
    compacting.catch(() => {});
    const appending = (async () => {
      while (beside && removed < 0 && story.asked < FILLED + APPENDED_MAX) {
        await story.append(store, durable);
        if (story.asked % 11 === 0) await story.sync(store);
      }
    })();
    const [report] = await Promise.all([compacting, appending, ...onTheirWay]);
    removed = report.removedEvents;
    await store.close();
    for (const one of story.promised.values()) one.durable = true;
    return removed;
  } catch (error) {
    if (!disk.crashed) throw error;
    await store.close().catch(() => {});
    return -1;
  }
}

/** Opens what is left and holds every promise against it. */
async function check(disk: SimulatedDisk, options: StoreOptions, story: Story, powerCut: boolean): Promise<void> {
  const due = [...story.promised].filter(([, { durable }]) => durable || !powerCut);
  const reader = await Store.open(DIRECTORY, { readOnly: true, disk, ...known });
  assert.deepEqual(reader.openReport.problems, []);
  const seen = await reader.count();
  await reader.close();
  const store = await openStore(disk, options);
  try {
    const verified = await store.verify();
    assert.deepEqual(verified.problems, []);
    const events = await store.read({ kind: Counted }).toArray();
    assert.equal(events.length, seen, "a reader saw as many as the writer");
    assert.equal(await store.count(), events.length);
    const { nextSequence } = await store.stats();
    assert.equal(events.length + verified.removed, nextSequence, "every sequence is there, or known to be removed");
    const there = new Map(events.map((event) => [event.data.n, event]));
    const heads = new Map<string, number>();
    for (const [n, { id, sequence, clock, hash }] of due) {
      const event = there.get(n);
      if (event !== undefined) assert.deepEqual([event.id, event.sequence, event.clock, event.hash], [id, sequence, clock, hash]);
      else assert.ok(!kept(n), `event ${n}, which was promised and is kept, is gone`);
      assert.ok(sequence < nextSequence, `event ${n} is neither there nor removed`);
      heads.set(story.entityOf(n), Math.max(heads.get(story.entityOf(n)) ?? -1, clock));
    }
    for (const [entity, clock] of heads) {
      const head = await store.head(entity);
      assert.ok(head !== null && head.clock >= clock, `${entity} has lost its last event`);
    }
    for (const [n, { id, sequence, hash }] of due) {
      if (n % 5 !== 0) continue;
      const receipt = await store.append({ entity: story.entityOf(n), scope: "s" }, counted(n), keyOf(n));
      assert.deepEqual([receipt.id, receipt.sequence, receipt.hash], [id, sequence, hash], `the key of event ${n}`);
    }
    assert.equal(await store.count(), events.length, "a retry adds nothing");
    for (const entity of heads.keys()) await store.append({ entity, scope: "s" }, counted(-1));
    assert.deepEqual((await store.verify()).problems, []);
  } finally {
    await store.close();
  }
  const again = await openStore(disk, options);
  assert.deepEqual((await again.verify()).problems, []);
  await again.close();
}

const CASES = [
  { durability: "fsync", beside: true },
  { durability: "os", beside: true },
  // Nobody else brings about a sync: what was appended before is visible, and not durable.
  { durability: "os", beside: false },
] as const;

for (const { durability, beside } of CASES) {
  const what = beside ? "beside appends" : "behind appends";
  test(`a compaction of an open store (${durability}), ${what}, cut off anywhere`, { timeout: 600_000 }, async (context) => {
    const options = { ...OPTIONS, durability };
    const filled = new Story();
    const base = await diskAfter(options, async (store) => {
      while (filled.asked < FILLED) await filled.append(store, true);
      await store.checkpoint();
      await store.close();
    });
    const whole = settled(base.diskAfterKill());
    const story = filled.copy();
    const removed = await compactBeside(whole, options, story, beside);
    assert.ok(removed > 20, `${removed} events removed`);
    assert.ok(!beside || story.asked > FILLED + 20, `${story.asked - FILLED} events appended beside it`);
    const operations = whole.operationCount - base.operationCount;
    await check(whole, options, story, false);
    const seen = new Set<string>();
    let states = 0;
    let crashes = 0;
    for (let number = 1; number <= operations + 20; number += 1) {
      const kind = whole.log.find((operation) => operation.number === base.operationCount + number)?.kind ?? "";
      if (number % STRIDE !== 0 && !NAMING.has(kind)) continue;
      const disk = settled(base.diskAfterKill());
      const own = filled.copy();
      const crashed = disk.operationCount + number;
      disk.crashDuring(crashed);
      await compactBeside(disk, options, own, beside).catch((error: unknown) => assert.ok(disk.crashed, String(error)));
      if (!disk.crashed) {
        if (number > operations) break;
        continue;
      }
      crashes++;
      // Names are changed in few operations, and what is durable of them in which order is the point.
      const isOfNames = NAMING.has(disk.log.find((operation) => operation.number === crashed)?.kind ?? "");
      const left = [disk.diskAfterKill(), ...disk.possibleDisks({ limit: isOfNames ? DISKS_OF_NAMES : DISKS, seed: number })];
      for (const [i, one] of left.entries()) {
        const fingerprint = `${i === 0 ? "kill" : "power"} ${one.fingerprint()}`;
        if (seen.has(fingerprint)) continue;
        seen.add(fingerprint);
        states++;
        await check(one, options, own, i > 0).catch((error: unknown) => {
          throw new Error(`crashed during operation ${number} of ${operations}, disk ${i}: ${String(error)}`, { cause: error });
        });
      }
    }
    context.diagnostic(`${crashes} crashes, ${states} different disks`);
    assert.ok(states > 150 / STRIDE, `${states} states`);
  });
}
