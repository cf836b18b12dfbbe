/**
 * One damaged store at a time: a small native one with one thing wrong. Held for each: no writer goes on over a loss that it noticed, a reader
 * gets every event whose frame is whole, `verify` and the report name the place, or the damage is harmless, and then it lies in one of the
 * fields listed here with the reason. Repair copies first and brings back every event whose frame is whole.
 */
import assert from "node:assert/strict";
import { isStoreError } from "../../src/base/store-error.ts";
import { repairStore } from "../../src/repair.ts";
import { Store } from "../../src/store.ts";
import { DIRECTORY, diskWith, type Files, makeNativeFiles, Noted } from "../support/small-stores.ts";
import { type Damage, framesOf, readEvents, type Way } from "./damage-ways.ts";

export const files = await makeNativeFiles(60);
export const whole = await readEvents(await Store.open(DIRECTORY, { disk: diskWith(files), readOnly: true }), new Map());
export const spans = framesOf(files);

/** Damage to these changes nothing that anybody asks; anywhere else it is found. (A checkpoint that is gone is one that was never written.) */
export const HARMLESS: Readonly<Record<string, string>> = {
  "index block, all of it": "a sealed segment without any block is one whose block was not written yet: the store reads the frames",
  "index block, the end of it": "a writer that was killed while it wrote the block leaves it like that, and the next one writes it anew",
  "durable.mark": "a mark that does not check counts for nothing: the next writer makes it anew",
};

export interface Tried {
  stores: number;
  refused: number;
  harmless: Map<string, number>;
}

/** Looks at one damaged directory; `untouched` are the events that must come back as they were. */
export async function look(damage: Damage, tried: Tried): Promise<void> {
  tried.stores++;
  const lost = new Set(spans.filter((span) => damage.touches(span)).map((span) => span.sequence));
  const damaged = new Map(files);
  damage.apply(damaged);
  const about = damage.about;
  // To read.
  let store: Store;
  try {
    store = await Store.open(DIRECTORY, { disk: diskWith(damaged), readOnly: true });
  } catch (error) {
    assert(isStoreError(error, "NOT_FOUND") || isStoreError(error, "CORRUPT"), `${about}: ${String(error)}`);
    assert.equal(whole.size, lost.size, `${about}: ${String(error)}, though events are whole`);
    tried.refused++;
    return;
  }
  const { problems } = store.openReport;
  const read = await readEvents(store, whole);
  const verified = await store.verify();
  await store.close();
  for (const [sequence, event] of whole) if (!lost.has(sequence)) assert.equal(read.get(sequence), event, `${about}: event ${sequence}`);
  for (const [sequence, event] of read) assert.equal(event, whole.get(sequence), `${about}: event ${sequence} was never appended`);
  if (verified.ok && problems.length === 0 && read.size === whole.size) {
    tried.harmless.set(damage.field, (tried.harmless.get(damage.field) ?? 0) + 1);
  } else if (damage.segmentId !== null && damage.kind === "flip") {
    const [from, to] = damage.place;
    const named = [...problems, ...verified.problems].some(
      ({ segmentId, offset }) => segmentId === damage.segmentId && (offset === undefined || (offset <= to && offset >= from)),
    );
    assert(named, `${about}: ${JSON.stringify([...problems, ...verified.problems].slice(0, 4))} names no place in ${from} to ${to}`);
  }
  await lookAsWriter(damaged, about, whole, lost);
}

/** A writer refuses, or is right: it has every event, and goes on behind the last; what it cuts was in the last group. */
async function lookAsWriter(damaged: Files, about: string, whole: ReadonlyMap<number, string>, lost: ReadonlySet<number>): Promise<void> {
  let writer: Store;
  try {
    writer = await Store.open(DIRECTORY, { disk: diskWith(damaged) });
  } catch (error) {
    assert(isStoreError(error, "CORRUPT"), `${about}: ${String(error)}`);
    return;
  }
  const written = await readEvents(writer, whole);
  await writer.close();
  for (const [sequence, event] of whole)
    if (!lost.has(sequence)) assert.equal(written.get(sequence), event, `${about}: event ${sequence}, written`);
}

/** Repairs one; true where there was something to repair. */
export async function repairs(damage: Damage): Promise<boolean> {
  const lost = new Set(spans.filter((span) => damage.touches(span)).map((span) => span.sequence));
  const damaged = new Map(files);
  damage.apply(damaged);
  const disk = diskWith(damaged);
  const report = await repairStore(DIRECTORY, { disk, apply: true });
  if (report.copies !== null) {
    for (const { file, kind } of report.actions) {
      if (kind === "replace-missing-segment" || kind === "add-segment") continue;
      assert.deepEqual(disk.bytesOf(`${DIRECTORY}/${report.copies}/${file}`), damaged.get(file), `${damage.about}: the copy of ${file}`);
    }
  }
  const store = await Store.open(DIRECTORY, { disk });
  const read = await readEvents(store, new Map());
  for (const [sequence, event] of whole)
    if (!lost.has(sequence)) assert.equal(read.get(sequence), event, `${damage.about}: event ${sequence}`);
  for (const [sequence, event] of read) assert.equal(event, whole.get(sequence), `${damage.about}: event ${sequence} was never appended`);
  // Every way in leads through what is left.
  for (let e = 0; e < 5; e++) {
    const own = await store.read({ entity: `e${e}` }, { direction: "backward" }).toArray();
    assert.equal(
      own.length,
      [...read.values()].filter((event) => event.includes(`"entity":"e${e}"`)).length,
      `${damage.about}: stream of e${e}`,
    );
  }
  await store.append({ entity: "e1", scope: "s" }, Noted({ n: -1, text: "goes on" }));
  await store.close();
  const again = await repairStore(DIRECTORY, { disk });
  assert.deepEqual(again.actions, [], `${damage.about}: after the repair`);
  return report.applied;
}

export const noneTried = (): Tried => ({ stores: 0, refused: 0, harmless: new Map() });

/** Harmless damage in a field that has no reason to be. */
export function unexplained(way: Way, tried: Tried): string[] {
  return [...tried.harmless.keys()].filter((field) => !(field in HARMLESS) && !(way === "delete" && field === "index.ckpt"));
}
