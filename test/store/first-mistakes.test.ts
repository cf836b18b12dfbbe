// What somebody gets wrong on the first day: a path with no store, an event that none of the definitions made. The message says what to do.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { compactStore, convertStore, repairStore, Store } from "../../src/index.ts";
import { openMemoryStore } from "../../src/testing/index.ts";

test("a directory without a store is NOT_FOUND, by name, and nothing is made there", async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "batpak-mistakes-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const missing = join(directory, "missing");
  const tries = [
    () => Store.open(missing, { readOnly: true }),
    () => Store.open(directory, { readOnly: true }),
    () => compactStore(missing, { keepLast: 1 }),
    () => repairStore(missing),
    () => repairStore(directory),
    () => repairStore(directory, { apply: true }),
    () => compactStore(directory, { keepLast: 1 }),
  ];
  for (const attempt of tries) {
    await assert.rejects(attempt, (error: Error & { code: string }) => {
      assert.equal(error.code, "NOT_FOUND", `${String(attempt)}: ${error.message}`);
      assert.match(error.message, /there is no store in .*batpak-mistakes-/);
      return true;
    });
  }
  assert.deepEqual(readdirSync(directory), []);
});

test("a path and options that are none are told as what they are", async () => {
  const none = undefined as never;
  const tries = [
    () => Store.open("a\0b"),
    () => Store.open("./x", null as never),
    () => compactStore("./x", none),
    () => compactStore(none, { keepLast: 1 }),
    () => convertStore("./x", "./y", none),
    () => convertStore(none, "./y", { layout: "native" }),
    () => repairStore(none),
    () => repairStore("./x", { aply: true } as never),
    () => repairStore("./x", { apply: "yes" as never }),
  ];
  for (const attempt of tries) await assert.rejects(attempt, { code: "INVALID_ARGUMENT" }, String(attempt));
});

test("plain data in place of an event is told as what it is", async () => {
  const store = await openMemoryStore();
  const plain = { cents: 5 } as never;
  await assert.rejects(store.append({ entity: "a", scope: "s" }, plain), /no definition and no kind, what a definition makes/);
  await store.close();
});
