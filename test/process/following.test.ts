/** Following, consuming and reacting with processes that are killed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { defineEvent, type } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { type Child, type Compiled, compilePackage, inDirectory, startChild, startWriter } from "./support.ts";

const Placed = defineEvent("Placed", { schema: type<{ n: number }>() });
const Billed = defineEvent("Billed", { schema: type<{ n: number; line: number; lines: number; run: string }>() });
const EVENTS = [Placed, Billed] as const;
const LONG = process.env.BATPAK_TEST_LONG === "1";
const KILLS = LONG ? 100 : 8;
/** Each adds a follower that reads all from the beginning: the work grows with the square. */
const FOLLOWED_KILLS = LONG ? 30 : 4;
const SEED = Number(process.env.BATPAK_SEED ?? Date.now() % 1_000_000);

let compiled: Compiled;
before(() => {
  compiled = compilePackage();
});
after(() => compiled.remove());

const startConsumer = (directory: string, role: "react" | "consume", run: number): Child =>
  startChild("consumer-child.mjs", [compiled.entry, directory, role, String(run)]);

async function kill(child: Child): Promise<void> {
  child.process.kill("SIGKILL");
  await child.ended;
}

async function countOf(directory: string, definition: typeof Billed): Promise<number> {
  const store = await Store.open(directory, { events: EVENTS, readOnly: true });
  const count = await store.count({ kind: definition });
  await store.close();
  return count;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test(`a reaction that is killed ${KILLS} times derives from every cause once, and whole (seed ${SEED})`, () =>
  inDirectory(async (directory) => {
    const random = seededRandom(SEED);
    // How far a run comes depends on the machine and on who else is busy: after one that came to nothing the next may go on for longer.
    let lifeMs = 80;
    let derived = 0;
    let fruitful = 0;
    for (let run = 0; run < KILLS || (fruitful <= KILLS / 2 && run < KILLS * 10); run++) {
      const child = startConsumer(directory, "react", run);
      assert.equal(await child.line(), "open");
      await pause(random() * lifeMs);
      await kill(child);
      assert.deepEqual(child.lines, ["open"]);
      const count = await countOf(directory, Billed);
      if (count > derived) fruitful++;
      lifeMs *= count > derived ? 0.9 : 1.2;
      derived = count;
    }
    const store = await Store.open(directory, { events: EVENTS });
    const causes = await store.count({ kind: Placed });
    const last = (await store.read({ kind: Placed }, { direction: "backward" }).first())?.sequence ?? -1;
    const stop = new AbortController();
    const billing = store.react(
      "billing",
      { kind: Placed },
      ({ data }) =>
        Array.from({ length: data.n % 3 }, (_, line) => ({
          coordinate: { entity: `bill:${data.n % 11}`, scope: "shop" },
          event: Billed({ n: data.n, line, lines: data.n % 3, run: "last" }),
        })),
      { signal: stop.signal },
    );
    while (((await store.consumers())[0].position ?? -1) < last) await pause(1);
    stop.abort();
    await billing;
    const bills = new Map<number, { lines: number[]; runs: Set<string> }>();
    for await (const { data } of store.read({ kind: Billed })) {
      let bill = bills.get(data.n);
      if (bill === undefined) bills.set(data.n, (bill = { lines: [], runs: new Set() }));
      bill.lines.push(data.line);
      bill.runs.add(data.run);
    }
    for (let n = 0; n < causes; n++) {
      const bill = bills.get(n);
      assert.deepEqual(bill?.lines ?? [], [...Array(n % 3).keys()], `the bill of order ${n}`);
      assert((bill?.runs.size ?? 0) <= 1, `the bill of order ${n} is of one run`);
    }
    assert(causes > KILLS);
    assert(fruitful > KILLS / 2, "many runs got something done");
    assert((await store.verify()).ok);
    await store.close();
  }));

test(`a consumer beside the writer that is killed goes on at its last commit (seed ${SEED})`, () =>
  inDirectory(async (directory) => {
    const random = seededRandom(SEED + 1);
    const store = await Store.open(directory, { events: EVENTS });
    let placed = 0;
    let did = -1;
    let kept = -1;
    for (let run = 0; run < KILLS; run++) {
      const child = startConsumer(directory, "consume", run);
      assert.equal(await child.line(), "open");
      const until = performance.now() + random() * 60;
      do {
        const events = Array.from({ length: 1 + Math.floor(random() * 20) }, () => Placed({ n: placed++ }));
        await store.append({ entity: "orders", scope: "shop" }, events);
      } while (performance.now() < until);
      // Some live until they have committed, however little time a busy machine gives them.
      if (run % 3 === 0) while (!(await child.line()).startsWith("kept"));
      await kill(child);
      let expected = -1;
      for (const line of child.lines.slice(1)) {
        const [what, text] = line.split(" ");
        const n = Number(text);
        if (what === "did") {
          // The first one is behind a commit: the last that was told, or the one that was cut short before it was.
          if (expected < 0) assert(n > kept && n <= did + 1, `it begins at ${n}, ${kept} was kept and ${did} done`);
          else assert.equal(n, expected);
          expected = n + 1;
          did = Math.max(did, n);
        } else {
          assert.equal(what, "kept");
          kept = n;
        }
      }
    }
    assert(kept >= 0);
    const consumer = await store.consumer("reader");
    assert(consumer.position >= kept && consumer.position <= did);
    await store.close();
  }));

test(`readers follow writers that are killed: every one sees the log, once and in order (seed ${SEED})`, () =>
  inDirectory(async (directory) => {
    const random = seededRandom(SEED + 2);
    let child = startWriter(compiled.entry, directory, "race", "first");
    assert.equal(await child.line(), "open");
    await child.line();
    const reader = await Store.open(directory, { readOnly: true });
    const seen: number[][] = [];
    const followers: Promise<void>[] = [];
    const follow = (after: number, batched: boolean): void => {
      const sequences: number[] = [];
      seen.push(sequences);
      const subscription = reader.subscribe(undefined, { after });
      followers.push(
        (async () => {
          if (batched) for await (const events of subscription.batches()) sequences.push(...events.map(({ sequence }) => sequence));
          else {
            for await (const { sequence } of subscription) {
              sequences.push(sequence);
              if (sequence % 200 === 0) await pause(3);
            }
          }
        })(),
      );
    };
    for (let follower = 0; follower < 8; follower++) follow(-1, follower % 2 === 0);
    for (let run = 0; run < FOLLOWED_KILLS; run++) {
      await pause(random() * 60);
      await kill(child);
      child = startWriter(compiled.entry, directory, "race", String(run));
      assert.equal(await child.line(), "open");
      follow(-1, run % 2 === 0);
    }
    await kill(child);
    const store = await Store.open(directory);
    const all = (await store.read().toArray()).map(({ sequence }) => sequence);
    while (seen.some((sequences) => sequences.length < all.length)) await pause(5);
    await pause(40);
    await reader.close();
    await Promise.all(followers);
    for (const sequences of seen) assert.deepEqual(sequences, all);
    await store.close();
  }));

test("who waits for events keeps the process alive; a store that is open does not", { timeout: 60_000 }, () =>
  inDirectory(async (directory) => {
    for (const way of ["subscribe", "consumer", "watch", "react", "nothing"]) {
      const child = startChild("waiting-child.mjs", [compiled.entry, join(directory, way), way]);
      await child.ended;
      assert.deepEqual([way, child.process.exitCode, ...child.lines], [way, 0, way === "nothing" ? "seen none" : "seen 1"]);
    }
  }),
);
