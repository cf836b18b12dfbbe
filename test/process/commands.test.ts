/**
 * A process that handles commands and keeps snapshots is killed again and again; each new one gives the last commands once more. No command that
 * was acknowledged is lost, none is done twice, and going on from what snapshots are left gives what a full fold gives.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { defineEvent, defineProjection, Store, type } from "../../src/index.ts";
import { type Compiled, compilePackage, inDirectory, startChild } from "./support.ts";

const Counted = defineEvent("Counted", { schema: type<{ number: number }>(), kind: { category: 2, type: 2 } });
const sum = (snapshot: { everyEvents: number } | false) =>
  defineProjection({ name: "sum", events: [Counted], initial: 0, on: { Counted: (total, event) => total + event.data.number }, snapshot });
const rounds = process.env.BATPAK_TEST_LONG === "1" ? 100 : 5;

let compiled: Compiled;
before(() => {
  compiled = compilePackage();
});
after(() => compiled.remove());

test(`commands and snapshots survive ${rounds} times SIGKILL`, () =>
  inDirectory(async (directory) => {
    const acknowledged = new Set<number>();
    let first = 0;
    for (let round = 0; round < rounds; round++) {
      const child = startChild("commands-child.mjs", [compiled.entry, directory, String(first)]);
      for (let lines = 0; lines < 20 + round * 7; lines++) acknowledged.add(Number(await child.line()));
      child.process.kill("SIGKILL");
      await child.ended;
      for (const line of child.lines) acknowledged.add(Number(line));
      // Some of these were done, acknowledged or not.
      first = Math.max(0, Math.max(...acknowledged) - 6);
    }
    const store = await Store.open(directory, { events: [Counted] });
    const events = await store.read({ kind: Counted }).toArray();
    const numbers = events.map(({ data }) => data.number);
    const done = new Set(numbers);
    assert.equal(numbers.length, 2 * done.size, "two events a command");
    for (const number of acknowledged) assert.ok(done.has(number), `command ${number} was acknowledged`);
    const full = await store.project(sum(false));
    const goneOn = await store.project(sum({ everyEvents: 10 }));
    assert.equal(goneOn.state, full.state);
    assert.ok(goneOn.eventsRead < full.eventsRead, "a snapshot was left and used");
    assert.equal((await store.verify()).ok, true);
    await store.close();
  }));
