/**
 * Opening a store: the lock, the log by its fastest sound route, recovery, the writer. What `Store.open` puts into the store that it makes.
 */
import { setTimeout } from "./base/timers.ts";
import { basename, join } from "node:path";
import { Batpak03Writer } from "./batpak03-engine.ts";
import type { Clock } from "./base/clock.ts";
import { isStoreError, StoreError } from "./base/store-error.ts";
import { acquireDirectoryLock, type DirectoryLock } from "./disk/directory-lock.ts";
import type { Disk } from "./disk/disk.ts";
import { rememberFailedSyncs } from "./disk/failed-directory-syncs.ts";
import { errorCode } from "./disk/system-error.ts";
import { nodeDisk } from "./disk/node-disk.ts";
import { sameBytes } from "./base/hex.ts";
import { DefinitionRegistry } from "./events/definition-registry.ts";
import type { DurableMark } from "./format/native/durable-mark.ts";
import { FRAME } from "./format/native/frame-layout.ts";
import { ActiveSegmentIndex } from "./index/active-segment-index.ts";
import type { LogPosition } from "./index/store-index.ts";
import { SealedSegmentIndex } from "./index/sealed-segment-index.ts";
import { unsupported } from "./log/batpak03-placer.ts";
import { readMark } from "./log/mark-file.ts";
import { type SegmentFiles, segmentIdOf } from "./log/segment-files.ts";
import { listSegmentIds } from "./log/segment-list.ts";
import { type NativeStoreParts, NativeWriter, prepareNative, readNativeLog } from "./native-engine.ts";
import { definitionRecordOf } from "./log/system-records.ts";
import {
  asStoreError,
  directoryExists,
  endConversion,
  listDirectory,
  readerView,
  segmentsLost,
  segmentsLostError,
} from "./open-directory.ts";
import type { OpenedNativeLog } from "./open-native.ts";
import type { OpenReport } from "./open-report.ts";
import type { ReadingParts } from "./reading.ts";
import type { CompiledOptions } from "./store-options.ts";
import type { StoreWriter } from "./store-writer.ts";

/** Something that was asked for by name is not there. */
export function notFound(what: string): StoreError<"NOT_FOUND"> {
  return new StoreError("NOT_FOUND", `Cannot read: ${what} is not in this store`, { what });
}

/** A directory that was named is not there, or has no store in it. */
export function noStoreIn(directory: string, operation: string): StoreError<"NOT_FOUND"> {
  const message = `Cannot ${operation}: there is no store in ${directory}, a directory that holds one is allowed`;
  return new StoreError("NOT_FOUND", message, { what: `a store in ${directory}` });
}

type AskedLayout = CompiledOptions["layout"];

/** What `open` hands to the store that it makes. */
export interface Opened {
  readonly directory: string;
  readonly disk: Disk;
  /** Whether the caller brought the disk: one that knows its own paths. */
  readonly isDiskGiven: boolean;
  /** What the store has to be; null: what is there. */
  readonly askedLayout: AskedLayout;
  readonly clock: Clock;
  readonly parts: NativeStoreParts;
  readonly registry: DefinitionRegistry;
  readonly writer: StoreWriter | null;
  readonly lock: DirectoryLock | null;
  readonly reading: ReadingParts;
  readonly report: OpenReport;
  readonly life: { assertReadable(): void; assertWritable(): void };
}

/** Opens a directory for writing or reading. */
export async function openParts(directory: string, options: CompiledOptions): Promise<Opened> {
  const started = options.clock.monotonicMs();
  const disk = options.disk ?? nodeDisk;
  // Definitions that are none, or refuse one another, are told before anything is made.
  void new DefinitionRegistry(options.events, () => false);
  if (options.readOnly) return await openForReading(directory, disk, options, started);
  if (options.layout === "batpak-0.3") assertKinds(options);
  if (!(await directoryExists(disk, directory))) await disk.makeDirectory(directory);
  const lock = await acquireDirectoryLock(disk, directory, { waitMs: options.lockWaitMs, clock: options.clock });
  try {
    return await openForWriting(directory, rememberFailedSyncs(disk, directory), options, lock, started, false);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Opens a directory for writing in which a conversion makes its store, which holds the lock and goes on holding it. */
export async function openHeld(directory: string, options: CompiledOptions, lock: DirectoryLock): Promise<Opened> {
  const disk = rememberFailedSyncs(options.disk ?? nodeDisk, directory);
  return await openForWriting(directory, disk, options, lock, options.clock.monotonicMs(), true);
}

async function openForWriting(
  directory: string,
  disk: Disk,
  options: CompiledOptions,
  lock: DirectoryLock,
  started: number,
  isConverting: boolean,
): Promise<Opened> {
  const listing = await listDirectory(disk, directory);
  if (listing.orphans.length > 0) throw segmentsLostError(directory, listing.orphans, "open the store");
  assertLayout(listing.layout, options.layout);
  // Whoever made the directory, or gave it its name, may have been killed before that was synced: nothing is promised in it until it is.
  if (listing.segmentIds.length === 0 || listing.converted) await disk.makeDirectory(directory);
  const layout = listing.layout ?? options.layout ?? "native";
  if (layout === "batpak-0.3") assertKinds(options);
  const parts = prepareNative(disk, directory, options.indexCacheBytes, layout);
  try {
    const mark = await readMark(disk, directory);
    await readNativeLog(disk, parts, { segmentIds: listing.segmentIds, mark, tolerant: false, limit: null });
    for (const name of listing.temporaries) await disk.remove(join(directory, name));
    // Before anything is appended that the next conversion might take for what the last one left.
    if (listing.unfinished && !isConverting) await endConversion(disk, directory);
    const registry = registryOf(parts, options);
    const life = { assertReadable: () => {}, assertWritable: () => {} };
    const reading = readingOf(parts, registry, life);
    const input = { disk, parts, options, registry, reading, assertWritable: () => life.assertWritable() };
    const writer = layout === "native" ? await NativeWriter.open(input) : await Batpak03Writer.open({ ...input, mark });
    const report = reportOf(parts, writer.cut, options.clock.monotonicMs() - started);
    return { directory, disk, ...askedOf(options), parts, registry, writer, lock, reading, report, life };
  } catch (error) {
    parts.files.closeAll();
    throw error;
  }
}

async function openForReading(directory: string, disk: Disk, options: CompiledOptions, started: number): Promise<Opened> {
  if (!(await directoryExists(disk, directory))) throw noStoreIn(directory, "open the store read-only");
  const listing = await listDirectory(disk, directory);
  if (listing.segmentIds.length === 0 && listing.orphans.length === 0) throw noStoreIn(directory, "open the store read-only");
  assertLayout(listing.layout, options.layout);
  const parts = prepareNative(disk, directory, options.indexCacheBytes, listing.layout ?? "native");
  try {
    await readLogForReader(disk, parts, directory, options.layout);
    const registry = registryOf(parts, options);
    const life = { assertReadable: () => {}, assertWritable: () => {} };
    const reading = readingOf(parts, registry, life);
    const report = { ...reportOf(parts, null, options.clock.monotonicMs() - started), tornTail: await tornTailOf(disk, parts) };
    return { directory, disk, ...askedOf(options), parts, registry, writer: null, lock: null, reading, report, life };
  } catch (error) {
    parts.files.closeAll();
    throw error;
  }
}

/** What an open store goes on asking of its options. */
function askedOf({ disk, layout, clock }: CompiledOptions): Pick<Opened, "isDiskGiven" | "askedLayout" | "clock"> {
  return { isDiskGiven: disk !== null && disk !== nodeDisk, askedLayout: layout, clock };
}

/** Bytes at the end that recovery would cut: beside a living writer they are its own business, and over damage no writer recovers anything. */
async function tornTailOf(disk: Disk, parts: NativeStoreParts): Promise<OpenReport["tornTail"]> {
  const { problems, unsettled } = parts.log;
  const { segmentId, end, cutBytes } = unsettled;
  if (cutBytes === 0 || segmentId === null || problems.length > 0 || (await readerView(disk, parts.directory)).writer) return null;
  return { segmentId, offset: end, bytes: cutBytes };
}

const READ_ATTEMPTS_MAX = 10;
/** So often the log is looked at again where files are gone beside a writer: with the pauses between them, for about two seconds. */
const VANISHED_ATTEMPTS_MAX = 50;
/** Beside a writer, which may be compacting, what is wrong is looked at again so often before it is believed. */
const READ_ATTEMPTS_BESIDE_WRITER = 4;

/** Reads the log as a reader may see it: whether a writer lives is asked before and after. */
export async function readLogForReader(disk: Disk, parts: NativeStoreParts, directory: string, asked: AskedLayout): Promise<void> {
  /** What was there at the last look that met a file which was gone. */
  let lastLooked = "";
  for (let attempt = 1; ; attempt++) {
    const before = await readerView(disk, directory);
    // Read into parts of its own: who reads meanwhile does so by the old index, in the old files, and is told where those are gone.
    let fresh = prepareNative(disk, directory, parts.indexCacheBytes, parts.layout);
    let segmentIds: readonly number[] = [];
    // Whether what was met may be due to a compaction beside it, which removes files and puts others in their place.
    const mayBePassing = async (): Promise<boolean> => {
      if (attempt >= READ_ATTEMPTS_MAX) return false;
      if (before.writer || (await readerView(disk, directory)).writer) return attempt < READ_ATTEMPTS_BESIDE_WRITER;
      return String(await listSegmentIds(disk, directory)) !== String(segmentIds);
    };
    let taken = false;
    try {
      const listing = await listDirectory(disk, directory);
      ({ segmentIds } = listing);
      assertLayout(listing.layout, asked);
      // A first segment that was only begun when the store was opened may not have said it.
      if (listing.layout !== null && listing.layout !== fresh.layout) {
        fresh = prepareNative(disk, directory, parts.indexCacheBytes, listing.layout);
      }
      const limit = before.writer && before.mark !== null ? visibleBeside(before.mark, parts.log) : null;
      await readNativeLog(disk, fresh, { segmentIds, mark: before.mark, tolerant: true, limit });
      const isOther = isOtherStore(parts, fresh);
      if (listing.orphans.length > 0) fresh.log = { ...fresh.log, problems: [...fresh.log.problems, segmentsLost(listing.orphans)] };
      const after = await readerView(disk, directory);
      // A writer that has written no mark yet is recovering: it has appended nothing, and what is there is what it will keep.
      const settled = before.writer ? before.mark !== null || (after.writer && after.mark === null) : !after.writer;
      const isRight = settled && (fresh.log.problems.length === 0 || !(await mayBePassing()));
      const isLast = isRight || attempt >= READ_ATTEMPTS_MAX;
      if (isLast && isOther) throw replacedError(directory, "another store, or none,");
      if (isLast && isOtherHistory(parts, fresh)) throw replacedError(directory, "an older copy of the store");
      taken = isLast;
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      if (hasShown(parts) && (await disk.status(directory)) === null) throw replacedError(directory, "another store, or none,");
      // A file that is gone beside a writer is no damage, however often it is another one: there may be many compactions.
      const looked = `${segmentIds.join()} ${before.mark?.generation}`;
      if (before.writer && attempt === VANISHED_ATTEMPTS_MAX) throw alwaysCompacted(error);
      if (before.writer ? attempt >= READ_ATTEMPTS_MAX && looked === lastLooked : !(await mayBePassing())) throw error;
      lastLooked = looked;
    } finally {
      if (!taken) fresh.files.closeAll();
    }
    if (taken) return takeParts(parts, fresh);
    await pauseAfter(attempt);
  }
}

/**
 * Up to where a log may be shown beside a writer: as the mark says. A writer that is recovering has not written its own yet, and what was shown while
 * none lived, which recovery keeps, may reach further than that of the killed one. `shown`: the log that was read before, if any.
 */
function visibleBeside(mark: DurableMark, shown: OpenedNativeLog | undefined): { readonly segmentId: number; readonly offset: number } {
  const marked = { segmentId: mark.visibleSegment, offset: mark.visibleOffset };
  if (shown === undefined || shown.storeId === null || shown.problems.length > 0) return marked;
  const { visible } = shown.index;
  const isSameStore = Buffer.compare(mark.storeId, shown.storeId) === 0;
  // One of an older generation was left by a repair that was killed: it has a place in the file of before.
  const isOlder = isBehind(mark, visible) || mark.generation < shown.generation;
  return isSameStore && isOlder ? { segmentId: visible.segmentId, offset: visible.offset } : marked;
}

/** Whether the mark stands before a position; at the same sequence in a segment, which records and other events may share, before its offset. */
export function isBehind(mark: DurableMark, { segmentId, offset, sequence }: LogPosition): boolean {
  if (mark.visibleSequence !== sequence || mark.visibleSegment !== segmentId) return mark.visibleSequence < sequence;
  return mark.visibleOffset < offset;
}

/** A file that is gone at every look at them all. */
export function alwaysCompacted(error: unknown): StoreError<"COMPACTED"> {
  const segmentId = segmentIdOf(basename(String((error as NodeJS.ErrnoException).path))) ?? 0;
  const message = `Cannot read the store: its writer compacts without a pause, and segment ${segmentId} was gone again; try again when it rests`;
  return new StoreError("COMPACTED", message, { segmentId });
}

/** Whether events have been seen: not while the store is opened. */
function hasShown(parts: NativeStoreParts): boolean {
  const shown = parts.log as OpenedNativeLog | undefined;
  return shown !== undefined && shown.index.visible.sequence > 0;
}

/** Whether what was read is not the store of which events were seen: that has an id, but in the batpak 0.3 layout, which has none. */
function isOtherStore(parts: NativeStoreParts, fresh: NativeStoreParts): boolean {
  if (!hasShown(parts)) return false;
  const shown = parts.log;
  if (fresh.layout !== parts.layout) return true;
  if (shown.storeId === null) return false;
  // Without a header that is whole: damage, which is told as such.
  if (fresh.log.storeId === null) return fresh.log.problems.length === 0;
  return !sameBytes(shown.storeId, 0, fresh.log.storeId, 0, shown.storeId.length);
}

/**
 * Whether what was read ends before the last event that was seen, or has another in its place: no writer of the same files takes back what a reader saw. Of
 * a damaged log that is not said, nor of the batpak 0.3 layout, whose sequences are not in its frames.
 */
function isOtherHistory(parts: NativeStoreParts, fresh: NativeStoreParts): boolean {
  if (!hasShown(parts) || fresh.layout !== "native" || parts.log.problems.length > 0 || fresh.log.problems.length > 0) return false;
  const shown = parts.log.index;
  const { index } = fresh.log;
  if (index.visible.sequence < shown.visible.sequence) return true;
  // Where the newest segment has no event yet, the one before it would have to be read.
  const newest = shown.active?.index;
  if (!(newest instanceof ActiveSegmentIndex) || newest.rowCount === 0) return false;
  const row = newest.rowCount - 1;
  const there = hashAt(fresh, newest.sequenceAt(row));
  return there !== null && Buffer.compare(there, shown.heads.hash(newest.columns.entity[row])) !== 0;
}

/** The hash of the event with this sequence; null where there is none, or it is damaged: whoever reads it is told. */
function hashAt({ log: { index }, frames }: NativeStoreParts, sequence: number): Uint8Array | null {
  try {
    return index.withSoundIndex(() => {
      const found = index.findBySequence(sequence);
      if (found === null) return null;
      const { bytes, view, at } = frames.readRow(found.segment, index.indexOf(found.segment), found.row);
      const hash = new Uint8Array(FRAME.hashBytes);
      frames.format.copyHash(bytes, view, at, hash, 0);
      return hash;
    });
  } catch (error) {
    if (isStoreError(error, "CORRUPT")) return null;
    throw error;
  }
}

function replacedError(directory: string, what: string): StoreError<"STORE_REPLACED"> {
  const message = `Cannot read: ${what} has taken the place of the one that was opened in ${directory}, open it anew`;
  return new StoreError("STORE_REPLACED", message, { directory });
}

/** All at once. Whoever has a file of before pinned reads on in it. */
function takeParts(parts: NativeStoreParts, fresh: NativeStoreParts): void {
  const { files } = parts;
  if (fresh.layout === "native") fresh.files.expected = (id) => expectedHeader(fresh.log, id);
  Object.assign(parts, fresh);
  files.retire();
}

function expectedHeader({ index, storeId }: OpenedNativeLog, id: number): ReturnType<SegmentFiles["expected"]> {
  const segment = index.segmentWithId(id);
  return segment === undefined || storeId === null ? null : { storeId, generation: segment.generation };
}

function pauseAfter(attempt: number): Promise<void> {
  return new Promise((again) => setTimeout(again, Math.min(2 ** attempt, 50)));
}

function assertLayout(found: AskedLayout, asked: AskedLayout): void {
  if (found !== null && asked !== null && asked !== found) {
    throw new StoreError(
      "LAYOUT_MISMATCH",
      `Cannot open the store: it has the layout ${found}, ${asked} was asked for; leave the option out`,
      { found, asked },
    );
  }
}

/** The batpak 0.3 layout has no records of names: what a definition is called is known only where it is given. */
function assertKinds({ events }: CompiledOptions): void {
  for (const { name, kind, version } of events) {
    if (kind === undefined) throw unsupported(`open the store with ${name}`, "names of events", "definitions with a kind are");
    if (version !== 1) throw unsupported(`open the store with ${name}`, `event versions (it is ${version})`, "version 1 is");
  }
}

function registryOf(parts: NativeStoreParts, options: CompiledOptions): DefinitionRegistry {
  const registry = new DefinitionRegistry(options.events, (kind) => isKindInUse(parts, kind), parts.layout === "native");
  for (const frame of parts.log.records) {
    const record = definitionRecordOf(frame);
    if (record !== null) registry.restore(record);
  }
  return registry;
}

function isKindInUse(parts: NativeStoreParts, kind: number): boolean {
  const { index } = parts.log;
  return index.segments.some((segment) => {
    const rows = index.indexOf(segment);
    if (rows instanceof SealedSegmentIndex) return rows.root.kinds.includes(kind);
    return rows instanceof ActiveSegmentIndex && rows.columns.kind.subarray(0, rows.rowCount).includes(kind);
  });
}

function readingOf(parts: NativeStoreParts, registry: DefinitionRegistry, life: { assertReadable(): void }): ReadingParts {
  return {
    get index() {
      return parts.log.index;
    },
    get frames() {
      return parts.frames;
    },
    get loader() {
      return parts.loader;
    },
    typeOf: (kind) => registry.typeOf(kind),
    asError: (error) => asStoreError("read", parts.directory, error),
    assertReadable: () => life.assertReadable(),
  };
}

function reportOf(parts: NativeStoreParts, cut: OpenReport["cut"], milliseconds: number): OpenReport {
  const { route, reasons, eventsReplayed, problems, tornTails = [] } = parts.log;
  return { route, reasons, eventsReplayed, milliseconds, cut, tornTail: null, tornTails, problems };
}
