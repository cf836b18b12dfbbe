/**
 * Builds states of a store's files exactly: a store on a simulated disk, its frames listed, its bytes changed. Each state is a machine of its
 * own on which everything is durable and no process lives, as after a crash.
 */
import assert from "node:assert/strict";
import { defineEvent, type } from "../../../src/events/definition.ts";
import { DURABLE_MARK, DURABLE_MARK_FILE } from "../../../src/format/native/durable-mark.ts";
import { checkFrame, frameLength, isMarked, segmentSeed, syncedBefore } from "../../../src/format/native/frame.ts";
import { SEGMENT_HEADER } from "../../../src/format/native/segment-header.ts";
import { isSeal } from "../../../src/format/native/seal.ts";
import { Store } from "../../../src/store.ts";
import type { StoreOptions } from "../../../src/store-options.ts";
import { SimulatedDisk } from "../../../src/testing/sim-disk.ts";

export const DIRECTORY = "/store";
export const MARK_PATH = `${DIRECTORY}/${DURABLE_MARK_FILE}`;
export const CHECKPOINT_PATH = `${DIRECTORY}/index.ckpt`;
export const Counted = defineEvent("Counted", { schema: type<{ n: number; pad?: string }>(), kind: { category: 1, type: 7 } });
export const known = { events: [Counted] as const };

export type CountedStore = Store<typeof known.events>;

export function segmentPath(id: number): string {
  return `${DIRECTORY}/${String(id).padStart(6, "0")}.fbat`;
}

export function openStore(disk: SimulatedDisk, options: StoreOptions = {}): Promise<CountedStore> {
  return Store.open(DIRECTORY, { ...options, ...known, disk });
}

/** The disk after `work` was done by a store on it and everything was killed; what was written is there. */
export async function diskAfter(options: StoreOptions, work: (store: CountedStore) => Promise<unknown>): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, { checkpoint: false, ...options });
  await work(store);
  const left = disk.diskAfterKill();
  return settled(left);
}

/** The same disk with everything on it durable. */
export function settled(disk: SimulatedDisk): SimulatedDisk {
  const path = disk.paths()[0];
  assert(path !== undefined, "there is a file");
  disk.put(path, disk.bytesOf(path));
  return disk;
}

/** A copy with some files changed; null removes one. */
export function changed(disk: SimulatedDisk, changes: Readonly<Record<string, Uint8Array | null>>): SimulatedDisk {
  const copy = settled(disk.diskAfterKill());
  for (const [path, bytes] of Object.entries(changes)) copy.put(path, bytes);
  return copy;
}

export interface ListedFrame {
  readonly offset: number;
  readonly end: number;
  readonly marked: boolean;
  readonly seal: boolean;
  readonly syncedBefore: number;
}

export function framesOf(disk: SimulatedDisk, segmentId: number): ListedFrame[] {
  const bytes = disk.bytesOf(segmentPath(segmentId)).slice();
  const view = new DataView(bytes.buffer);
  const seed = segmentSeed(bytes.slice(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), segmentId);
  const frames: ListedFrame[] = [];
  for (let offset: number = SEGMENT_HEADER.bytes; offset < bytes.length; ) {
    if (checkFrame(bytes, view, offset, bytes.length, seed, offset) !== "ok") break;
    const end = offset + frameLength(view, offset);
    const seal = isSeal(view, offset);
    frames.push({ offset, end, marked: isMarked(view, offset), seal, syncedBefore: syncedBefore(view, offset, offset) });
    if (seal) break;
    offset = end;
  }
  return frames;
}

/** The bytes with `[from, to)` zeroed. */
export function holed(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy.fill(0, from, to);
  return copy;
}

/** The bytes up to `end`, and then others. */
export function endingIn(bytes: Uint8Array, end: number, more: Uint8Array = new Uint8Array()): Uint8Array {
  const made = new Uint8Array(end + more.length);
  made.set(bytes.subarray(0, end));
  made.set(more, end);
  return made;
}

/** The mark without any proof of syncing: as a writer leaves it that has synced nothing of this segment. */
export const NO_MARK: Readonly<Record<string, null>> = { [MARK_PATH]: null };
export const MARK_BYTES: number = DURABLE_MARK.bytes;

export async function numbersIn(store: CountedStore): Promise<number[]> {
  const events = await store.read({ kind: Counted }).toArray();
  return events.map((event) => event.data.n);
}

/** The names of all files, without the directory. */
export function namesOn(disk: SimulatedDisk): string[] {
  return disk.paths().map((path) => path.slice(DIRECTORY.length + 1));
}
