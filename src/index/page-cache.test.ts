import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { PageCache } from "./page-cache.ts";

function page(bytes: number, fill: number): ArrayBuffer {
  const memory = new ArrayBuffer(bytes);
  new Uint8Array(memory).fill(fill);
  return memory;
}

test("the bound in bytes holds at every step, and a page held is the page loaded", () => {
  const seed = randomInt(1 << 30);
  console.log(`seed ${seed}`);
  let state = seed;
  const random = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * limit);
  };
  const cache = new PageCache(50_000);
  const segments = [cache.segment(40), cache.segment(40), cache.segment(40)];
  let loaded = 0;
  for (let step = 0; step < 20_000; step++) {
    const segment = random(3);
    const number = random(40);
    const held = cache.get(segments[segment]!, number);
    const fill = segment * 40 + number;
    if (held !== undefined) assert.equal(held.bytes[0], fill);
    else {
      cache.put(segments[segment]!, number, page(8 + number * 250, fill), 8 + number * 8);
      loaded++;
    }
    assert.ok(cache.bytes <= 50_000);
    assert.equal(cache.pagesLoaded, loaded);
    if (step % 5000 === 4999) {
      cache.drop(segments[segment]!);
      for (let each = 0; each < 40; each++) assert.equal(cache.get(segments[segment]!, each), undefined);
    }
  }
  for (const segment of segments) cache.drop(segment);
  assert.equal(cache.bytes, 0);
  assert.equal(cache.pages, 0);
});

test("a page used again outlives those that were not", () => {
  const cache = new PageCache(10 * (1000 + 512));
  const segment = cache.segment(100);
  for (let number = 0; number < 10; number++) cache.put(segment, number, page(1000, number), 996);
  cache.put(segment, 10, page(1000, 10), 996);
  for (let number = 11; number < 50; number++) {
    assert.ok(cache.get(segment, 10) !== undefined, `page 10 is held when ${number} comes`);
    cache.put(segment, number, page(1000, number), 996);
    assert.equal(cache.pages, 10);
  }
});

test("a page larger than the bound is given, and not held", () => {
  const cache = new PageCache(600);
  const segment = cache.segment(1);
  assert.equal(cache.put(segment, 0, page(100, 7), 96).bytes[95], 7);
  assert.equal(cache.bytes, 0);
  assert.equal(cache.get(segment, 0), undefined);
});
