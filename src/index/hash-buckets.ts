/**
 * Hashes of 32 bits in buckets by their highest bits: where each stood in the column that they came from. Made in two passes over the column
 * (20 ns a hash; entering them in a table of open addressing takes 80), and looked up by a scan of some sixteen bits each. Nothing is ever added.
 *
 * Invariants:
 * 1. Bucket `b` is the places [starts[b], starts[b + 1]), and has the hashes whose highest bits are `b`, in the column's order.
 * 2. `tags` has the lowest sixteen bits of the hash at each place: mostly enough to tell them apart without a look at the column.
 */

/** About so many hashes share a bucket. */
const BUCKET_HASHES = 16;
const BUCKET_BITS_MAX = 24;
const HASHES_PER_STEP = 65_536;

export class HashBuckets {
  readonly #shift: number;
  readonly #starts: Uint32Array;
  readonly #indexes: Uint32Array;
  readonly #tags: Uint16Array;

  private constructor(shift: number, starts: Uint32Array, indexes: Uint32Array, tags: Uint16Array) {
    this.#shift = shift;
    this.#starts = starts;
    this.#indexes = indexes;
    this.#tags = tags;
  }

  /** Of the first `count` hashes of the column, which stays the caller's. In steps of a millisecond or so. */
  static *of(hashes: Uint32Array, count: number): Generator<undefined, HashBuckets> {
    const bits = Math.min(BUCKET_BITS_MAX, Math.max(1, Math.ceil(Math.log2(count / BUCKET_HASHES))));
    const shift = 32 - bits;
    const starts = new Uint32Array((1 << bits) + 1);
    for (let from = 0; from < count; from += HASHES_PER_STEP) {
      if (from > 0) yield;
      const end = Math.min(count, from + HASHES_PER_STEP);
      for (let i = from; i < end; i++) starts[(hashes[i]! >>> shift) + 1]!++;
    }
    for (let bucket = 0; bucket < 1 << bits; bucket++) starts[bucket + 1]! += starts[bucket]!;
    const places = starts.slice();
    const indexes = new Uint32Array(count);
    const tags = new Uint16Array(count);
    for (let from = 0; from < count; from += HASHES_PER_STEP) {
      if (from > 0) yield;
      placeHashes(hashes, from, Math.min(count, from + HASHES_PER_STEP), shift, places, indexes, tags);
    }
    return new HashBuckets(shift, starts, indexes, tags);
  }

  /** The first place that may have this hash; -1 where there is none. */
  first(hash: number): number {
    return this.#search(this.#starts[hash >>> this.#shift]!, hash);
  }

  /** The next one after `place`, which may have it as well. */
  next(place: number, hash: number): number {
    return this.#search(place + 1, hash);
  }

  #search(from: number, hash: number): number {
    const tag = hash & 0xffff;
    const end = this.#starts[(hash >>> this.#shift) + 1]!;
    const tags = this.#tags;
    for (let place = from; place < end; place++) if (tags[place] === tag) return place;
    return -1;
  }

  /** Where in the column the hash of a place stands. */
  indexAt(place: number): number {
    return this.#indexes[place]!;
  }
}

function placeHashes(
  hashes: Uint32Array,
  from: number,
  end: number,
  shift: number,
  places: Uint32Array,
  indexes: Uint32Array,
  tags: Uint16Array,
): void {
  for (let i = from; i < end; i++) {
    const hash = hashes[i]!;
    const place = places[hash >>> shift]!++;
    indexes[place] = i;
    tags[place] = hash;
  }
}
