/**
 * Damage to stores of the batpak 0.3 layout, on what the original itself wrote: one byte, one sector, one length, one file at a time. A reader
 * gets every event whose frame is whole; whatever else it says was appended, it must have been; and somebody is told, but where nothing is amiss.
 */
import assert from "node:assert/strict";
import { isStoreError } from "../../src/base/store-error.ts";
import { decodeTrailer } from "../../src/format/batpak03/footer.ts";
import { FOOTER_ENTRY, FOOTER_TRAILER, SEGMENT_HEADER } from "../../src/format/batpak03/layout.ts";
import { Store } from "../../src/store.ts";
import { loadFixture } from "../support/batpak03-fixtures.ts";
import { DIRECTORY, diskWith, type Files, fixtureFiles } from "../support/small-stores.ts";

export const FIXTURES = ["rotate", "batch_rotate"] as const;
export type FixtureName = (typeof FIXTURES)[number];

/** How many damages of each sort: a flip and a cut at every so many bytes, sectors zeroed at every so many. */
export interface Steps {
  readonly bytes: number;
  readonly sectors: number;
}

/** Why that is no fault: the layout has no check there, and nothing depends on it. */
const HARMLESS = [
  // A checkpoint that is gone is one that was never written.
  /^index\.ckpt deleted$/,
  // When a segment was made, and its flags, all of them reserved: the header has no checksum.
  /, header\) flipped$/,
  // The checkpoint numbers the events, and has a CRC. Without it the order still stands; and where the original has compacted, or lost its
  // checkpoint, the two differ in a sound store too, so that verify cannot hold one against the other.
  /, sequence in the footer\) flipped$/,
];

function headerEnd(bytes: Uint8Array): number {
  return SEGMENT_HEADER.mapAt + new DataView(bytes.buffer, bytes.byteOffset).getUint32(SEGMENT_HEADER.lengthAt);
}

/** What stands at a byte of a segment, as far as the reasons tell such places apart. */
function partAt(bytes: Uint8Array, at: number): string {
  const framesOffset = headerEnd(bytes);
  if (at < framesOffset) return "header";
  const trailer = decodeTrailer(bytes.subarray(-FOOTER_TRAILER.bytes), bytes.length, framesOffset);
  if (trailer.kind !== "ok" || at < trailer.entriesOffset) return "frames or names";
  const place = (at - trailer.entriesOffset) % FOOTER_ENTRY.bytes;
  const isInEntry = at < bytes.length - FOOTER_TRAILER.bytes;
  const isSequence = isInEntry && place >= FOOTER_ENTRY.globalSequence && place < FOOTER_ENTRY.globalSequence + 8;
  return isSequence ? "sequence in the footer" : "footer";
}

interface Span {
  readonly file: string;
  readonly from: number;
  readonly to: number;
  readonly id: string;
}

/**
 * By id: the original numbers events anew where its checkpoint is gone. Where a read of all meets damage that opening did not look for, each of
 * `known` is got by itself.
 */
async function readById(store: Store, known: Iterable<string>): Promise<Map<string, string>> {
  const events = new Map<string, string>();
  const note = (event: { readonly id: string }): void =>
    void events.set(
      event.id.replaceAll("-", ""),
      JSON.stringify(event, (key, value: unknown) => (key === "sequence" ? null : value)),
    );
  try {
    for await (const event of store.read()) note(event);
    return events;
  } catch (error) {
    if (!isStoreError(error, "CORRUPT")) throw error;
  }
  for (const id of known) {
    try {
      const event = await store.get(id);
      if (event !== null) note(event);
    } catch (error) {
      if (!isStoreError(error, "CORRUPT")) throw error;
    }
  }
  return events;
}

/** A store of the original's, and what is true of it. */
export interface Original {
  readonly files: Files;
  readonly whole: ReadonlyMap<string, string>;
  /** With batches, a frame or marker that is gone takes the rest of its batch along: that is the layout's rule. */
  readonly batches: boolean;
  readonly spans: readonly Span[];
}

export async function originalOf(name: FixtureName): Promise<Original> {
  const files = fixtureFiles(name);
  const sound = await Store.open(DIRECTORY, { disk: diskWith(files), readOnly: true });
  const whole = await readById(sound, []);
  await sound.close();
  const spans: Span[] = loadFixture(name).rows.map((row) => ({
    file: `${String(row.segment_id).padStart(6, "0")}.fbat`,
    from: row.offset,
    to: row.offset + row.length,
    id: row.event_id.replaceAll("-", ""),
  }));
  assert(spans.length > 0, "the fixture has frames");
  assert(whole.size > 0, "the fixture has events");
  return { files, whole, batches: name.startsWith("batch"), spans };
}

/** One store with one thing wrong: a file with these bytes, or without them at all. */
export interface Damage {
  readonly about: string;
  readonly file: string;
  readonly bytes: Uint8Array | null;
  /** Which of the file's bytes are not what they were. */
  readonly from: number;
  readonly to: number;
}

export function* damagesOf({ files }: Original, steps: Steps): Generator<Damage> {
  for (const [file, bytes] of files) {
    for (let at = 0; at < bytes.length; at += steps.bytes) {
      const flipped = bytes.slice();
      flipped[at] ^= 0x40;
      const part = file.endsWith(".fbat") ? partAt(bytes, at) : "checkpoint";
      yield { about: `byte ${at} (${file}, ${part}) flipped`, file, bytes: flipped, from: at, to: at + 1 };
      yield { about: `${file} cut at ${at}`, file, bytes: bytes.slice(0, at), from: at, to: bytes.length };
    }
    for (let at = 0; at < bytes.length; at += steps.sectors) {
      const zeroed = bytes.slice().fill(0, at, at + 512);
      yield { about: `sector at ${at} of ${file} zeroed`, file, bytes: zeroed, from: at, to: at + 512 };
    }
    yield { about: `${file} deleted`, file, bytes: null, from: 0, to: bytes.length };
  }
}

/** Looks at the damaged store. False: nobody told of the damage, and it changed no answer. */
export async function look({ files, whole, batches, spans }: Original, damage: Damage): Promise<boolean> {
  const { about } = damage;
  const damaged = new Map(files);
  if (damage.bytes === null) damaged.delete(damage.file);
  else damaged.set(damage.file, damage.bytes);
  const lost = new Set(
    spans.filter((span) => span.file === damage.file && span.from < damage.to && damage.from < span.to).map(({ id }) => id),
  );
  let store: Store;
  try {
    store = await Store.open(DIRECTORY, { disk: diskWith(damaged), readOnly: true });
  } catch (error) {
    assert(isStoreError(error) && ["CORRUPT", "NOT_FOUND", "LAYOUT_MISMATCH"].includes(error.code), `${about}: ${String(error)}`);
    if (!batches) assert.equal(lost.size, whole.size, `${about}: ${error.message}, though events are whole`);
    return true;
  }
  let read: Map<string, string>;
  let reported: boolean;
  const { reasons } = store.openReport;
  try {
    read = await readById(store, whole.keys());
    const { problems, tornTails } = store.openReport;
    reported = problems.length + (tornTails?.length ?? 0) > 0 || !(await store.verify()).ok;
  } catch (error) {
    throw new Error(`${about}: reading failed`, { cause: error });
  } finally {
    await store.close();
  }
  for (const [id, event] of whole)
    if (!lost.has(id) && !(batches && !read.has(id))) assert.equal(read.get(id), event, `${about}: event ${id}`);
  for (const [id, event] of read) assert.equal(event, whole.get(id), `${about}: event ${id} was never appended`);
  if (!reported && read.size === whole.size) return false;
  // A newest segment that is gone looks like what the original's compaction leaves: opening tells of it among its reasons, as that layout wants it.
  if (!reported) assert.ok(damage.bytes === null && reasons.length > 0, `${about}: nobody was told`);
  return true;
}

/** Those of the damages that nobody told of for which there is no reason why that is no fault. */
export function unexplained(silent: readonly string[]): string[] {
  return silent.filter((about) => !HARMLESS.some((pattern) => pattern.test(about)));
}
