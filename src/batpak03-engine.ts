/**
 * The writer of a batpak 0.3 store, wired: the same door, order and group commit as the native writer, with this layout's frames and files.
 *
 * Life: `open` -> appends -> `close` (drain, sync, footer, checkpoint) -> closed. A new directory gets its first segment at opening; in any
 * other the first append makes one. After a failed write it is poisoned: nothing is written any more, not even at closing, and the next
 * opening goes on in a new segment.
 *
 * A checkpoint of this layout holds every event, so it is written when the store is closed or somebody asks for it, never in between:
 * `checkpoint.everyEvents` would cost the whole history each time, and footers make the opening after a crash quick enough.
 */
import { randomFillSync } from "node:crypto";
import { traced } from "./base/diagnostics.ts";
import { rest } from "./base/rest.ts";
import { StoreError } from "./base/store-error.ts";
import { Appending } from "./appending.ts";
import { writeBatpak03Checkpoint } from "./checkpoint/batpak03-checkpoint.ts";
import { IdIssuer } from "./events/id.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import { SequenceGate } from "./index/sequence-gate.ts";
import { Acceptance } from "./log/acceptance.ts";
import { Batpak03LogWriter } from "./log/batpak03-log-writer.ts";
import { assertBatpak03Item, Batpak03Placer } from "./log/batpak03-placer.ts";
import { Batpak03SegmentWriter } from "./log/batpak03-segment-writer.ts";
import { poisonedError } from "./log/commit-queue.ts";
import { MarkFile } from "./log/mark-file.ts";
import type { NativeStoreParts, NativeWriterInput } from "./native-engine.ts";
import type { OpenReport } from "./open-report.ts";
import { endCarriedBatch, settleBatpak03Log } from "./recover-batpak03.ts";
import type { StoreWriter } from "./store-writer.ts";

export interface Batpak03WriterInput extends NativeWriterInput {
  readonly mark: DurableMark | null;
}

export class Batpak03Writer implements StoreWriter {
  readonly appending: Appending;
  readonly acceptance: Acceptance;
  readonly log: Batpak03LogWriter;
  readonly gate = new SequenceGate();
  readonly checkpointer: { written: number; lastError: unknown } = { written: 0, lastError: null };
  readonly compaction = null;
  readonly cut: OpenReport["cut"];
  readonly syncsCommits: boolean;
  readonly #input: Batpak03WriterInput;
  readonly #segments: Batpak03SegmentWriter;
  readonly #mark: MarkFile;
  /** The allocator that the newest checkpoint on disk knows; -1 where it must be written anew. */
  #checkpointedTo: number;
  #checkpointing: Promise<void> | null = null;

  private constructor(input: Batpak03WriterInput, mark: MarkFile, cut: OpenReport["cut"]) {
    const { parts, options, registry, reading } = input;
    const { index, route, eventsReplayed } = parts.log;
    this.#input = input;
    this.#mark = mark;
    this.cut = cut;
    this.syncsCommits = options.durability.mode === "fsync";
    this.#checkpointedTo = route === "checkpoint" && eventsReplayed === 0 ? index.acceptedSequence : -1;
    const { active } = index;
    this.#segments = new Batpak03SegmentWriter(parts.files, active?.id ?? 0, active?.framesEnd ?? 0);
    const ids = new IdIssuer(options.random ?? ((target) => void randomFillSync(target)));
    ids.resumeAfter(newestIssuedId(parts));
    const placer = new Batpak03Placer({ index, clock: options.clock, ids, builderOf: (group) => this.log.builderOf(group) });
    this.log = this.#createLog(placer);
    parts.frames.unwritten = this.log;
    this.acceptance = new Acceptance({
      index,
      frames: parts.frames,
      queue: this.log.queue,
      placer,
      queuedBytesMax: options.queuedBytesMax,
      durable: this.syncsCommits,
      makeRoom: this.log.makeRoom,
      beginPlacing: this.log.beginPlacing,
    });
    this.appending = new Appending({
      acceptance: this.acceptance,
      placer,
      registry,
      reading,
      limits: options,
      positions: new Map(),
      assertWritable: () => input.assertWritable(),
      assertStorable: assertBatpak03Item,
      clampsTimes: false,
    });
  }

  /** Settles the log that was read and takes it over. Only the holder of the directory's lock may. */
  static async open(input: Batpak03WriterInput): Promise<Batpak03Writer> {
    const { disk, parts } = input;
    const cut = await settleBatpak03Log(disk, parts, input.mark);
    await endCarriedBatch(disk, parts, input.options.clock.nowMicros());
    const mark = await MarkFile.open(disk, parts.directory);
    let writer: Batpak03Writer | null = null;
    try {
      writer = new Batpak03Writer(input, mark, cut);
      if (parts.log.index.active === undefined) await writer.log.createFirst();
      else writer.log.writeMark();
      return writer;
    } catch (error) {
      if (writer !== null) await writer.#segments.close();
      await mark.close();
      throw error;
    }
  }

  #createLog(placer: Batpak03Placer): Batpak03LogWriter {
    const { parts, options } = this.#input;
    const { index } = parts.log;
    return new Batpak03LogWriter(
      {
        directory: parts.directory,
        index,
        clock: options.clock,
        segments: this.#segments,
        mark: this.#mark,
        gate: this.gate,
        durability: options.durability,
        segmentBytesMax: options.segmentBytesMax,
        roomMade: () => this.acceptance.drain(),
        poisoned: (error) => {
          this.acceptance.rejectAll(() => poisonedError(error));
          this.gate.open();
        },
      },
      placer,
      (index.active?.id ?? 0) + 1,
    );
  }

  async checkpoint(): Promise<void> {
    // Whoever waits for the same end may have begun the next one first.
    while (this.#checkpointing !== null) await this.#checkpointing.catch(() => {});
    this.log.queue.assertSound();
    this.#checkpointing = this.#writeCheckpoint().finally(() => {
      this.#checkpointing = null;
    });
    await this.#checkpointing;
  }

  #writeCheckpoint(): Promise<void> {
    return traced(
      "checkpoint",
      () => ({ directory: this.#input.parts.directory }),
      () => this.#writeCheckpointUntold(),
    );
  }

  async #writeCheckpointUntold(): Promise<void> {
    const { disk, parts } = this.#input;
    const { files, frames, log } = parts;
    const { segmentId, offset, sequence } = log.index.visible;
    const isGrowing = this.log.builder(segmentId) !== undefined;
    const watermarkOffset = isGrowing ? offset : files.file(segmentId).sizeSync();
    await this.log.sync();
    try {
      await writeBatpak03Checkpoint({
        disk,
        files,
        frames,
        index: log.index,
        sequence,
        segmentId,
        watermarkOffset,
        entriesInTheMaking: (segmentId) => this.log.builder(segmentId)?.entries,
      });
    } catch (error) {
      this.checkpointer.lastError = error;
      throw error;
    }
    this.#checkpointedTo = sequence;
    this.checkpointer.written++;
    this.checkpointer.lastError = null;
  }

  async close(): Promise<void> {
    const { options, parts } = this.#input;
    const closed = (): StoreError => new StoreError("CLOSED", "Cannot append: the store was closed before the append had its place", {});
    this.acceptance.rejectWaiting(closed);
    this.appending.rejectUnanswered(closed);
    try {
      while (this.acceptance.hasStaged || !this.log.queue.isIdle) {
        this.log.queue.assertSound();
        await this.log.queue.idle();
        if (this.acceptance.hasStaged) await rest();
      }
      await this.log.rest();
      await this.log.sync();
      const sealed = await this.log.sealActive(null);
      while (this.#checkpointing !== null) await this.#checkpointing.catch(() => {});
      const isBehind = sealed || this.#checkpointedTo !== parts.log.index.visible.sequence;
      if (options.checkpointEveryEvents !== null && isBehind) await this.checkpoint();
    } finally {
      await this.log.rest();
      await this.#checkpointing?.catch(() => {});
      await this.log.queue.written();
      try {
        await this.#segments.close();
      } finally {
        parts.files.closeAll();
        await this.#mark.close();
      }
    }
  }
}

/** Frames looked at for the newest id that a writer issued: only events with keys or given ids come after it. */
const FRAMES_LOOKED_AT_MAX = 1000;
const ISSUED_VERSION = 7;

function newestIssuedId({ log, frames }: NativeStoreParts): Uint8Array {
  const { index, lastIssuedId } = log;
  if (lastIssuedId.some((byte) => byte !== 0)) return lastIssuedId;
  const id = new Uint8Array(16);
  let looked = 0;
  for (let i = index.segments.length - 1; i >= 0; i--) {
    const rows = index.indexOf(index.segments[i]);
    for (let row = rows.rowCount - 1; row >= 0 && looked < FRAMES_LOOKED_AT_MAX; row--, looked++) {
      const { bytes, view, at } = frames.read(index.segments[i].id, rows.offsetAt(row));
      frames.format.copyId(bytes, view, at, id, 0);
      if (id[6] >>> 4 === ISSUED_VERSION) return id;
    }
  }
  return anyIdOf(index.lastTimeMicros);
}

/** Stands for whatever ids were issued up to a time. */
function anyIdOf(timeMicros: number): Uint8Array {
  const id = new Uint8Array(16);
  const view = new DataView(id.buffer);
  const timeMs = Math.floor(timeMicros / 1000);
  view.setUint32(0, Math.floor(timeMs / 0x1_0000));
  view.setUint16(4, timeMs % 0x1_0000);
  return id;
}
