import assert from "node:assert/strict";
import { test } from "node:test";
import { FIRST_KEY, findKeyEntry, KEY_ENTRY_BYTES_MAX } from "./payload-key-cache.ts";

const find = (key: string) => findKeyEntry(key, FIRST_KEY);

test("names that come once seldom make an entry", () => {
  const made = Array.from({ length: 8000 }, (_, number) => find(`once-${number}`)).filter((entry) => entry !== null);
  assert.ok(made.length > 0 && made.length <= 1000, `${made.length} entries`);
});

test("all names of an object that comes again and again have entries soon", () => {
  const names = Array.from({ length: 16 }, (_, number) => `again-${number}`);
  for (let objects = 0; objects < 40; objects++) names.forEach(find);
  assert.deepEqual(
    names.map((name) => find(name)?.key),
    names,
  );
});

test("a name that can have no entry does not keep those beside it from theirs", () => {
  for (const none of ["ключ", "x".repeat(32)]) {
    const names = [...Array.from({ length: 7 }, (_, number) => `beside-${none.length}-${number}`), none];
    for (let objects = 0; objects < 40; objects++) names.forEach(find);
    assert.deepEqual(
      names.map((name) => find(name)?.key),
      [...names.slice(0, 7), undefined],
    );
  }
});

test("an entry has the bytes of its name as MessagePack writes it", () => {
  let entry = find("name");
  while (entry === null) entry = find("name");
  assert.ok(entry.words.byteLength <= KEY_ENTRY_BYTES_MAX);
  assert.equal(Buffer.from(entry.words.buffer, 0, entry.byteLength).toString("latin1"), "\xa4name");
});

test("where too many names come once, fewer get an entry, and names that come again still do", () => {
  const madeOf = (wave: number): number =>
    Array.from({ length: 20_000 }, (_, number) => find(`wave-${wave}-${number}`)).filter((entry) => entry !== null).length;
  const first = madeOf(0);
  let last = first;
  for (let wave = 1; wave <= 20; wave++) last = madeOf(wave);
  assert.ok(last > 0 && last * 4 <= first, `${first} entries, then ${last}`);
  const names = Array.from({ length: 4 }, (_, number) => `still-${number}`);
  for (let objects = 0; objects < 2000; objects++) names.forEach(find);
  assert.deepEqual(
    names.map((name) => find(name)?.key),
    names,
  );
});

test("names that are long or not ASCII have none", () => {
  for (const name of ["n".repeat(32), "größe"]) for (let sights = 0; sights < 20; sights++) assert.equal(find(name), null);
});
