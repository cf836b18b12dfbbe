/** What the messages about a damaged batpak 0.3 store recommend can be done; repairing, which cannot, is recommended by none. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { convertStore, isStoreError, repairStore, Store } from "../../src/index.ts";
import { fixtureFiles } from "../support/small-stores.ts";
import { batpak, jsonLines, temporaryDirectory } from "./run-cli.ts";

test("a damaged store of the batpak 0.3 layout is carried over to a new one, as the messages say", async (context) => {
  const directory = temporaryDirectory(context);
  for (const [name, bytes] of fixtureFiles("rotate")) writeFileSync(join(directory, name), bytes);
  const path = join(directory, "000003.fbat");
  const segment = readFileSync(path);
  segment[300] ^= 1;
  writeFileSync(path, segment);
  const elsewhere = temporaryDirectory(context);
  const reader = await Store.open(directory, { readOnly: true });
  const whole = (await reader.read().toArray()).map((event) => event.id);
  for (const attempt of [
    () => Store.open(directory),
    () => convertStore(directory, join(elsewhere, "converted"), { layout: "native" }),
    () => reader.snapshot(join(elsewhere, "snapshot")),
    () => repairStore(directory),
  ]) {
    await assert.rejects(attempt, (error) => {
      assert(isStoreError(error) && ["CORRUPT", "UNSUPPORTED_BY_LAYOUT"].includes(error.code), String(error));
      assert.match(error.message, /restore a copy of it or carry what is whole over to a new store, with batpak dump and batpak import$/);
      assert.doesNotMatch(error.message, /batpak repair|repair (it|a copy)/);
      return true;
    });
  }
  await reader.close();
  const dumped = await batpak(["dump", directory]);
  assert.equal(jsonLines(dumped.out).length, 79);
  const target = join(elsewhere, "new");
  const imported = await batpak(["import", target, "-", "--create"], dumped.out);
  assert.deepEqual([imported.code, imported.out], [0, "79 imported, 0 there already, 0 bad\n"]);
  const store = await Store.open(target);
  assert.deepEqual(
    (await store.read().toArray()).map((event) => event.id),
    whole,
  );
  assert.equal((await store.verify()).ok, true);
  await store.close();
});
