/**
 * Damage to stores of the batpak 0.3 layout, on what the original itself wrote: one byte, one sector, one length, one file at a time. A reader
 * gets every event whose frame is whole; whatever else it says was appended, it must have been; and somebody is told, but where nothing is amiss.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isStoreError } from "../../src/base/store-error.ts";
import { SEGMENT_HEADER } from "../../src/format/batpak03/layout.ts";
import { Store } from "../../src/store.ts";
import { loadFixture } from "../support/batpak03-fixtures.ts";
import { DIRECTORY, diskWith, type Files, fixtureFiles } from "../support/small-stores.ts";

const long = process.env.BATPAK_TEST_LONG === "1";
let total = 0;
/** Damage that nobody told of and that changed no answer. */
const silent: string[] = [];

/** Why that is no fault: the layout has no check there, and nothing depends on it. */
const HARMLESS = [
  /^index\.ckpt deleted$/, // A checkpoint that is gone is one that was never written.
  /, header\) flipped$/, // When a segment was made, and its flags, all of them reserved: the header has no checksum.
];

function headerEnd(bytes: Uint8Array): number {
  return SEGMENT_HEADER.mapAt + new DataView(bytes.buffer, bytes.byteOffset).getUint32(SEGMENT_HEADER.lengthAt);
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

interface Truth {
  readonly whole: ReadonlyMap<string, string>;
  /** With batches, a frame or marker that is gone takes the rest of its batch along: that is the layout's rule. */
  readonly batches: boolean;
}

async function look(files: Files, about: string, { whole, batches }: Truth, lost: ReadonlySet<string>): Promise<void> {
  total++;
  let store: Store;
  try {
    store = await Store.open(DIRECTORY, { disk: diskWith(files), readOnly: true });
  } catch (error) {
    assert(isStoreError(error) && ["CORRUPT", "NOT_FOUND", "LAYOUT_MISMATCH"].includes(error.code), `${about}: ${String(error)}`);
    if (!batches) assert.equal(lost.size, whole.size, `${about}: ${error.message}, though events are whole`);
    return;
  }
  let read: Map<string, string>;
  let reported: boolean;
  const isDeletion = about.endsWith("deleted");
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
  if (!reported && read.size === whole.size) silent.push(about);
  // A newest segment that is gone looks like what the original's compaction leaves: opening tells of it among its reasons, as that layout wants it.
  else if (!reported) assert.ok(isDeletion && reasons.length > 0, `${about}: nobody was told`);
}

for (const name of ["rotate", "batch_rotate"]) {
  test(`${name}: every kind of damage`, async () => {
    const files = fixtureFiles(name);
    const sound = await Store.open(DIRECTORY, { disk: diskWith(files), readOnly: true });
    const whole = await readById(sound, []);
    await sound.close();
    const truth = { whole, batches: name.startsWith("batch") };
    const spans: Span[] = loadFixture(name).rows.map((row) => ({
      file: `${String(row.segment_id).padStart(6, "0")}.fbat`,
      from: row.offset,
      to: row.offset + row.length,
      id: row.event_id.replaceAll("-", ""),
    }));
    assert(spans.length > 0 && whole.size > 0);
    const lostIn = (file: string, from: number, to: number): Set<string> =>
      new Set(spans.filter((span) => span.file === file && span.from < to && from < span.to).map((span) => span.id));
    silent.length = 0;
    for (const [file, bytes] of files) {
      // Every byte of the smaller one, which has all that the larger one has.
      const step = long ? (name === "rotate" ? 7 : 1) : 797;
      for (let at = 0; at < bytes.length; at += step) {
        const flipped = bytes.slice();
        flipped[at] ^= 0x40;
        const part = file.endsWith(".fbat") && at < headerEnd(bytes) ? "header" : "frames or footer";
        await look(new Map([...files, [file, flipped]]), `byte ${at} (${file}, ${part}) flipped`, truth, lostIn(file, at, at + 1));
        await look(new Map([...files, [file, bytes.slice(0, at)]]), `${file} cut at ${at}`, truth, lostIn(file, at, bytes.length));
      }
      for (let at = 0; at < bytes.length; at += long ? 512 : 4096) {
        const zeroed = bytes.slice().fill(0, at, at + 512);
        await look(new Map([...files, [file, zeroed]]), `sector at ${at} of ${file} zeroed`, truth, lostIn(file, at, at + 512));
      }
      const without = new Map(files);
      without.delete(file);
      await look(without, `${file} deleted`, truth, lostIn(file, 0, bytes.length));
    }
    assert.deepEqual(
      silent.filter((about) => !HARMLESS.some((pattern) => pattern.test(about))),
      [],
      "nobody was told, and nobody says why that is no fault",
    );
  });
}

test("how many", () => {
  console.log(`damage of batpak 0.3: ${total} damaged stores tried`);
  assert(total > 100);
});
