/** Who may have a directory, or a consumer's name, among real processes: of Node here, of Node, Bun and Deno where `scripts/test-runtimes.mjs` says so. */
import assert from "node:assert/strict";
import { appendFileSync, copyFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { type Child, type Compiled, compilePackage, inDirectory, runtimes, startChild } from "./support.ts";

const ROUNDS = process.env.BATPAK_TEST_LONG === "1" || runtimes.length > 1 ? 150 : 15;
const WAIT_MS = 30_000;

let compiled: Compiled;
before(() => {
  compiled = compilePackage();
});
after(() => compiled.remove());

interface Holder {
  readonly name: string;
  readonly child: Child;
  /** Tells it something; resolves with its next answer. */
  ask(...command: (string | number)[]): Promise<unknown>;
}

async function startHolder(runtime: string[]): Promise<Holder> {
  const child = startChild("lock-child.mjs", [compiled.entry], runtime);
  assert.equal(await child.line(), '{"ready":true}');
  const ask = async (...command: (string | number)[]): Promise<unknown> => {
    child.process.stdin.write(`${JSON.stringify(command)}\n`);
    return JSON.parse(await child.line());
  };
  return { name: basename(runtime[0] ?? ""), child, ask };
}

async function end({ child }: Holder): Promise<void> {
  child.process.kill("SIGKILL");
  await child.ended;
}

const OPEN = { open: true };
const lockedBy = (holder: Holder, asker: Holder): object => ({
  code: "LOCKED",
  pid: holder.child.process.pid,
  isSinceKnown: true,
  sameProcess: holder === asker,
});

for (const first of runtimes)
  for (const second of runtimes) {
    const names = [first, second].map(([command]) => basename(command ?? "")).join(", and ");
    test(`a writer of ${names}: one holds, the other is told who, reads, waits, and gets what a killed one had`, () =>
      inDirectory(async (directory) => {
        const [one, two] = [await startHolder(first), await startHolder(second)];
        assert.deepEqual(await one.ask("open", directory, 0), OPEN);
        for (const asker of [two, one]) assert.deepEqual(await asker.ask("open", directory, 0), lockedBy(one, asker));
        assert.deepEqual(await two.ask("open", directory, 50), lockedBy(one, two));
        assert.deepEqual(await two.ask("read", directory), { events: 1 });
        assert.deepEqual(await two.ask("consume", directory), { consumes: true });
        for (const asker of [one, two]) assert.deepEqual(await asker.ask("consume", directory), lockedBy(two, asker));

        const waiting = two.ask("open", directory, WAIT_MS);
        assert.deepEqual(await one.ask("close", directory), { closed: true });
        assert.deepEqual(await waiting, OPEN);
        assert.deepEqual(await one.ask("open", directory, 0), lockedBy(two, one));
        assert.deepEqual(await one.ask("read", directory), { events: 2 });

        // A zombie until this process has heard of it, and then nobody.
        two.child.process.kill("SIGKILL");
        assert.deepEqual(await one.ask("open", directory, WAIT_MS), OPEN);
        assert.deepEqual(await one.ask("consume", directory), { consumes: true });
        assert.deepEqual(await one.ask("leave", directory), { left: true });
        assert.deepEqual(await one.ask("close", directory), { closed: true });
        assert.deepEqual(await one.ask("read", directory), { events: 3 });
        await end(one);
        await two.child.ended;
      }));
  }

test(`${ROUNDS} races: never two writers`, { timeout: 300_000 }, (context) =>
  inDirectory(async (directory) => {
    const crowd = await Promise.all([...runtimes, ...runtimes].map(startHolder));
    while (crowd.length < 4) crowd.push(await startHolder(runtimes[0] ?? []));
    const wins = new Map<string, number>();
    let idle = 0;
    let written = 0;
    for (let round = 0; round < ROUNDS; round++) {
      // Every third is of a directory that is new, whose maker is not yet known.
      const place = round % 3 === 0 ? join(directory, `${round}`) : join(directory, "0");
      const answers = await Promise.all(crowd.map((holder) => holder.ask("open", place, 0)));
      const winners = crowd.filter((_, index) => "open" in (answers[index] as object));
      for (const answer of answers) if (!("open" in (answer as object))) assert.equal((answer as { code?: string }).code, "LOCKED");
      assert(winners.length <= 1, `round ${round}: ${winners.map(({ name, child }) => `${name} ${child.process.pid}`).join(", ")}`);
      const [winner] = winners;
      if (winner === undefined) {
        idle += 1;
        continue;
      }
      wins.set(winner.name, (wins.get(winner.name) ?? 0) + 1);
      if (place === join(directory, "0")) written += 1;
      assert.deepEqual(await winner.ask("close", place), { closed: true });
    }
    assert(idle <= ROUNDS / 10, `${idle} of ${ROUNDS} races had no winner`);
    assert.deepEqual(await crowd[0]?.ask("read", join(directory, "0")), { events: written });
    await Promise.all(crowd.map(end));
    context.diagnostic(`${crowd.length} openers; won: ${[...wins].map(([name, count]) => `${name} ${count}`).join(", ")}; nobody: ${idle}`);
  }),
);

/** How a runtime runs a program anew in the process that it has, once it is changed. Node ends the process. */
const WATCHING: Readonly<Record<string, readonly string[]>> = {
  bun: ["bun", "--watch"],
  deno: ["deno", "run", "-A", "--watch"],
};

for (const runtime of runtimes) {
  const [command = ""] = runtime;
  const watching = WATCHING[basename(command)];
  if (watching === undefined) continue;
  test(`what ${watching.join(" ")} runs anew finds its directory free`, { timeout: 60_000 }, () =>
    inDirectory(async (directory) => {
      const program = join(directory, "watched.mjs");
      copyFileSync(join(import.meta.dirname, "watched-child.mjs"), program);
      const child = startChild(program, [compiled.entry, join(directory, "store")], [command, ...watching.slice(1)]);
      const opened = async (): Promise<string> => {
        for (;;) {
          const line = await child.line();
          if (/^(open|[A-Z_]+)\b/.test(line)) return line;
        }
      };
      for (let times = 1; times <= 3; times++) {
        assert.equal(await opened(), `open ${times}`);
        // The watcher may begin to look only behind the program's start.
        await new Promise((resolve) => setTimeout(resolve, 500));
        appendFileSync(program, "// changed\n");
      }
      child.process.kill("SIGKILL");
      await child.ended;
    }),
  );
}
