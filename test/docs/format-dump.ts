// What docs/format.md prints of the layout tables and of a small real store: made here, so that page and code cannot disagree. The clock
// and the randomness are fixed and the disk is in memory, so every byte is the same each time.

import { defineEvent, type } from "../../src/events/definition.ts";
import { CHECKPOINT } from "../../src/format/native/checkpoint.ts";
import { DURABLE_MARK } from "../../src/format/native/durable-mark.ts";
import { FRAME, FRAME_FLAG } from "../../src/format/native/frame-layout.ts";
import { frameLength, isMarked, payloadStart } from "../../src/format/native/frame.ts";
import { INDEX_ENTITY, INDEX_ROOT, INDEX_TRAILER } from "../../src/format/native/index-block-layout.ts";
import { SEGMENT_HEADER } from "../../src/format/native/segment-header.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { Store } from "../../src/store.ts";

/** The files of the store that the page shows, by name. */
export async function exampleFiles(): Promise<Map<string, Uint8Array>> {
  const disk = createMemoryDisk();
  let micros = 1_700_000_000_000_000;
  const clock = {
    nowMicros: (): number => {
      micros += 1000;
      return micros;
    },
    monotonicMs: (): number => 0,
  };
  let next = 0;
  const random = (target: Uint8Array): void => {
    for (let i = 0; i < target.length; i++) target[i] = next = (next * 5 + 17) & 0xff;
  };
  const OrderPlaced = defineEvent("OrderPlaced", { schema: type<{ total: number }>() });
  const store = await Store.open("/store", { disk, clock, random, segmentBytesMax: 65_536, events: [OrderPlaced] });
  const order = { entity: "order:1", scope: "shop:eu" };
  const first = await store.append(order, OrderPlaced({ total: 5 }));
  await store.append({ entity: "bill:1", scope: "shop:eu" }, OrderPlaced({ total: 6 }), {
    causedBy: first.id,
    idempotencyKey: "bill-1",
    metadata: { by: "ada" },
  });
  // Does not fit into the first segment, which is sealed.
  await store.append(order, { kind: 0x1000, data: new Uint8Array(65_300) });
  await store.close();
  const files = new Map<string, Uint8Array>();
  for (const name of (await disk.list("/store")).sort()) {
    const file = await disk.open(`/store/${name}`, "read");
    const bytes = new Uint8Array(await file.size());
    await file.read(bytes, 0, bytes.length, 0);
    await file.close();
    files.set(name, bytes);
  }
  return files;
}

type Offsets = Readonly<Record<string, number>>;

const withoutPlace = new Set(["bytes", "bytesMin", "hashBytes", "variable", "body", "description"]);

/** The fields of a structure with their places, by offset. A field ends where the next begins. */
function fieldsOf(offsets: Offsets, end: number): { name: string; start: number; end: number }[] {
  const places = Object.entries(offsets)
    .filter(([name]) => !withoutPlace.has(name))
    .sort(([, one], [, other]) => one - other);
  return places.map(([name, start], i) => ({ name, start, end: places[i + 1]?.[1] ?? end }));
}

function table(offsets: Offsets, end: number, meanings: Readonly<Record<string, string>>): string {
  const fields = fieldsOf(offsets, end);
  for (const name of Object.keys(meanings)) if (offsets[name] === undefined) throw new Error(`The layout has no field ${name}`);
  const rows = fields.map(({ name, start, end: fieldEnd }) => {
    const meaning = meanings[name];
    if (meaning === undefined) throw new Error(`The field ${name} has no description`);
    return `| ${start} | ${fieldEnd - start} | ${name} | ${meaning} |`;
  });
  return ["| offset | bytes | field | meaning |", "| ---: | ---: | --- | --- |", ...rows].join("\n");
}

const headerMeanings = {
  magic: "`BATPAKSG`",
  version: "u16, 1",
  headerBytes: "u16, 128",
  flags: "u32, reserved, 0",
  storeId: "random, the same in all files of the store",
  segmentId: "u64, from 1",
  firstSequence: "u64, of the next event when the segment was made",
  generation: "u64, how many compactions and repairs the store had seen",
  replacesFrom: "u64, first segment that this one replaces; 0 when none",
  replacesTo: "u64, the last one",
  createdMicros: "u64, microseconds since the Unix epoch",
  retention: "u64, where the summary of what compaction removed stands; 0 when nothing was",
  reserved: "0",
  crc: "u32, CRC-32 of what precedes it",
};
const frameMeanings = {
  crc: "u32, CRC-32 of the rest of the frame; its initial value is the segment's seed XOR the frame's offset",
  length: "u32: bits 0 to 29 length of the whole frame, bit 30 zero, bit 31 the commit mark",
  syncBack: "u32, distance from the frame back to the position up to which its segment was synced",
  flags: "u8, see below. The body, which is hashed, begins here",
  encoding: "u8, 0: MessagePack",
  kind: "u16, category in the top 4 bits",
  version: "u16, of the event's definition",
  entityLength: "u16, bytes; 0 in a seal",
  scopeLength: "u16, bytes; 0 in a seal",
  clock: "u64, number within the entity; in a seal the number of frames before it",
  sequence: "u64, number within the store; in a seal and in a system record the next event's",
  time: "u64, microseconds since the Unix epoch",
  id: "most significant byte first",
  previousHash: "hash of the entity's event before this one; zeros for its first",
};
const markMeanings = {
  magic: "`BATPAKDM`",
  storeId: "of the segments' headers",
  generation: "u64",
  visibleSegment: "u64, segment of the last visible commit",
  visibleOffset: "u64, where that commit ends",
  visibleSequence: "u64, the next event's",
  syncedSegment: "u64, segment up to which everything is synced",
  syncedOffset: "u64, and the offset in it",
  crc: "u32, CRC-32 of what precedes it",
};
const checkpointMeanings = {
  magic: "`FBATCK`",
  version: "u16, 256",
  crc: "u32, CRC-32 of everything after it",
  descriptionTag: "0xce, MessagePack's tag of a u32",
  descriptionLength: "u32, big-endian, bytes of the description that follows",
};
const trailerMeanings = {
  magic: "`FBATIDX1`",
  version: "u32, 1",
  rootBytes: "u32",
  rootChecksum: "u32, CRC-32 of the root",
  reserved: "u32, 0",
  blockBytes: "u64, pages, root and trailer together",
  segmentId: "u64",
  generation: "u64",
  storeId: "of the segment's header",
  checksum: "u32, CRC-32 of what precedes it",
};
const rootMeanings = {
  storeId: "of the segment's header",
  segmentId: "u64",
  generation: "u64",
  rowCount: "u32, events",
  entityCount: "u32",
  scopeCount: "u32",
  flags:
    "u32: 1 sequences are dense, 2 times ascend, 4 clocks ascend within each entity, 8 clocks are f64, 16 scopes are u32, 32 rows are listed",
  entityNameBytes: "u32, of the section `entityNames`",
  scopeNameBytes: "u32",
  filterBytes: "u32",
  systemBytes: "u32",
  firstSequence: "u64",
  nextSequence: "u64",
  timeMin: "u64, microseconds",
  timeMax: "u64",
  lastIssuedId: "the last id that the writer issued; zeros when it never did",
  foreignIds: "u32, rows whose id the writer did not issue",
  systemRecords: "u32",
  kindCount: "u32",
  linkCount: "u32, pairs in `linkTags`; 0 where rows are not listed",
};
const entityMeanings = {
  firstPosition: "u32, where its rows begin in `entityRows`",
  rows: "u32",
  firstClock: "f64, -1 when it has no row",
  lastClock: "f64, of the last event that there ever was in the segment",
  lastSequence: "f64, -1 when it has no row",
  previousSequence: "f64, of its last event before the segment; -1 when none",
  lastHash: "hash of the last event",
  lastId: "its id",
};

/** Lines of a dump: 16 bytes each, long runs shortened. */
function hexLines(bytes: Uint8Array, start: number, end: number): string[] {
  const lines: string[] = [];
  const shortened = end - start > 128;
  for (let at = start; at < end; at += 16) {
    if (shortened && at === start + 32) lines.push(`          … ${end - start - 32} more bytes`);
    if (shortened && at >= start + 32) break;
    const row = [...bytes.subarray(at, Math.min(at + 16, end))];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`  ${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines;
}

function dumpFields(bytes: Uint8Array, base: number, offsets: Offsets, length: number): string[] {
  return fieldsOf(offsets, length).flatMap(({ name, start, end }) => [` ${name}`, ...hexLines(bytes, base + start, base + end)]);
}

/** The frames of a segment, field by field. Gives where they end. */
function dumpFrames(bytes: Uint8Array, lines: string[]): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at: number = SEGMENT_HEADER.bytes;
  for (let number = 0; at < bytes.length; number++) {
    const length = frameLength(view, at);
    if (length === 0) break;
    const flags = bytes[at + FRAME.flags] as number;
    const names = Object.entries(FRAME_FLAG)
      .filter(([, bit]) => (flags & bit) !== 0)
      .map(([name]) => name);
    lines.push(
      "",
      `frame ${number} at ${at}, ${length} bytes${isMarked(view, at) ? ", marked" : ""}${names.length > 0 ? `, flags ${names.join(" ")}` : ""}`,
    );
    lines.push(...dumpFields(bytes, at, FRAME, FRAME.variable));
    const payload = payloadStart(view, at);
    if (payload > at + FRAME.variable) lines.push(" names, and what the flags say", ...hexLines(bytes, at + FRAME.variable, payload));
    if (at + length - FRAME.hashBytes > payload) lines.push(" payload", ...hexLines(bytes, payload, at + length - FRAME.hashBytes));
    lines.push(" event hash", ...hexLines(bytes, at + length - FRAME.hashBytes, at + length));
    at += length;
    if ((flags & FRAME_FLAG.seal) !== 0) break;
  }
  return at;
}

function dumpSegment(bytes: Uint8Array): string {
  const lines = ["000001.fbat", "", "segment header", ...dumpFields(bytes, 0, SEGMENT_HEADER, SEGMENT_HEADER.bytes)];
  const blockStart = dumpFrames(bytes, lines);
  const trailer = bytes.length - INDEX_TRAILER.bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const root = trailer - view.getUint32(trailer + INDEX_TRAILER.rootBytes, true);
  lines.push("", `index block at ${blockStart}: pages`, ...hexLines(bytes, blockStart, root));
  lines.push("", `root at ${root}`, ...dumpFields(bytes, root, INDEX_ROOT, INDEX_ROOT.bytes));
  lines.push(" kinds, and the first keys of pages", ...hexLines(bytes, root + INDEX_ROOT.bytes, trailer));
  lines.push("", `trailer at ${trailer}`, ...dumpFields(bytes, trailer, INDEX_TRAILER, INDEX_TRAILER.bytes));
  return lines.join("\n");
}

function fenced(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``;
}

/** What stands between `<!-- NAME -->` and `<!-- end NAME -->` of docs/format.md, by name. */
export async function generatedParts(): Promise<Map<string, string>> {
  const files = await exampleFiles();
  const file = (name: string): Uint8Array => {
    const bytes = files.get(name);
    if (bytes === undefined) throw new Error(`The example has no file ${name}: it has ${[...files.keys()].join(", ")}`);
    return bytes;
  };
  const flags = Object.entries(FRAME_FLAG).map(([name, bit]) => `${bit} ${name}`);
  const checkpoint = file("index.ckpt");
  const head = dumpFields(checkpoint, 0, CHECKPOINT, CHECKPOINT.description);
  const rest = [" description and columns", ...hexLines(checkpoint, CHECKPOINT.description, checkpoint.length)];
  return new Map([
    ["segment header", table(SEGMENT_HEADER, SEGMENT_HEADER.bytes, headerMeanings)],
    ["frame", table(FRAME, FRAME.variable, frameMeanings)],
    ["flags", `Flags: ${flags.join(", ")}.`],
    ["durable mark", table(DURABLE_MARK, DURABLE_MARK.bytes, markMeanings)],
    ["checkpoint", table(CHECKPOINT, CHECKPOINT.description, checkpointMeanings)],
    ["index trailer", table(INDEX_TRAILER, INDEX_TRAILER.bytes, trailerMeanings)],
    ["index root", table(INDEX_ROOT, INDEX_ROOT.bytes, rootMeanings)],
    ["index entity", table(INDEX_ENTITY, INDEX_ENTITY.bytes, entityMeanings)],
    ["dump", fenced(dumpSegment(file("000001.fbat")))],
    ["dump of the mark", fenced(["durable.mark", "", ...dumpFields(file("durable.mark"), 0, DURABLE_MARK, DURABLE_MARK.bytes)].join("\n"))],
    ["dump of the checkpoint", fenced(["index.ckpt", "", ...head, ...rest].join("\n"))],
  ]);
}

/** The page with its generated parts made anew. Throws where it lacks one. */
export async function withGeneratedParts(page: string): Promise<string> {
  let result = page;
  for (const [name, text] of await generatedParts()) {
    const [begin, end] = [`<!-- ${name} -->\n`, `\n<!-- end ${name} -->`];
    const start = result.indexOf(begin);
    const stop = result.indexOf(end);
    if (start < 0 || stop < start) throw new Error(`The page has no place for "${name}"`);
    result = `${result.slice(0, start + begin.length)}${text}${result.slice(stop)}`;
  }
  return result;
}
