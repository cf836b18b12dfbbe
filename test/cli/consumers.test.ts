// The verbs about consumers, and `follow`, through the real program.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { defineEvent, Store } from "../../src/index.ts";
import { batpak, jsonLines, temporaryDirectory } from "./run-cli.ts";

const Placed = defineEvent("Placed");

async function sample(directory: string): Promise<string> {
  const path = join(directory, "store");
  const store = await Store.open(path);
  for (let n = 0; n < 10; n++) await store.append({ entity: `order:${n % 2}`, scope: "eu" }, Placed({ n }));
  await (await store.consumer("mailer")).commit(3);
  await (await store.consumer("Über", undefined, { positionIn: "log" })).commit(7);
  await store.close();
  return path;
}

test("consumers lists, resets and deletes, and changes nothing that nobody agreed to", async (context) => {
  const path = await sample(temporaryDirectory(context));
  const listed = await batpak(["consumers", path, "--json"]);
  assert.equal(listed.code, 0, listed.err);
  const free = { held: false, problem: null };
  const both = [
    { name: "mailer", position: 3, lag: 6, ...free, positionIn: "file" },
    { name: "Über", position: 7, lag: 2, ...free, positionIn: "log" },
  ];
  assert.deepEqual(jsonLines(listed.out), both);
  assert.match((await batpak(["consumers", path])).out, /^mailer {2}position 3 {2}lag 6 {2}free {2}in file\n/);
  for (const args of [
    ["reset", path, "mailer", "--to", "start"],
    ["delete", path, "Über"],
  ]) {
    const refused = await batpak(["consumers", ...args]);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /Nothing was changed.*--yes/);
  }
  assert.deepEqual(jsonLines((await batpak(["consumers", path, "--json"])).out), both);
  assert.equal((await batpak(["consumers", "reset", path, "nobody", "--to", "end", "--yes"])).code, 1);
  for (const yes of [[], ["--yes"]]) {
    const behind = await batpak(["consumers", "reset", path, "mailer", "--to", "99", ...yes]);
    assert.equal(behind.code, 2);
    assert.match(behind.err, /the sequence is 99, -1 to 9 are allowed/);
    assert.doesNotMatch(behind.err, /with --yes/);
  }
  assert.equal((await batpak(["consumers", "reset", path, "mailer", "--to", "x", "--yes"])).code, 2);
  const reset = await batpak(["consumers", "reset", path, "Über", "--to", "1", "--yes"]);
  assert.deepEqual([reset.code, reset.out], [0, "Über stands at 1\n"]);
  const store = await Store.open(path);
  const held = await store.consumer("mailer");
  assert.equal((await store.consumers())[1].position, 1);
  const locked = await batpak(["consumers", "delete", path, "mailer", "--yes"]);
  assert.equal(locked.code, 3);
  assert.match(locked.err, /LOCKED/);
  await held.close();
  assert.equal((await batpak(["consumers", "delete", path, "Über", "--yes"])).code, 3, "a writer has the store");
  await store.close();
  assert.equal((await batpak(["consumers", "delete", path, "mailer", "--yes"])).code, 0);
  assert.equal((await batpak(["consumers", "delete", path, "Über", "--yes"])).code, 0);
  assert.equal((await batpak(["consumers", path])).out, "");
  const gone = await batpak(["consumers", "delete", path, "mailer", "--yes", "--json"]);
  assert.deepEqual([gone.code, jsonLines(gone.err).map(({ code }) => code)], [1, ["NOT_FOUND"]]);
});

test("follow prints what matches; with a consumer it goes on where it ended", async (context) => {
  const path = await sample(temporaryDirectory(context));
  const sequences = (out: string) => jsonLines(out).map(({ sequence }) => sequence);
  const plain = await batpak(["follow", path, "--entity", "order:1", "--after", "3", "--limit", "2", "--json"]);
  assert.deepEqual(sequences(plain.out), [5, 7], plain.err);
  const first = await batpak(["follow", path, "--consumer", "printer", "--limit", "4", "--json"]);
  assert.deepEqual(sequences(first.out), [0, 1, 2, 3], first.err);
  const second = batpak(["follow", path, "--consumer", "printer", "--limit", "7", "--json"]);
  const store = await Store.open(path);
  await store.append({ entity: "order:9", scope: "eu" }, Placed({ n: 10 }));
  assert.deepEqual(sequences((await second).out), [4, 5, 6, 7, 8, 9, 10]);
  assert.equal((await store.consumers()).find(({ name }) => name === "printer")?.position, 10);
  await store.close();
});
