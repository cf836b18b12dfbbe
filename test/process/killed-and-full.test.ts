/** Real processes in trouble: a race for the lock, a reader beside writers that are killed one after another, files that may not grow. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { defineEvent, type } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { seededRandom } from "../../src/testing/seeded-random.ts";
import { type Compiled, compilePackage, inDirectory, runtimes, startWriter } from "./support.ts";

const Tried = defineEvent("Tried", {
  schema: type<{ name: string; item: number; items: number; pad: string }>(),
  kind: { category: 2, type: 1 },
});
const LONG = process.env.BATPAK_TEST_LONG === "1";
const SEED = Number(process.env.BATPAK_SEED ?? Date.now() % 1_000_000);
const childPath = fileURLToPath(new URL("writer-child.mjs", import.meta.url));

let compiled: Compiled;
before(() => {
  compiled = compilePackage();
});
after(() => compiled.remove());

const rounds = LONG ? 60 : 4;
test(`${rounds} races for the lock: exactly one of three wins, the others are told LOCKED`, () =>
  inDirectory(async (directory) => {
    for (let round = 0; round < rounds; round++) {
      const contenders = Array.from({ length: 3 }, (_, number) => startWriter(compiled.entry, directory, "serve", `${round}.${number}`));
      const first = await Promise.all(contenders.map((contender) => contender.line()));
      assert.deepEqual(first.sort(), ["LOCKED", "LOCKED", "open"], `round ${round}`);
      for (const contender of contenders) contender.process.stdin.end();
      await Promise.all(contenders.map((contender) => contender.ended));
    }
  }));

const kills = LONG ? 100 : 6;
test(`a reader beside ${kills} writers that are killed and followed by others: no gap, no double, nothing vanishes`, (context) =>
  inDirectory(async (directory) => {
    const random = seededRandom(SEED);
    const seen: string[] = [];
    let reader: Store | null = null;
    /** Reads on, or all anew: what was seen must be there still. */
    const look = async (all: boolean): Promise<void> => {
      if (reader === null) return;
      await reader.refresh();
      let expected = all ? 0 : seen.length;
      for await (const event of reader.read(undefined, all ? {} : { after: seen.length - 1 })) {
        assert.equal(event.sequence, expected++, `seed ${SEED}: the sequence has a gap or a double`);
        if (event.sequence < seen.length)
          assert.equal(event.hash, seen[event.sequence], `seed ${SEED}: event ${event.sequence} has changed`);
        else seen.push(event.hash);
      }
      assert.equal(expected, seen.length, `seed ${SEED}: events that were seen have vanished`);
    };
    for (let kill = 0; kill < kills; kill++) {
      const child = startWriter(compiled.entry, directory, "race", String(kill));
      assert.equal(await child.line(), "open");
      reader ??= await Store.open(directory, { readOnly: true });
      const until = Date.now() + 10 + random() * 50;
      while (Date.now() < until) await look(random() < 0.2);
      child.process.kill("SIGKILL");
      await look(false);
      await child.ended;
      await look(true);
    }
    assert.ok(seen.length > kills, "writers got something done before they were killed");
    await (reader as Store | null)?.close();
    context.diagnostic(`seed ${SEED}: ${kills} writers killed, ${seen.length} events followed`);
  }));

const limits = LONG ? [1, 2, 3, 5, 8, 13, 17, 21, 26, 30, 31] : [3, 9, 21];
test(
  "files that may not grow (a limit of the process): a typed error, nothing acknowledged is lost, it goes on without the limit",
  {
    skip: process.platform === "win32" ? "there is no ulimit" : false,
  },
  () =>
    inDirectory(async (directory) => {
      const promised = new Set<string>();
      let acknowledged = 0;
      // One store that grows from limit to limit, which may be full each time before anything is acknowledged, and then one for each.
      for (const [run, limitKib] of [...limits, ...limits].entries()) {
        const own = run >= limits.length;
        if (own) promised.clear();
        const store = join(directory, own ? `own-${run}` : "growing");
        // Ignored, so that the write fails instead of ending the process.
        const script = `trap '' XFSZ; ulimit -f ${limitKib} || exit 99; exec "$0" "$@"`;
        const child = spawn(
          "bash",
          ["-c", script, ...(runtimes[run % runtimes.length] ?? []), childPath, compiled.entry, store, "race", `full-${run}`],
          {
            stdio: ["ignore", "pipe", "inherit"],
          },
        );
        let text = "";
        child.stdout.setEncoding("utf8").on("data", (part: string) => {
          text += part;
        });
        await once(child, "close");
        const lines = text.trim().split("\n");
        const end = lines[lines.length - 1] as string;
        assert.ok(["COMMIT_UNKNOWN", "POISONED", "IO"].includes(end), `with ${limitKib} KiB a file the writer ended with ${end}`);
        for (const line of lines) if (line.startsWith("full-")) promised.add(line);
        acknowledged += promised.size;
        const again = await Store.open(store, { events: [Tried] as const });
        const found = new Map<string, number>();
        for (const { data } of await again.read({ kind: Tried }).toArray()) found.set(data.name, (found.get(data.name) ?? 0) + 1);
        for (const name of promised) assert.ok(found.has(name), `acknowledged ${name} is there`);
        for (const { data } of await again.read({ kind: Tried }).toArray())
          assert.equal(found.get(data.name), data.items, `${data.name} is whole`);
        assert.equal((await again.verify()).ok, true);
        await again.close();
      }
      assert.ok(acknowledged > 0, "something was acknowledged before files were full");
    }),
);
