import assert from "node:assert/strict";
import { test } from "node:test";
import { CACHED_BYTES_MAX, TextCache } from "./text-cache.ts";

/** Behind some bytes, and before others, as texts lie in a payload. */
function written(text: string): [Uint8Array, DataView, number, number] {
  const before = 3;
  const bytes = new Uint8Array(Buffer.from(`###${text}####`, "latin1"));
  return [bytes, new DataView(bytes.buffer), before, text.length];
}

function find(cache: TextCache, text: string): string | null {
  return cache.find(...written(text));
}

/** Notes `text` until it is held. */
function hold(cache: TextCache, text: string): void {
  for (let tries = 0; find(cache, text) !== text; tries++) {
    assert.ok(tries < 100, `${text} is not held`);
    cache.note(text, ...written(text));
  }
}

test("a text of each length is found by its bytes, and by no others", () => {
  const cache = new TextCache();
  for (let length = 1; length <= CACHED_BYTES_MAX; length++) {
    const text = "abcdefghijklmnopqrstuvwxyz0123456789".slice(0, length);
    hold(cache, text);
    for (let at = 0; at < length; at++) {
      for (const other of ["\0", "A", "\x7f", "ÿ"]) assert.equal(find(cache, text.slice(0, at) + other + text.slice(at + 1)), null);
    }
  }
});

test("texts that share a slot drive each other out, and none is taken for another", () => {
  const cache = new TextCache();
  // The first and last eight characters and the length choose the slot; here only others differ.
  const texts = Array.from({ length: 64 }, (_, number) => `the-same${String(number).padStart(2, "0")}the-same`);
  for (let round = 0; round < 20; round++) {
    for (const text of texts) {
      const found = find(cache, text);
      assert.ok(found === null || found === text, `${found} for ${text}`);
      cache.note(text, ...written(text));
    }
  }
  assert.ok(texts.filter((text) => find(cache, text) === text).length <= 1);
});

test("names that differ in a place or two are held side by side", () => {
  const cache = new TextCache();
  const names = Array.from({ length: 256 }, (_, number) => `type_${number >> 5}_field_${number & 31}`);
  for (let round = 0; round < 100; round++) {
    for (const name of names) if (find(cache, name) === null) cache.note(name, ...written(name));
  }
  const held = names.filter((name) => find(cache, name) === name).length;
  assert.ok(held > names.length * 0.9, `${held} of ${names.length} held`);
});

test("objects of one shape whose last member never comes again keep the others' texts", () => {
  const cache = new TextCache();
  const again = ["card", "paid", "again"];
  for (let number = 0; number < 1000; number++) {
    for (const text of [...again, `once-${number}`]) if (find(cache, text) === null) cache.note(text, ...written(text));
  }
  assert.deepEqual(
    again.map((text) => find(cache, text)),
    again,
  );
});

test("texts of a length that hardly ever come again are passed by, and looked for again soon after they do", () => {
  const cache = new TextCache();
  const look = (text: string): boolean => {
    if (!cache.isWorth(text.length)) return false;
    if (find(cache, text) === null) cache.note(text, ...written(text));
    return true;
  };
  let looked = 0;
  for (let number = 0; number < 10_000; number++) if (look(`once-${String(number).padStart(6, "0")}`)) looked++;
  assert.ok(looked > 100 && looked < 1000, `${looked} looks`);
  assert.ok(look("again"), "another length is not concerned");
  for (let round = 0; round < 1000; round++) for (const text of ["shipped-now", "shipped-yet"]) look(text);
  for (let round = 0; round < 10; round++) assert.ok(look("shipped-now"));
});

test("text that is not ASCII is not held", () => {
  const cache = new TextCache();
  const bytes = new Uint8Array(Buffer.from("größe"));
  const view = new DataView(bytes.buffer);
  for (let tries = 0; tries < 100; tries++) cache.note("größe", bytes, view, 0, bytes.length);
  assert.equal(cache.find(bytes, view, 0, bytes.length), null);
});
