import assert from "node:assert/strict";
import { test } from "node:test";
import { atOnce } from "../base/rest.ts";
import { seededRandom } from "../testing/seeded-random.ts";
import { HashBuckets } from "./hash-buckets.ts";

/** The indexes of a hash, of those that its places tell. */
function indexesOf(buckets: HashBuckets, hashes: Uint32Array, hash: number): number[] {
  const found: number[] = [];
  for (let place = buckets.first(hash); place >= 0; place = buckets.next(place, hash)) {
    const index = buckets.indexAt(place);
    if (hashes[index] === hash) found.push(index);
  }
  return found;
}

test("all indexes of a hash are found, in order, and no others", () => {
  const random = seededRandom(11);
  for (const count of [1, 2, 15, 16, 17, 33, 1000, 70_000, 200_000]) {
    // Few enough different ones that many come several times, and many share their lowest bits.
    const hashes = Uint32Array.from({ length: count + 3 }, () => ((random() * 2 ** 12) << 20) | (random() * 4));
    const expected = new Map<number, number[]>();
    for (let i = 0; i < count; i++) expected.set(hashes[i]!, [...(expected.get(hashes[i]!) ?? []), i]);
    const buckets = atOnce(HashBuckets.of(hashes, count));
    for (const [hash, indexes] of expected) assert.deepEqual(indexesOf(buckets, hashes, hash), indexes);
    for (const hash of [0, 5, 0xffff_ffff]) assert.deepEqual(indexesOf(buckets, hashes, hash), expected.get(hash) ?? []);
  }
});

test("many are put in their buckets in steps", () => {
  const count = 300_000;
  const steps = HashBuckets.of(
    new Uint32Array(count).map((_, i) => Math.imul(i, 0x9e37_79b1)),
    count,
  );
  let rests = 0;
  while (steps.next().done !== true) rests++;
  assert.equal(rests, 2 * Math.floor(count / 65_536));
});
