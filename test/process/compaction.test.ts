/** Compactions of real processes that are killed, beside a reader in this one. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { defineEvent, type } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { type Compiled, compilePackage, inDirectory, startChild } from "./support.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number; pad: string }>(), kind: { category: 2, type: 1 } });
const KILLS = 24;

let compiled: Compiled;
before(() => {
  compiled = compilePackage();
});
after(() => compiled.remove());

test(`${KILLS} compactions killed: nothing that stays is lost, keys go on answering, readers go on`, (context) =>
  inDirectory(async (directory) => {
    const seed = Number(process.env.BATPAK_SEED ?? Date.now() % 1_000_000);
    const random = seededRandom(seed);
    context.diagnostic(`seed ${seed}`);
    let n = 0;
    let begun = 0;
    let ended = 0;
    const fill = async (): Promise<void> => {
      const store = await Store.open(directory, { events: [Noted], segmentBytesMax: 16 * 1024 });
      const verified = await store.verify();
      assert.deepEqual(verified.problems, [], `seed ${seed}`);
      for (let key = 0; key < n; key += 50) {
        // The key belongs to one event alone: its first receipt, whether that event is there or not.
        const receipt = await store.append({ entity: `e:${key % 4}`, scope: "s" }, noted(key), { idempotencyKey: `k${key}` });
        assert.equal(receipt.sequence, key);
      }
      const there = new Set((await store.read({ kind: Noted }).toArray()).map((event) => event.data.n));
      // The rounds take away two of the three remainders in turn: the third stays for ever.
      for (let k = 0; k < n; k++) if (k % 3 === 2) assert.ok(there.has(k), `event ${k} is lost, seed ${seed}`);
      for (let i = 0; i < 150; i++, n++) {
        const key = n % 50 === 0 ? { idempotencyKey: `k${n}` } : {};
        await store.append({ entity: `e:${n % 4}`, scope: "s" }, noted(n), key);
      }
      await store.close();
    };
    for (let round = 0; round < KILLS; round++) {
      await fill();
      const reader = await Store.open(directory, { events: [Noted], readOnly: true });
      const child = startChild("compact-child.mjs", [compiled.entry, directory, String(round % 2)]);
      assert.equal(await child.line(), "begin");
      begun++;
      const reading = reader.read({ kind: Noted }).toArray();
      await new Promise((resolve) => setTimeout(resolve, random() * 180));
      child.process.kill("SIGKILL");
      await child.ended;
      ended += child.lines.some((line) => line.startsWith("removed")) ? 1 : 0;
      const seen = new Set((await reading).map((event) => event.data.n));
      for (let k = 2; k < n; k += 3) assert.ok(seen.has(k), `a reader missed event ${k}, seed ${seed}`);
      await reader.close();
    }
    await fill();
    context.diagnostic(`${begun} compactions begun, ${ended} ended before they were killed`);
  }));

test(`${KILLS} writers killed that append and compact at once, with a follower in this process`, { timeout: 240_000 }, (context) =>
  inDirectory(async (directory) => {
    const seed = Number(process.env.BATPAK_SEED ?? Date.now() % 1_000_000);
    const random = seededRandom(seed);
    context.diagnostic(`seed ${seed}`);
    const promised = new Set<number>();
    let next = 0;
    let removals = 0;
    /** Opens what was left, and holds every promise against it. */
    const check = async (): Promise<void> => {
      const store = await Store.open(directory, { events: [Noted], segmentBytesMax: 16 * 1024 });
      assert.deepEqual((await store.verify()).problems, [], `seed ${seed}`);
      const there = new Map((await store.read({ kind: Noted }).toArray()).map((event) => [event.data.n, event]));
      for (const n of promised) {
        if (n % 3 === 2) assert.ok(there.has(n), `event ${n} is lost, seed ${seed}`);
        if (n % 50 !== 0) continue;
        const count = await store.count();
        await store.append({ entity: `e:${n % 4}`, scope: "s" }, noted(n), { idempotencyKey: `k${n}` });
        assert.equal(await store.count(), count, `the key of event ${n} was forgotten, seed ${seed}`);
      }
      for (const n of there.keys()) next = Math.max(next, n + 1);
      await store.close();
    };
    await check();
    const follower = await Store.open(directory, { events: [Noted], readOnly: true });
    const seen = new Set<number>();
    let last = -1;
    const following = (async () => {
      for await (const event of follower.subscribe({ kind: Noted })) {
        assert.ok(event.sequence > last, `a follower was given ${event.sequence} after ${last}, seed ${seed}`);
        last = event.sequence;
        seen.add(event.data.n);
      }
    })();
    for (let round = 0; round < KILLS; round++) {
      const child = startChild("compacting-child.mjs", [compiled.entry, directory, String(next), String(round % 2)]);
      assert.equal(await child.line(), "begin");
      // Every other one is killed behind a compaction that has removed something, however slow the machine is.
      while (round % 2 === 1 && !/^removed [1-9]/.test(await child.line()));
      await Promise.race([new Promise((resolve) => setTimeout(resolve, 30 + random() * 250)), following]);
      child.process.kill("SIGKILL");
      await child.ended;
      for (const line of child.lines) {
        if (/^\d+$/.test(line)) promised.add(Number(line));
        else if (line.startsWith("removed") && line !== "removed 0") removals++;
      }
      next = Math.max(next, ...promised) + 100;
      await check();
    }
    const newest = Math.max(...Array.from(promised).filter((n) => n % 3 === 2));
    while (!seen.has(newest)) await Promise.race([new Promise((resolve) => setTimeout(resolve, 10)), following]);
    await follower.close();
    await following;
    for (const n of promised) if (n % 3 === 2) assert.ok(seen.has(n), `the follower missed event ${n}, seed ${seed}`);
    context.diagnostic(`${promised.size} events promised, ${removals} compactions ended that removed some`);
    assert.ok(removals > KILLS / 4, `${removals} compactions`);
  }),
);

function noted(n: number): ReturnType<typeof Noted> {
  return Noted({ n, pad: "x".repeat((n * 37) % 300) });
}
