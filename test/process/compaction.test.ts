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

function noted(n: number): ReturnType<typeof Noted> {
  return Noted({ n, pad: "x".repeat((n * 37) % 300) });
}
