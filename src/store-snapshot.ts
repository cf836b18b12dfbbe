/**
 * `store.snapshot`: a copy of the store as it is visible at one moment, made beside appending.
 *
 * Invariants:
 * 1. The checkpoint is taken before the position up to which is copied, so that it never speaks of more than the copy has; and is left out where the
 *    store was compacted between the two.
 * 2. Only what is never written again is linked: checkpoints, what a conversion noted, and segments that another one follows and whose index block is written.
 *    Whoever writes a block where one was writes the file anew (`log/block-files.ts`), and repair does too. What is linked is synced: by whoever wrote it,
 *    or, where that may have been the original, here.
 * 3. A segment gets its name when all of it is durable, and the oldest one when everything else is. Until then the directory holds no store, or
 *    one that is told to be damaged: never a smaller one. (The 0.3 layout cannot tell: there a copy counts only once the call has resolved.)
 *
 * Commit point: the rename of the oldest segment.
 */
import { join, resolve } from "node:path";
import { assertPath } from "./base/arguments.ts";
import { invalidArgument, StoreError } from "./base/store-error.ts";
import { getUint64 } from "./base/u64.ts";
import { copyFile } from "./disk/copy-file.ts";
import type { Disk } from "./disk/disk.ts";
import { replaceFile } from "./disk/replace-file.ts";
import { syncFile } from "./disk/sync-file.ts";
import { errorCode, type SystemError } from "./disk/system-error.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import { DURABLE_MARK, DURABLE_MARK_FILE, encodeDurableMark } from "./format/native/durable-mark.ts";
import { SEGMENT_HEADER } from "./format/native/segment-header.ts";
import { remedyOf } from "./log/recovery.ts";
import { lookAtSegment } from "./log/batpak03-segment.ts";
import { segmentName } from "./log/segment-files.ts";
import { asStoreError, CONVERSION_FILE, leadsInto, liesIn } from "./open-directory.ts";
import type { StoreAccess } from "./store-access.ts";

/** What a snapshot has copied. */
export interface SnapshotResult {
  /** The copy's directory, as an absolute path. */
  readonly directory: string;
  /** The copy has the events before this sequence. */
  readonly nextSequence: number;
  readonly events: number;
  readonly segments: number;
  /** Of the segments, how many share their bytes on disk with the store. */
  readonly linkedSegments: number;
  /** Bytes that were copied. */
  readonly copiedBytes: number;
}

/** A segment of the copy. */
interface CopiedSegment {
  readonly id: number;
  readonly generation: number;
  /** Null: the whole file, which is not written any more. */
  readonly bytes: number | null;
}

/** Copies the store into a directory that is empty or not there. */
export async function snapshotStore(access: StoreAccess, target: string): Promise<SnapshotResult> {
  assertPath(target, "take a snapshot");
  const directory = access.isDiskGiven ? target : resolve(target);
  if (await leadsInto(access.disk, access.directory, directory)) {
    throw invalidArgument(`Cannot take a snapshot: ${directory} is in the store's own directory, one outside of it is allowed`);
  }
  try {
    return await new SnapshotTaking(access, directory).run();
  } catch (error) {
    const { path } = error as SystemError;
    const isSource = path !== undefined && liesIn(access.directory, path);
    throw asStoreError("snapshot", isSource ? access.directory : directory, error);
  }
}

class SnapshotTaking {
  readonly #access: StoreAccess;
  readonly #disk: Disk;
  readonly #target: string;
  #linked = 0;
  #copiedBytes = 0;

  constructor(access: StoreAccess, target: string) {
    this.#access = access;
    this.#disk = access.disk;
    this.#target = target;
  }

  async run(): Promise<SnapshotResult> {
    await this.#makeTarget();
    await this.#access.refresh();
    const { generation: generationBefore } = this.#access.parts.log;
    await this.#takeIfThere(CHECKPOINT_FILE);
    await this.#takeIfThere(CONVERSION_FILE);
    // A reader's view may be older than the checkpoint.
    await this.#access.refresh();
    // Another process has compacted the store: what was taken pictures it as it was.
    if (this.#access.parts.log.generation !== generationBefore) await this.#leaveOut(CHECKPOINT_FILE);
    const { log, layout } = this.#access.parts;
    const { index, storeId, generation } = log;
    if (log.problems.length > 0) {
      const reason = log.problems[0].message;
      throw new StoreError("CORRUPT", `Cannot take a snapshot: the store is not whole (${reason}); ${remedyOf(layout)}`, { reason });
    }
    const { segmentId, offset, sequence } = index.visible;
    const events = index.visibleEvents;
    const segments = index.segments.filter(({ id }) => id <= segmentId).map((segment) => this.#plan(segment, segmentId, offset));
    const first = segments[0];
    if (first === undefined || storeId === null) {
      throw new StoreError("NOT_FOUND", "Cannot take a snapshot: nothing of the store is visible yet", { what: "a visible segment" });
    }
    for (const { id, bytes } of segments) {
      await this.#take(segmentName(id), bytes, this.#temporary(id)).catch((error: unknown) => {
        throw errorCode(error) === "ENOENT" && this.#access.writer === null ? this.#compacted(id) : error;
      });
    }
    if (this.#access.parts.layout === "native") for (const { id, generation: own } of segments) this.#assertGeneration(id, own);
    await this.#disk.syncDirectory(this.#target);
    for (const { id } of segments.slice(1)) await this.#name(id);
    if (segments.length > 1) await this.#disk.syncDirectory(this.#target);
    // Commit point: with the oldest segment the copy is whole.
    await this.#name(first.id);
    await this.#disk.syncDirectory(this.#target);
    // Last: it says that nothing is left to be made durable, names among it.
    if (this.#access.parts.layout === "native") {
      const bytes = new Uint8Array(DURABLE_MARK.bytes);
      const [visibleSegment, visibleOffset, visibleSequence] = [segmentId, offset, sequence];
      const [syncedSegment, syncedOffset] = [segmentId, offset];
      const mark = { storeId, generation, visibleSegment, visibleOffset, visibleSequence, syncedSegment, syncedOffset };
      encodeDurableMark(mark, bytes, new DataView(bytes.buffer));
      await replaceFile(this.#disk, this.#target, DURABLE_MARK_FILE, bytes);
    }
    return {
      directory: this.#target,
      nextSequence: sequence,
      events,
      segments: segments.length,
      linkedSegments: this.#linked,
      copiedBytes: this.#copiedBytes,
    };
  }

  /** Another process may compact a store that is only read here: what was taken must be what the index, and the checkpoint, speak of. */
  #assertGeneration(id: number, generation: number): void {
    const file = this.#disk.openSync(join(this.#target, this.#temporary(id)));
    try {
      const bytes = new Uint8Array(8);
      const count = file.readSync(bytes, 0, 8, SEGMENT_HEADER.generation);
      if (count === 8 && getUint64(new DataView(bytes.buffer), 0) === generation) return;
    } finally {
      file.closeSync();
    }
    throw this.#compacted(id);
  }

  #compacted(id: number): StoreError<"COMPACTED"> {
    const message = "Cannot take a snapshot: another process has compacted the store meanwhile, take it anew into another directory";
    return new StoreError("COMPACTED", message, { segmentId: id });
  }

  #temporary(id: number): string {
    return `${segmentName(id)}.${this.#disk.self.pid}-0.tmp`;
  }

  async #name(id: number): Promise<void> {
    await this.#disk.rename(join(this.#target, this.#temporary(id)), join(this.#target, segmentName(id)));
  }

  /** Makes the directory; what lies in it is nobody's to overwrite. */
  async #makeTarget(): Promise<void> {
    const disk = this.#disk;
    if ((await disk.status(this.#target)) === null) return await disk.makeDirectory(this.#target);
    // Whoever made it may have been killed before its name was synced.
    if ((await disk.list(this.#target)).length === 0) return await disk.makeDirectory(this.#target);
    throw new StoreError("IO", `Cannot take a snapshot: ${this.#target} is not empty, an empty or a new directory is allowed`, {
      operation: "snapshot",
      path: this.#target,
      errno: "ENOTEMPTY",
    });
  }

  #plan(
    segment: { readonly id: number; readonly generation: number; readonly indexOnDisk: boolean; readonly framesEnd: number },
    visibleSegment: number,
    visibleOffset: number,
  ): CopiedSegment {
    const { id, generation, indexOnDisk, framesEnd } = segment;
    const { layout, files } = this.#access.parts;
    if (id === visibleSegment && layout !== "native") {
      // Closed, the newest ends with a footer, of which the checkpoint speaks.
      const { trailer, end } = lookAtSegment(files.file(id), id, Number.POSITIVE_INFINITY);
      if (trailer?.tableOffset === visibleOffset) return { id, generation, bytes: end };
    }
    if (id === visibleSegment) return { id, generation, bytes: visibleOffset };
    // The 0.3 layout's footers are written before the next segment begins; a block of ours may be under way.
    return { id, generation, bytes: indexOnDisk || layout !== "native" ? null : framesEnd };
  }

  async #takeIfThere(name: string): Promise<void> {
    if ((await this.#disk.status(join(this.#access.directory, name)))?.type !== "file") return;
    // A compaction in another process removes the checkpoint.
    await this.#take(name, null).catch((error: unknown) => {
      if (errorCode(error) !== "ENOENT") throw error;
    });
  }

  async #leaveOut(name: string): Promise<void> {
    const path = join(this.#target, name);
    if ((await this.#disk.status(path)) !== null) await this.#disk.remove(path);
  }

  /** Takes a file of the store, under the same name or another: the first `bytes` of it, or, where null is given, all of it, linked if possible. */
  async #take(name: string, bytes: number | null, as = name): Promise<void> {
    const from = join(this.#access.directory, name);
    const to = join(this.#target, as);
    if (bytes === null && (await this.#link(from, to))) {
      if (this.#mayBeUnsynced) await syncFile(this.#disk, to);
      // Only segments get their names later.
      if (as !== name) this.#linked++;
      return;
    }
    this.#copiedBytes += await copyFile(this.#disk, from, to, bytes);
  }

  /** The original does not sync its segments, and only a writer of ours does so when it takes them over. */
  get #mayBeUnsynced(): boolean {
    return this.#access.writer === null && this.#access.parts.layout !== "native";
  }

  /** False where the two directories cannot share a file. */
  async #link(from: string, to: string): Promise<boolean> {
    try {
      await this.#disk.link(from, to);
      return true;
    } catch (error) {
      // Another file system, one without links, a file of another user: what else may be wrong, copying will tell.
      if (errorCode(error) === undefined) throw error;
      return false;
    }
  }
}
