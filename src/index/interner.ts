/**
 * Names (of entities or scopes) as ids 0, 1, 2, … in flat memory: a name costs its bytes and about 16 more, and a million load from a
 * checkpoint by copying.
 *
 * Invariants:
 * 1. Name `id` is `bytes[offsets[id], offsets[id + 1])`, well-formed UTF-8; no two names are equal; ids are never reused.
 * 2. Names that were loaded are found by buckets of their hashes, which are made at the first look-up (null until then). Those added since are in
 *    a table.
 * 3. The table is in parts, chosen by the hash's highest bits, so that no more than a part is ever moved at once. A part is a power of two of
 *    slots, half full at most, each 0 or `id + 1`, found by linear probing from the name's hash.
 * 4. The caches in front are bounded and hold nothing that the flat memory does not.
 */
import { isUtf8 } from "node:buffer";
import { assert } from "../base/assert.ts";
import { bytesOfColumn, columnFromBytes, grownColumn } from "../base/column-bytes.ts";
import type { PrefixSet } from "../base/prefix-set.ts";
import { atOnce } from "../base/rest.ts";
import { nameHash } from "../format/native/name-hash.ts";
import { HashBuckets } from "./hash-buckets.ts";

/** The parts of an interner as a checkpoint holds them: views for as long as no name is added. Little-endian. */
export interface InternerParts {
  /** All names, one after the other, UTF-8. */
  readonly bytes: Uint8Array;
  /** u32: where each name starts, and where the last one ends. */
  readonly offsets: Uint8Array;
  /** u32: `nameHash` of each name. Taken as it is: hashing a million names anew would cost more than the rest of loading. */
  readonly hashes: Uint8Array;
}

const ID_CACHE_ENTRIES = 32_768;
/** A full id cache is emptied after this many misses: seldom enough to cost nothing where names are many, and often enough to follow the hot ones. */
const ID_CACHE_MISSES_MAX = 8 * ID_CACHE_ENTRIES;
/** The cache of names has so many slots for a few names, and up to the greater for many. */
const NAME_CACHE_SLOTS_MIN = 64;
const NAME_CACHE_SLOTS_MAX = 4096;
const TABLE_PARTS = 32;
/** What is left of a hash of 32 bits when it is shifted by this says which part. */
const TABLE_PART_SHIFT = 27;
const PART_SLOTS_MIN = 16;
/** A part without names: most parts of most stores. Nothing is entered here. */
const EMPTY_PART = new Uint32Array(1);
const NAME_BYTES_MAX = 0x8000_0000;
/** So many names are looked at, or so many bytes of them copied, in a step of loading. */
const NAMES_PER_STEP = 65_536;
const BYTES_PER_STEP = 4 * 1024 * 1024;
/** Names up to this many UTF-16 units are encoded and decoded without a call into the runtime. */
const SHORT_NAME_UNITS = 64;

const encoder = new TextEncoder();

export class Interner {
  #size = 0;
  #bytes = new Uint8Array(1024);
  /** `#bytes`, for decoding. */
  #text = Buffer.from(this.#bytes.buffer);
  #byteCount = 0;
  #offsets = new Uint32Array(65);
  #hashes = new Uint32Array(64);
  /** How many names were loaded: those with lesser ids. */
  #loaded = 0;
  #loadedBuckets: HashBuckets | null = null;
  readonly #table: Uint32Array[] = new Array<Uint32Array>(TABLE_PARTS).fill(EMPTY_PART);
  /** How many names each part of the table has. */
  readonly #partSizes = new Uint32Array(TABLE_PARTS);
  /** A cache: name to id. Its keys are copies, so that none pins a larger string it was cut from. */
  readonly #ids = new Map<string, number>();
  #idMisses = 0;
  #nameCacheIds = new Int32Array(NAME_CACHE_SLOTS_MIN).fill(-1);
  #nameCache: string[] = new Array<string>(NAME_CACHE_SLOTS_MIN).fill("");
  #scratch = new Uint8Array(256);

  /** How many names there are; the next id. */
  get size(): number {
    return this.#size;
  }

  /** The id of `name`, which is added when it is new. The caller has checked that it is well-formed. */
  intern(name: string): number {
    const cached = this.#ids.get(name);
    if (cached !== undefined) return cached;
    const length = this.#encode(name);
    const id = this.internBytes(this.#scratch, 0, length);
    this.#remember(id);
    return id;
  }

  /** The id of `name` where the cache has it, else -1: a look that costs little, and says nothing of names that it does not know. */
  recentId(name: string): number {
    return this.#ids.get(name) ?? -1;
  }

  /** The id of `name`, or -1 when it was never added. */
  find(name: string): number {
    const cached = this.#ids.get(name);
    if (cached !== undefined) return cached;
    const length = this.#encode(name);
    const id = this.findBytes(this.#scratch, 0, length);
    if (id >= 0) this.#remember(id);
    return id;
  }

  /** Like `intern`, for the UTF-8 bytes `source[start, end)`, which the caller has checked. */
  internBytes(source: Uint8Array, start: number, end: number): number {
    return this.internHashed(source, start, end, nameHash(source, start, end));
  }

  /** The same where the bytes' `nameHash` is known. */
  internHashed(source: Uint8Array, start: number, end: number, hash: number): number {
    const found = this.#probe(source, start, end, hash);
    return found >= 0 ? found : this.#add(source, start, end, hash);
  }

  /** Like `find`, for the UTF-8 bytes `source[start, end)`. */
  findBytes(source: Uint8Array, start: number, end: number): number {
    return this.#probe(source, start, end, nameHash(source, start, end));
  }

  /** The same where somebody says what the bytes' `nameHash` is: -1 as well where that is not so. */
  findHashed(source: Uint8Array, start: number, end: number, hash: number): number {
    return this.#probe(source, start, end, hash);
  }

  /** Whether the UTF-8 bytes `source[start, end)` are this name. */
  isName(id: number, source: Uint8Array, start: number, end: number): boolean {
    return this.#equals(id, source, start, end);
  }

  /** The id of another interner's name, or -1 when it was never added here. */
  findOf(other: Interner, id: number): number {
    return this.#probe(other.#bytes, other.#offsets[id]!, other.#offsets[id + 1]!, other.#hashes[id]!);
  }

  name(id: number): string {
    const slot = id & (this.#nameCacheIds.length - 1);
    if (this.#nameCacheIds[slot] === id) return this.#nameCache[slot]!;
    assert(id >= 0 && id < this.#size, "a name is asked for by an id that was given out");
    const name = this.#decode(id);
    this.#cacheName(id, name);
    return name;
  }

  #cacheName(id: number, name: string): void {
    let slots = this.#nameCacheIds.length;
    if (this.#size > slots && slots < NAME_CACHE_SLOTS_MAX) {
      while (slots < Math.min(this.#size, NAME_CACHE_SLOTS_MAX)) slots *= 2;
      this.#nameCacheIds = new Int32Array(slots).fill(-1);
      this.#nameCache = new Array<string>(slots).fill("");
    }
    this.#nameCacheIds[id & (slots - 1)] = id;
    this.#nameCache[id & (slots - 1)] = name;
  }

  /** Length of a name in UTF-8 bytes. */
  byteLength(id: number): number {
    return this.#offsets[id + 1]! - this.#offsets[id]!;
  }

  /** Copies a name's UTF-8 bytes to `target` at `offset`; returns how many. The caller has made room. */
  copyName(id: number, target: Uint8Array, offset: number): number {
    const start = this.#offsets[id]!;
    const length = this.#offsets[id + 1]! - start;
    const bytes = this.#bytes;
    if (length > 48) target.set(bytes.subarray(start, start + length), offset);
    else for (let at = 0; at < length; at++) target[offset + at] = bytes[start + at]!;
    return length;
  }

  /** Whether the name begins with one of these. */
  beginsOne(id: number, prefixes: PrefixSet): boolean {
    return prefixes.beginsOne(this.#bytes, this.#offsets[id]!, this.#offsets[id + 1]!);
  }

  /** Below 0 where the one name comes before the other by their bytes, above 0 where behind; the first `from` bytes are known to be the same. */
  compare(one: number, other: number, from: number): number {
    const bytes = this.#bytes;
    const end = this.#offsets[one + 1]!;
    const otherEnd = this.#offsets[other + 1]!;
    let at = this.#offsets[one]! + from;
    let otherAt = this.#offsets[other]! + from;
    while (at < end && otherAt < otherEnd) {
      const difference = bytes[at++]! - bytes[otherAt++]!;
      if (difference !== 0) return difference;
    }
    return end - at - (otherEnd - otherAt);
  }

  /** 0 where the name begins with these bytes; below 0 where it comes before all that do, above 0 where behind them. */
  compareStart(id: number, prefix: Uint8Array): number {
    const bytes = this.#bytes;
    const start = this.#offsets[id]!;
    const length = Math.min(prefix.length, this.#offsets[id + 1]! - start);
    for (let at = 0; at < length; at++) {
      const difference = bytes[start + at]! - prefix[at]!;
      if (difference !== 0) return difference;
    }
    return length - prefix.length;
  }

  /** The bytes of all names, and where each begins, and the last one ends: views for as long as no name is added. */
  get text(): { readonly bytes: Uint8Array; readonly offsets: Uint32Array } {
    return { bytes: this.#bytes, offsets: this.#offsets };
  }

  /** `nameHash` of the name. */
  hashOf(id: number): number {
    return this.#hashes[id]!;
  }

  /** What a checkpoint stores; the first `count` names only, when given. */
  toParts(count: number = this.#size): InternerParts {
    assert(count <= this.#size, "an interner's parts hold no more names than there are");
    return {
      bytes: this.#bytes.subarray(0, this.#offsets[count]!),
      offsets: bytesOfColumn(this.#offsets, count + 1),
      hashes: bytesOfColumn(this.#hashes, count),
    };
  }

  /** An interner of copied parts; null when they cannot be one (lengths, order, encoding). In steps of a millisecond or so. */
  static *fromParts(parts: InternerParts): Generator<undefined, Interner | null> {
    const count = parts.offsets.length / 4 - 1;
    if (!Number.isInteger(count) || count < 0 || parts.bytes.length >= NAME_BYTES_MAX || !isUtf8(parts.bytes)) return null;
    const interner = new Interner();
    const offsets = new Uint32Array(Math.max(65, count + 1));
    const hashes = new Uint32Array(Math.max(64, count));
    if (!columnFromBytes(offsets, parts.offsets, count + 1) || !columnFromBytes(hashes, parts.hashes, count)) return null;
    if (offsets[0] !== 0 || offsets[count] !== parts.bytes.length) return null;
    const bytes = parts.bytes;
    for (let id = 0; id < count; id++) {
      const start = offsets[id]!;
      // No name is empty, and none starts within a character; then each is well-formed because the whole is.
      if (start >= offsets[id + 1]! || (bytes[start]! & 0xc0) === 0x80) return null;
      if ((id + 1) % NAMES_PER_STEP === 0) yield;
    }
    interner.#size = count;
    interner.#loaded = count;
    interner.#bytes = new Uint8Array(Math.max(1024, bytes.length));
    for (let from = 0; from < bytes.length; from += BYTES_PER_STEP) {
      if (from > 0) yield;
      interner.#bytes.set(bytes.subarray(from, from + BYTES_PER_STEP), from);
    }
    interner.#text = Buffer.from(interner.#bytes.buffer);
    interner.#byteCount = bytes.length;
    interner.#offsets = offsets;
    interner.#hashes = hashes;
    return interner;
  }

  /** Does in steps what the first look-up would do at once: twenty milliseconds for a million names. */
  *prepareLoaded(): Generator<undefined, void> {
    this.#loadedBuckets ??= yield* HashBuckets.of(this.#hashes, this.#loaded);
  }

  #remember(id: number): void {
    if (this.#ids.size >= ID_CACHE_ENTRIES) {
      if (++this.#idMisses < ID_CACHE_MISSES_MAX) return;
      this.#idMisses = 0;
      this.#ids.clear();
    }
    this.#ids.set(this.#decode(id), id);
  }

  /** The name's UTF-8 bytes to the start of `#scratch`; returns how many. */
  #encode(name: string): number {
    const units = name.length;
    if (this.#scratch.length < units * 3) this.#scratch = new Uint8Array(units * 3);
    const scratch = this.#scratch;
    if (units <= SHORT_NAME_UNITS) {
      let at = 0;
      for (; at < units; at++) {
        const unit = name.charCodeAt(at);
        if (unit >= 0x80) break;
        scratch[at] = unit;
      }
      if (at === units) return units;
    }
    return encoder.encodeInto(name, scratch).written;
  }

  #decode(id: number): string {
    return this.#text.toString("utf8", this.#offsets[id], this.#offsets[id + 1]);
  }

  #probe(source: Uint8Array, start: number, end: number, hash: number): number {
    if (this.#loaded > 0) {
      const loaded = this.#probeLoaded(source, start, end, hash);
      if (loaded >= 0) return loaded;
    }
    const part = this.#table[hash >>> TABLE_PART_SHIFT]!;
    const mask = part.length - 1;
    const hashes = this.#hashes;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = part[slot]!;
      if (entry === 0) return -1;
      if (hashes[entry - 1] === hash && this.#equals(entry - 1, source, start, end)) return entry - 1;
    }
  }

  #probeLoaded(source: Uint8Array, start: number, end: number, hash: number): number {
    const buckets = (this.#loadedBuckets ??= atOnce(HashBuckets.of(this.#hashes, this.#loaded)));
    for (let place = buckets.first(hash); place >= 0; place = buckets.next(place, hash)) {
      const id = buckets.indexAt(place);
      if (this.#hashes[id] === hash && this.#equals(id, source, start, end)) return id;
    }
    return -1;
  }

  #equals(id: number, source: Uint8Array, start: number, end: number): boolean {
    const from = this.#offsets[id]!;
    if (this.#offsets[id + 1]! - from !== end - start) return false;
    const bytes = this.#bytes;
    for (let at = start; at < end; at++) if (source[at] !== bytes[from + at - start]) return false;
    return true;
  }

  #add(source: Uint8Array, start: number, end: number, hash: number): number {
    const id = this.#size;
    const byteCount = this.#byteCount + (end - start);
    assert(end > start && byteCount < NAME_BYTES_MAX, "a name is not empty, and all names together stay under 2 GiB");
    if (byteCount > this.#bytes.length) {
      const grown = new Uint8Array(Math.min(NAME_BYTES_MAX, Math.max(byteCount, this.#bytes.length * 2)));
      grown.set(this.#bytes.subarray(0, this.#byteCount));
      this.#bytes = grown;
      this.#text = Buffer.from(grown.buffer);
    }
    if (id + 1 >= this.#offsets.length) this.#offsets = grownColumn(this.#offsets, id * 2 + 1);
    if (id >= this.#hashes.length) this.#hashes = grownColumn(this.#hashes, id * 2);
    const bytes = this.#bytes;
    for (let at = start, to = this.#byteCount; at < end; at++) bytes[to++] = source[at]!;
    this.#byteCount = byteCount;
    this.#offsets[id + 1] = byteCount;
    this.#hashes[id] = hash;
    this.#size = id + 1;
    const part = hash >>> TABLE_PART_SHIFT;
    if (++this.#partSizes[part]! > this.#table[part]!.length * fillOf(part)) this.#growPart(part);
    enterName(this.#table[part]!, id, hash);
    return id;
  }

  #growPart(part: number): void {
    const before = this.#table[part]!;
    const grown = new Uint32Array(Math.max(PART_SLOTS_MIN, before.length * 2));
    for (const entry of before) if (entry !== 0) enterName(grown, entry - 1, this.#hashes[entry - 1]!);
    this.#table[part] = grown;
  }
}

/** How full a part may be: each another, so that they do not grow all together. */
function fillOf(part: number): number {
  return 0.5 - part * 0.005;
}

function enterName(part: Uint32Array, id: number, hash: number): void {
  const mask = part.length - 1;
  let slot = hash & mask;
  while (part[slot] !== 0) slot = (slot + 1) & mask;
  part[slot] = id + 1;
}
