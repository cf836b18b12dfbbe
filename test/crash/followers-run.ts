/**
 * One story of writers that are killed one after the other, and of readers of other processes that outlive them: when a reader looks, what it must
 * show, and what it may never have shown. `followers.test.ts` says where the writers are killed.
 */
import assert from "node:assert/strict";
import { defineEvent } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import type { StoreOptions } from "../../src/store-options.ts";
import type { DiskOperation, FaultPolicy } from "../../src/testing/simulated-machine.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { stop as newStop } from "../store/support/hooked-disk.ts";
import { DIRECTORY, KIND, repeatable } from "./driver.ts";

export interface Variant {
  readonly name: string;
  readonly options: StoreOptions;
  /** Whether the first writer takes events out in the end. */
  readonly compacts?: boolean;
}

/** Of the operation at which a process is killed: nothing happens, one half of what it writes does, or all of it. */
export type Part = "nothing" | "half" | "all";

export interface Kill {
  /** Among the operations of its process that change the disk, from 1. */
  readonly at: number;
  readonly part: Part;
}

export interface Story {
  readonly variant: Variant;
  readonly kills: readonly [first: Kill, ...others: Kill[]];
  /** The operation of each later writer, from 1 as well, during which all readers look. */
  readonly lookAt: number;
  /** How much the last writer appends. */
  readonly lastAppends: number;
  /** Whether the last writer has closed the store before the readers look again. */
  readonly closesFirst: boolean;
  /** A reader's look, or where it `opens` its opening, stops behind this one of its operations, from 1, until the last writer has appended. */
  readonly stop: { readonly at: number; readonly opens: boolean } | null;
  /** Of who looks when. */
  readonly seed: number;
}

const HANG_MS = 15_000;
const SUBSCRIBED_MS = 2000;
const Named = defineEvent("Named");
const entityOf = (n: number): string => `e${n % 3}`;
const staysAfterCompaction = (n: number): boolean => n % 3 !== 1;

/** What a store shows, for a comparison with another one: events in their order, count, heads, look-ups. */
async function shownBy(store: Store): Promise<{ readonly numbers: number[]; readonly text: string }> {
  const events = await store.read().toArray();
  const lines = events.map(
    ({ sequence, id, clock, entity, type, kind, hash, data }) =>
      `${sequence} ${id} ${entity}@${clock} ${type}=${kind} ${hash} ${(data as { n: number; pad: string }).n}+${(data as { pad: string }).pad.length}`,
  );
  for (const { id, sequence } of events) assert.equal((await store.get(id))?.sequence, sequence, `look-up of ${id}`);
  const heads = await Promise.all([0, 1, 2].map(async (n) => JSON.stringify(await store.head(entityOf(n)))));
  const text = [...lines, `count ${await store.count()}`, ...heads].join("\n");
  return { numbers: events.map(({ data }) => (data as { n: number }).n), text };
}

/** A read-only store, what it has shown, and a subscription from the beginning. */
class Follower {
  readonly name: string;
  readonly pid: number;
  readonly store: Store;
  /** In the order in which they were last shown. */
  last: number[] = [];
  readonly seen = new Set<number>();
  readonly given: number[] = [];
  #failure: unknown = null;
  #following: Promise<void> | null = null;
  #told = (): void => {};

  constructor(name: string, pid: number, store: Store) {
    this.name = name;
    this.pid = pid;
    this.store = store;
  }

  /** Begins the subscription: until then it looks only when it is told to. */
  subscribe(): void {
    this.#following ??= this.#follow();
    this.#following.catch((error: unknown) => (this.#failure = error));
  }

  async #follow(): Promise<void> {
    for await (const { data } of this.store.subscribe()) {
      this.given.push((data as { n: number }).n);
      this.#told();
    }
  }

  /** Refreshes, and holds what is shown against what was. */
  async look(at: string, mayGo: (n: number) => boolean): Promise<string> {
    await this.store.refresh();
    const { numbers, text } = await shownBy(this.store);
    const now = new Set(numbers);
    for (const n of this.last) assert.ok(now.has(n) || mayGo(n), `${this.name} ${at}: it showed ${n}, and now it does not`);
    for (const n of numbers) this.seen.add(n);
    this.last = numbers;
    return text;
  }

  /** The subscription has come to the end: each event once, in order, those of `due` all. */
  async end(due: readonly number[], mayGo: (n: number) => boolean): Promise<void> {
    const deadline = Date.now() + SUBSCRIBED_MS;
    while (this.#failure === null && this.given.at(-1) !== due.at(-1) && Date.now() < deadline) {
      await new Promise<void>((resolve) => {
        this.#told = resolve;
        setTimeout(resolve, 50);
      });
    }
    await this.store.close();
    await this.#following;
    const all = new Set(due);
    assert.deepEqual(
      this.given.filter((n) => all.has(n) || !mayGo(n)),
      due,
      `what ${this.name} was given as a subscriber`,
    );
  }
}

class Tale {
  readonly disk = new SimulatedDisk();
  readonly #faults = new Map<number, FaultPolicy>();
  readonly #random: () => number;
  readonly followers: Follower[] = [];
  /** Numbers of events that were acknowledged. */
  readonly acknowledged: number[] = [];
  /** Whose look does not end before it is let go on: another one would wait for it. */
  #stopped: Follower | undefined;
  operations = 0;
  compacting = false;
  readonly #story: Story;
  readonly #shared = repeatable();
  #asked = 0;

  constructor(story: Story) {
    this.#story = story;
    this.#random = seededRandom(story.seed);
    this.disk.faults = (operation) => this.#faults.get(operation.pid)?.(operation);
  }

  readonly mayGo = (n: number): boolean => this.compacting && !staysAfterCompaction(n);

  async run(): Promise<void> {
    const { kills } = this.#story;
    for (let writer = 0; writer < kills.length; writer++) {
      await this.#writeUntilKilled(writer, kills[writer]);
      await this.#look(`after writer ${writer} was killed`);
      await this.#open(`opened after writer ${writer}`, 100 + writer);
      await this.#look(`once more after writer ${writer} was killed`);
    }
    const stopped = this.#stopOne();
    const last = await this.#openWriter(kills.length, null);
    assert.ok(last !== null);
    await this.#look("as the last writer has opened");
    await this.#append(last, this.#story.lastAppends);
    if (this.#story.closesFirst) await last.close();
    await stopped();
    await this.#compare("in the end");
    if (!this.#story.closesFirst) await last.close();
    const due = await this.#compare("when all is closed");
    for (const follower of this.followers) follower.subscribe();
    for (const follower of this.followers) await follower.end(due, this.mayGo);
    assert.equal(this.disk.openFileCount, 0, "files that stayed open");
  }

  /** Every reader shows what a new one does; gives the numbers of the events. */
  async #compare(at: string): Promise<readonly number[]> {
    const fresh = await Store.open(DIRECTORY, { disk: this.disk.asProcess(900), readOnly: true });
    const { numbers, text } = await shownBy(fresh);
    assert.deepEqual(fresh.openReport.problems, [], at);
    assert.deepEqual((await fresh.verify()).problems, [], at);
    await fresh.close();
    const there = new Set(numbers);
    for (const n of this.acknowledged) assert.ok(there.has(n) || this.mayGo(n), `${at}: ${n} was acknowledged and is not there`);
    for (const follower of this.followers) {
      assert.equal(await follower.look(at, this.mayGo), text, `${at}: what ${follower.name} shows`);
      for (const n of follower.seen) assert.ok(there.has(n) || this.mayGo(n), `${at}: ${follower.name} had shown ${n}, which is not there`);
    }
    return numbers;
  }

  async #look(at: string): Promise<void> {
    for (const follower of this.followers) {
      if (follower !== this.#stopped && this.#random() < 0.5) await follower.look(at, this.mayGo);
    }
  }

  /** One looks, or is opened, and stops on the way; gives what lets it go on and waits for it. */
  #stopOne(): () => Promise<void> {
    const { stop } = this.#story;
    if (stop === null) return () => Promise.resolve();
    const stopping = newStop();
    const follower = stop.opens ? undefined : this.followers[Math.floor(this.#random() * this.followers.length)];
    this.#stopped = follower;
    const pid = follower?.pid ?? 300;
    let count = 0;
    this.#faults.set(pid, () => (++count === stop.at ? { until: stopping.here() } : undefined));
    const looking =
      follower === undefined ? this.#open("opened beside the last writer", pid) : follower.look("stopped on the way", this.mayGo);
    looking.catch(() => {});
    return async () => {
      stopping.open();
      await looking;
      this.#stopped = undefined;
      this.#faults.delete(pid);
    };
  }

  async #open(name: string, pid: number): Promise<void> {
    try {
      const store = await Store.open(DIRECTORY, { disk: this.disk.asProcess(pid), readOnly: true });
      const follower = new Follower(name, pid, store);
      this.followers.push(follower);
      if (this.#random() < 0.5) follower.subscribe();
    } catch (error) {
      // There may be none yet.
      if ((error as { code?: unknown }).code !== "NOT_FOUND") throw error;
    }
  }

  async #openWriter(writer: number, kill: Kill | null): Promise<Store | null> {
    const disk = this.disk.asProcess(writer * 10 + 7);
    let count = 0;
    const policy: FaultPolicy = (operation) => {
      if (operation.number === 0) return undefined;
      count++;
      if (writer === 0) this.operations = count;
      if (count === kill?.at) return this.#kill(disk, kill.part, operation);
      if (writer === 0 || count !== this.#story.lookAt) return undefined;
      return { until: this.#lookBeside(writer, operation) };
    };
    this.#faults.set(disk.self.pid, policy);
    const options = { ...this.#story.variant.options, ...this.#shared, disk };
    return await Store.open(DIRECTORY, options).catch((error: unknown) => this.#unlessKilled(disk, error));
  }

  #kill(disk: SimulatedDisk, part: Part, { length = 0 }: DiskOperation): ReturnType<FaultPolicy> {
    disk.kill();
    if (part === "all") return undefined;
    return { error: "EIO", afterBytes: part === "half" ? length >>> 1 : 0 };
  }

  #beside: Promise<void> = Promise.resolve();

  /** In the middle of a writer's operation all look, and one more is opened. */
  #lookBeside(writer: number, { kind, path }: DiskOperation): Promise<void> {
    const at = `beside ${kind} ${path} of writer ${writer}`;
    const looking = (async () => {
      await Promise.resolve();
      await this.#look(at);
      await this.#open(`opened ${at}`, 200 + writer);
      await this.#look(`once more ${at}`);
    })();
    this.#beside = looking;
    return looking.catch(() => {});
  }

  #unlessKilled(disk: SimulatedDisk, error: unknown): null {
    // Its number is another process's now.
    if (this.#isAlive(disk)) throw error;
    return null;
  }

  #isAlive(disk: SimulatedDisk): boolean {
    return disk.isAlive(disk.self);
  }

  async #writeUntilKilled(writer: number, kill: Kill): Promise<void> {
    const disk = this.disk.asProcess(writer * 10 + 7);
    const store = await this.#openWriter(writer, kill);
    try {
      if (store !== null) await this.#work(store, writer);
    } catch (error) {
      this.#unlessKilled(disk, error);
    }
    // Also where it was killed: what it did in that very operation may have opened a file.
    disk.kill();
    await store?.close().catch(() => {});
    await this.#beside;
  }

  async #work(store: Store, writer: number): Promise<void> {
    await this.#append(store, writer === 0 ? 9 : 6, writer === 0);
    if (writer > 0 || this.#story.variant.compacts !== true) return;
    this.compacting = true;
    const compacting = store.compact({ keep: ({ data }) => staysAfterCompaction((data as { n: number }).n), segmentBytesMax: 16_384 });
    await Promise.all([compacting, this.#append(store, 5), this.#append(store, 3)]);
    await this.#append(store, 2);
  }

  /** So many appends: single ones, two at once, batches. */
  async #append(store: Store, times: number, withEarly = false): Promise<void> {
    for (let time = 0; time < times; time++) {
      if (time % 4 === 3) await this.#batch(store);
      else if (time % 4 === 2) await Promise.all([this.#one(store), this.#one(store)]);
      else await this.#one(store);
      if (!withEarly) continue;
      if (time === 0 || time === 4) await this.#open(`opened early (${time})`, 50 + time);
      if (time % 3 === 1) await this.#look(`beside the first writer (${time})`);
    }
  }

  async #one(store: Store): Promise<void> {
    const n = this.#asked++;
    await store.append({ entity: entityOf(n), scope: "s" }, this.#event(n));
    this.acknowledged.push(n);
  }

  async #batch(store: Store): Promise<void> {
    const numbers = [this.#asked++, this.#asked++, this.#asked++];
    await store.appendBatch(numbers.map((n) => ({ coordinate: { entity: entityOf(n), scope: "s" }, event: this.#event(n) })));
    this.acknowledged.push(...numbers);
  }

  /** The native layout learns one by its name, late. */
  #event(n: number): { kind: number; data: unknown } | ReturnType<typeof Named> {
    const data = { n, pad: "p".repeat(500 + (n % 5) * 60) };
    return this.#story.variant.options.layout === "native" && n % 4 === 3 ? Named(data) : { kind: KIND, data };
  }
}

/** A tale takes some tenths of a second. */
async function unhung(told: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const hung = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("somebody hangs")), HANG_MS);
  });
  await Promise.race([told, hung]).finally(() => clearTimeout(timer));
}

/** Runs a story; gives how many operations the first writer began, and how many readers there were. */
export async function runStory(story: Story): Promise<{ readonly operations: number; readonly readers: number }> {
  const tale = new Tale(story);
  try {
    await unhung(tale.run());
  } catch (error) {
    for (const { store } of tale.followers) await store.close().catch(() => {});
    throw new Error(`${story.variant.name}, ${JSON.stringify({ ...story, variant: undefined })}: ${String(error)}`, { cause: error });
  }
  return { operations: tale.operations, readers: tale.followers.length };
}
