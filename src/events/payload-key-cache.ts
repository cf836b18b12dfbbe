/**
 * Member names as the bytes that they are written with. Objects of one shape come in a row, and their names in one order: each entry
 * remembers which name came after it the last time, so that mostly a comparison of two pointers finds the next.
 *
 * Bounded: names of at most 31 ASCII characters, and all are forgotten when there are too many. Making an entry costs as much as writing a
 * dozen names, so only each eighth name that is not there gets one: what comes again and again soon has its entry, and names that come
 * once, as in a map from ids, mostly cost none. Where there are too many all the same, names come once here, and fewer get one from then on.
 */
import { utf8Length } from "./utf8.ts";

/** How a short ASCII name is written: header and characters, in words of four bytes, the last one padded with zeros. */
export interface KeyEntry {
  readonly key: string;
  readonly words: Uint32Array;
  /** Header and characters, without the padding. */
  readonly byteLength: number;
  /** The entry that followed the last time. */
  next: KeyEntry | null;
}

const UNITS_MAX = 31;
const ENTRIES_MAX = 2048;
const MISSES_PER_ENTRY_MIN = 8;
const MISSES_PER_ENTRY_MAX = 1024;

const entries = new Map<string, KeyEntry>();

let misses = 0;
let missesPerEntry = MISSES_PER_ENTRY_MIN;

/** Where every object begins. */
export const FIRST_KEY: KeyEntry = { key: "", words: new Uint32Array(0), byteLength: 0, next: null };

/** The most bytes that writing the words of an entry touches. */
export const KEY_ENTRY_BYTES_MAX = UNITS_MAX + 1;

/** The entry of `key`, noted as the one after `previous`; null where it has none: it is long, not ASCII, or has not come often yet. */
export function findKeyEntry(key: string, previous: KeyEntry): KeyEntry | null {
  const entry = entries.get(key) ?? (++misses >= missesPerEntry ? makeKeyEntry(key) : null);
  if (entry !== null) previous.next = entry;
  return entry;
}

function makeKeyEntry(key: string): KeyEntry | null {
  if (key.length > UNITS_MAX || utf8Length(key) !== key.length) return null;
  const bytes = new Uint8Array((key.length + 4) & ~3);
  bytes[0] = 0xa0 | key.length;
  for (let index = 0; index < key.length; index++) bytes[index + 1] = key.charCodeAt(index);
  const view = new DataView(bytes.buffer);
  const words = new Uint32Array(bytes.length / 4);
  for (let index = 0; index < words.length; index++) words[index] = view.getUint32(index * 4, true);
  if (entries.size === ENTRIES_MAX) {
    entries.clear();
    FIRST_KEY.next = null;
    missesPerEntry = Math.min(missesPerEntry * 2, MISSES_PER_ENTRY_MAX);
  }
  const entry: KeyEntry = { key, words, byteLength: key.length + 1, next: null };
  entries.set(key, entry);
  // Not before: a name that can have none must not take the turn of those that can, again and again.
  misses = 0;
  return entry;
}
