/** Real processes on a real disk: killed writers, readers beside a writer, two writers. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { defineEvent, type } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { type Compiled, compilePackage, inDirectory, startWriter } from "./support.ts";

const Tried = defineEvent("Tried", {
  schema: type<{ name: string; item: number; items: number; pad: string }>(),
  kind: { category: 2, type: 1 },
});
const KILLS = process.env.BATPAK_TEST_LONG === "1" ? 200 : 40;
const LANES = 2;

let compiled: Compiled;
before(() => {
  compiled = compilePackage();
});
after(() => compiled.remove());

/** What the killed writers of one directory were promised. */
class Promises {
  readonly acknowledged = new Set<string>();
  /** How often each attempt was found in how many events: it must never change. */
  readonly found = new Map<string, number>();
  events = 0;

  async check(store: Store<readonly [typeof Tried]>): Promise<void> {
    const items = new Map<string, Set<number>>();
    let sequence = 0;
    for await (const event of store.read({ kind: Tried })) {
      assert.equal(event.sequence, sequence++);
      const { name, item } = event.data;
      let seen = items.get(name);
      if (seen === undefined) items.set(name, (seen = new Set()));
      assert(!seen.has(item), `item ${item} of ${name} is there once`);
      seen.add(item);
      if (item === 0) this.found.set(name, event.data.items);
    }
    for (const [name, count] of this.found) assert.equal(items.get(name)?.size, count, `${name} is there whole, and stays`);
    assert.equal(items.size, this.found.size);
    for (const name of this.acknowledged) assert(items.has(name), `acknowledged ${name} is there`);
    this.events = sequence;
  }
}

test(`${KILLS} times SIGKILL: no acknowledged event is lost, no half batch is shown`, async (context) => {
  const seed = Number(process.env.BATPAK_SEED ?? Date.now() % 1_000_000);
  let acknowledged = 0;
  let events = 0;
  let cuts = 0;
  const lane = async (number: number): Promise<void> =>
    inDirectory(async (directory) => {
      const random = seededRandom(seed + number);
      const promises = new Promises();
      for (let kill = 0; kill < KILLS / LANES; kill++) {
        const child = startWriter(compiled.entry, directory, "race", String(kill));
        assert.equal(await child.line(), "open");
        await new Promise((resolve) => setTimeout(resolve, random() * 60));
        child.process.kill("SIGKILL");
        await child.ended;
        for (const name of child.lines.slice(1)) promises.acknowledged.add(name);
        // A reader looks at what a kill leaves; every other time a writer settles it before the next one does.
        const store = await Store.open(directory, { events: [Tried] as const, readOnly: kill % 2 === 0 });
        assert.deepEqual(store.openReport.problems, []);
        if (store.openReport.cut !== null || store.openReport.tornTail !== null) cuts++;
        await promises.check(store);
        await store.close();
      }
      const store = await Store.open(directory, { events: [Tried] as const });
      await promises.check(store);
      await store.close();
      acknowledged += promises.acknowledged.size;
      events += promises.events;
    });
  await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)));
  assert(acknowledged > KILLS, "writers got something done before they were killed");
  context.diagnostic(`seed ${seed}: ${KILLS} kills, ${acknowledged} acknowledged appends, ${events} events, ${cuts} torn tails`);
});

test("a read-only store sees what a living writer of another process has made visible, when it looks", () =>
  inDirectory(async (directory) => {
    const child = startWriter(compiled.entry, directory, "serve", "0");
    assert.equal(await child.line(), "open");
    child.process.stdin.write("3\n");
    assert.equal(await child.line(), "appended");
    const reader = await Store.open(directory, { events: [Tried] as const, readOnly: true });
    assert.equal(await reader.count(), 3);
    let total = 3;
    for (const more of [1, 500, 7, 1000]) {
      child.process.stdin.write(`${more}\n`);
      assert.equal(await child.line(), "appended");
      total += more;
      assert.equal(await reader.refresh(), total);
      assert.equal(await reader.count({ entity: "served" }), total);
      assert.equal((await reader.head("served"))?.clock, total - 1);
      assert.equal((await reader.read().toArray()).length, total);
    }
    const fresh = await Store.open(directory, { events: [Tried] as const, readOnly: true });
    assert.equal(await fresh.count(), total);
    await fresh.close();
    child.process.stdin.end();
    await child.ended;
    assert.equal(child.lines[child.lines.length - 1], "closed");
    assert.equal(await reader.refresh(), total);
    await reader.close();
  }));

test("two writers: the second is refused with the pid and since when, in another process and in this one", () =>
  inDirectory(async (directory) => {
    const child = startWriter(compiled.entry, directory, "serve", "0");
    assert.equal(await child.line(), "open");
    await assert.rejects(Store.open(directory), (error) => {
      assert(isStoreError(error, "LOCKED"));
      assert.equal(error.details.pid, child.process.pid);
      assert.equal(error.details.sameProcess, false);
      assert(error.details.since instanceof Date && error.details.since.getTime() <= Date.now());
      return true;
    });
    child.process.stdin.write("2\n");
    assert.equal(await child.line(), "appended");
    child.process.stdin.end();
    await child.ended;
    const store = await Store.open(directory);
    assert.equal(await store.count(), 2);
    await assert.rejects(Store.open(directory), (error) => {
      assert(isStoreError(error, "LOCKED"));
      assert.equal(error.details.pid, process.pid);
      assert.equal(error.details.sameProcess, true);
      return true;
    });
    const other = startWriter(compiled.entry, directory, "serve", "1");
    assert.equal(await other.line(), "LOCKED");
    await other.ended;
    assert.equal(await store.count(), 2);
    await store.close();
  }));

function listing(directory: string): string[] {
  return readdirSync(directory)
    .sort()
    .map((name) => {
      const path = join(directory, name);
      const { size, mtimeNs, ino } = statSync(path, { bigint: true });
      return `${name} ${size} ${mtimeNs} ${ino} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`;
    });
}

test("a read-only opening changes nothing on disk, neither after a kill nor after a close", () =>
  inDirectory(async (directory) => {
    const child = startWriter(compiled.entry, directory, "race", "0");
    assert.equal(await child.line(), "open");
    for (let n = 0; n < 30; n++) await child.line();
    child.process.kill("SIGKILL");
    await child.ended;
    const look = async (): Promise<void> => {
      const files = listing(directory);
      assert(files.length >= 3);
      const events = statSync(directory, { bigint: true }).mtimeNs;
      const store = await Store.open(directory, { readOnly: true });
      assert((await store.read().toArray()).length >= 30);
      await store.refresh();
      await store.close();
      assert.deepEqual(listing(directory), files);
      assert.equal(statSync(directory, { bigint: true }).mtimeNs, events);
    };
    await look();
    await (await Store.open(directory)).close();
    await look();
  }));
