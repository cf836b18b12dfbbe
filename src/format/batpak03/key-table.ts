/**
 * The keys of one map, as both directions use them: encoded once for writing, and as 32-bit words to compare by when reading.
 * A reader expects them in the table's order, takes any other order, and is told of keys that the table does not have.
 */
import type { ByteSink } from "../../base/byte-sink.ts";
import { GrowingSink } from "../../base/byte-sink.ts";
import type { MsgpackReader } from "../../base/msgpack.ts";
import { fail, readMapHeader, readStringSpan, skipValue, viewOf, writeFixMapHeader, writeString } from "../../base/msgpack.ts";

export interface KeyTable {
  readonly names: readonly string[];
  /** Per key: tag and text. */
  readonly encoded: readonly Uint8Array[];
  /** Per key: its bytes as big-endian words, the last one overlapping its predecessor so that it ends with the key. */
  readonly words: readonly Int32Array[];
  /** All keys together, and 5 bytes for the map's header. */
  readonly bytesMax: number;
}

/** A table of keys, each at least 3 letters long (one word with its tag). */
export function keyTable(names: readonly string[]): KeyTable {
  const encoded = names.map((name) => {
    const sink = new GrowingSink(64);
    writeString(sink, name);
    return sink.copy();
  });
  const words = encoded.map((bytes) => {
    const view = viewOf(bytes);
    const list = new Int32Array(Math.ceil(bytes.length / 4));
    for (let index = 0; index < list.length; index++) list[index] = view.getInt32(Math.min(index * 4, bytes.length - 4));
    return list;
  });
  return { names, encoded, words, bytesMax: encoded.reduce((sum, bytes) => sum + bytes.length, 5) };
}

/** Writes a key; the room must be there. */
export function writeKey(sink: ByteSink, table: KeyTable, index: number): void {
  const key = table.encoded[index];
  const { bytes, position: at } = sink;
  // Byte by byte: a call of `set` costs more than the few bytes of a key.
  for (let byte = 0; byte < key.length; byte++) bytes[at + byte] = key[byte];
  sink.position = at + key.length;
}

/** Writes the header of a map that has all keys of the table. */
export function writeMapOf(sink: ByteSink, table: KeyTable): void {
  writeFixMapHeader(sink, table.names.length);
}

/** Moves over key `index` when it is next. */
export function readExpectedKey(reader: MsgpackReader, table: KeyTable, index: number): boolean {
  const words = table.words[index];
  const length = table.encoded[index].length;
  const at = reader.position;
  if (length > reader.limit - at) return false;
  const { view } = reader;
  const last = words.length - 1;
  for (let word = 0; word < last; word++) if (view.getInt32(at + word * 4) !== words[word]) return false;
  if (view.getInt32(at + length - 4) !== words[last]) return false;
  reader.position = at + length;
  return true;
}

/** Where a reader stands in a map. */
export interface MapCursor {
  readonly table: KeyTable;
  pairsLeft: number;
  /** One bit per key of the table. */
  seen: number;
  /** The key that comes next in the table's order. */
  expected: number;
}

/**
 * Begins a map. Then `nextField` gives the keys one by one, and the caller reads the value of each:
 *
 *   const map = readMap(reader, TABLE);
 *   for (let field = nextField(reader, map); field >= 0; field = nextField(reader, map)) switch (field) { … }
 */
export function readMap(reader: MsgpackReader, table: KeyTable): MapCursor {
  return { table, pairsLeft: readMapHeader(reader), seen: 0, expected: 0 };
}

/**
 * The index of the next key in the table; -1 at the end of the map and after a fault. Unknown keys are skipped with their values. A key
 * that comes twice, or is missing at the end, is a fault.
 */
export function nextField(reader: MsgpackReader, map: MapCursor): number {
  const { table } = map;
  while (reader.fault === null && map.pairsLeft > 0) {
    map.pairsLeft--;
    const index = readKey(reader, table, map.expected);
    if (index < 0) {
      reader.unknownKeys++;
      skipValue(reader);
      continue;
    }
    const bit = 1 << index;
    if ((map.seen & bit) !== 0) fail(reader, `the key ${table.names[index]} comes twice`);
    map.seen |= bit;
    map.expected = index + 1;
    return reader.fault === null ? index : -1;
  }
  if (reader.fault === null && map.seen !== (1 << table.names.length) - 1) {
    const missing = table.names.filter((_, index) => (map.seen & (1 << index)) === 0);
    fail(reader, `a map lacks ${missing.join(", ")}`);
  }
  return -1;
}

/** Moves over the next key: its index in the table, or -1 for one that the table lacks (or after a fault). */
function readKey(reader: MsgpackReader, table: KeyTable, expected: number): number {
  if (expected < table.names.length && readExpectedKey(reader, table, expected)) return expected;
  const start = readStringSpan(reader);
  if (reader.fault !== null) return -1;
  return table.names.findIndex((name) => equalsAscii(reader.bytes, start, reader.position, name));
}

function equalsAscii(bytes: Uint8Array, start: number, end: number, name: string): boolean {
  if (end - start !== name.length) return false;
  for (let index = 0; index < name.length; index++) if (bytes[start + index] !== name.charCodeAt(index)) return false;
  return true;
}
