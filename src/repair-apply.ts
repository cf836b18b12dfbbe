/**
 * Does what a plan of a repair says, step by step (`repair.ts` has their order and why). A crash between any two leaves a directory that another repair
 * mends to the same end.
 */
import { join } from "node:path";
import type { Clock } from "./base/clock.ts";
import { CHECKPOINT_ASIDE } from "./checkpoint/pictured.ts";
import { replaceFile } from "./disk/replace-file.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import { DURABLE_MARK_FILE } from "./format/native/durable-mark.ts";
import type { SegmentHeader } from "./format/native/segment-header.ts";
import type { DamagedPlace } from "./log/damaged-place.ts";
import { inGeneration, rebuildSegment } from "./log/damaged-segment.ts";
import { withRecords } from "./log/records-salvage.ts";
import { segmentName } from "./log/segment-files.ts";
import { piecesOf } from "./repair-copies.ts";
import { type DamagedLog, NOTHING, salvage } from "./repair-look.ts";
import type { RepairPlan, Successor } from "./repair-plan.ts";

export async function applyRepair(log: DamagedLog, plan: RepairPlan, clock: Clock): Promise<void> {
  await new Applying(log, plan, clock).run();
}

class Applying {
  readonly #log: DamagedLog;
  readonly #plan: RepairPlan;
  readonly #clock: Clock;

  constructor(log: DamagedLog, plan: RepairPlan, clock: Clock) {
    this.#log = log;
    this.#plan = plan;
    this.#clock = clock;
  }

  async run(): Promise<void> {
    const { successor, outOfLog, actions } = this.#plan;
    // First of all: from then on it is damage, whoever looks at it, that the one before has no seal.
    if (successor !== null) await this.#addSuccessor(successor);
    await this.#remove(outOfLog.map(segmentName));
    // That the newest is damaged, only the checkpoint and the mark may say: it is done before they go.
    const newest = await this.#rebuildPlaces(true);
    // Before the others are done: once they are right, nothing would tell that it speaks of them as they were.
    await this.#putCheckpointAside();
    await this.#rebuildPlaces(false);
    await this.#leaveBlocksOut();
    // An older checkpoint and mark count for nothing: had this been cut off, the next repair would not have gone by them. And before the mark goes, which
    // mostly tells that there is something to repair: no other would give it.
    for (const [id, made] of newest) await this.#replace(id, inGeneration(made, this.#plan.generation + 1));
    await this.#remove(actions.some(({ file }) => file === DURABLE_MARK_FILE) ? [CHECKPOINT_ASIDE, DURABLE_MARK_FILE] : [CHECKPOINT_ASIDE]);
  }

  async #addSuccessor({ id, first, records }: Successor): Promise<void> {
    const header = { ...this.#headerOf(id, first), replacesFrom: 0, replacesTo: 0 };
    const { bytes, frames } = withRecords(NOTHING, records);
    await this.#replace(id, await rebuildSegment({ bytes, frames, header, record: null, nextSequence: null }));
  }

  /** What the newest segment is made of, by its id, where that is what is rebuilt. */
  async #rebuildPlaces(isNewest: boolean): Promise<ReadonlyMap<number, Uint8Array>> {
    const newest = new Map<number, Uint8Array>();
    for (const place of this.#plan.places.filter((one) => one.isNewest === isNewest)) {
      const made = await this.#rebuild(place);
      await this.#replace(place.id, made);
      if (isNewest) newest.set(place.id, made);
      this.#log.files.forget(place.id);
    }
    return newest;
  }

  async #rebuild(place: DamagedPlace): Promise<Uint8Array> {
    const { records, generation, successor } = this.#plan;
    const { id, first, next, nextBefore, isNewest, isSealed, replacesFrom, replacesTo } = place;
    const { bytes, frames, events, retention } = (await salvage(this.#log, place, records.get(id) ?? [])).segment;
    // A later one than before: who reads meanwhile knows by it that the file is another, in which nothing stands where it stood.
    const header = { ...this.#headerOf(id, first), generation: generation + (isNewest ? 0 : 1), replacesFrom, replacesTo };
    const record = retention?.record({ events, first, next: nextBefore, generation }) ?? null;
    return await rebuildSegment({ bytes, frames, header, record, nextSequence: isSealed || successor !== null ? next : null });
  }

  async #leaveBlocksOut(): Promise<void> {
    const { files, opened } = this.#log;
    for (const id of this.#plan.badBlocks) await this.#replace(id, piecesOf(files.disk, files.path(id), opened.get(id)?.framesEnd));
  }

  /** Nobody opens by it from then on, and its records are known until they are in the segments, should this be cut off. */
  async #putCheckpointAside(): Promise<void> {
    const { disk, directory } = this.#log.files;
    if (this.#log.pictured === null) return await this.#remove([CHECKPOINT_FILE]);
    if ((await disk.status(this.#pathOf(CHECKPOINT_FILE))) === null) return;
    await disk.rename(this.#pathOf(CHECKPOINT_FILE), this.#pathOf(CHECKPOINT_ASIDE));
    await disk.syncDirectory(directory);
  }

  async #replace(id: number, contents: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    const { disk, directory } = this.#log.files;
    await replaceFile(disk, directory, segmentName(id), contents);
  }

  async #remove(names: readonly string[]): Promise<void> {
    const { disk, directory } = this.#log.files;
    for (const path of names.map((name) => this.#pathOf(name))) if ((await disk.status(path)) !== null) await disk.remove(path);
    if (names.length > 0) await disk.syncDirectory(directory);
  }

  #pathOf(file: string): string {
    return join(this.#log.files.directory, file);
  }

  #headerOf(segmentId: number, firstSequence: number): Omit<SegmentHeader, "replacesFrom" | "replacesTo"> {
    const { storeId } = this.#log;
    return { storeId, segmentId, firstSequence, generation: this.#plan.generation, createdMicros: this.#clock.nowMicros() };
  }
}
