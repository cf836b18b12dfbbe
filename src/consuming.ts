/**
 * Consumers of a store: opening one by its name, listing them, and batches that take a position along.
 *
 * A position lies in a file of the consumer's own (`subscriptions/consumer-file.ts`), or in the log as a system record. Which of the two is
 * settled when the consumer is first opened. Either way its name is held by a lock file, so that nobody else moves it.
 *
 * Commit point of a position in the log: that of the batch that its record is in. Of a consumer's records only the latest is in force.
 */
import { assertOptions, assertSignal } from "./base/arguments.ts";
import { invalidArgument, isStoreError, outOfRange, StoreError } from "./base/store-error.ts";
import type { BatchItem, BatchOptions } from "./events/append-types.ts";
import { ConsumerPosition } from "./events/consumer-position.ts";
import type { Receipt, StoredEvent } from "./events/event.ts";
import { copyQuery, type Query } from "./events/query.ts";
import { consumersIn } from "./log/records-in-force.ts";
import type { StoreWriter } from "./store-writer.ts";
import { countMatches } from "./counting.ts";
import type { StoreAccess } from "./store-access.ts";
import { LOCK_WAIT_MS_MAX } from "./store-options.ts";
import { Consumer, type ConsumerPlace, type ConsumerSource, placeOf, type PositionKeeper } from "./subscriptions/consumer.ts";
import { ConsumerFile, listConsumerNames } from "./subscriptions/consumer-file.ts";
import { assertConsumerName } from "./subscriptions/consumer-name.ts";

/** Where a consumer begins, and where it keeps its position. */
export interface ConsumerOptions {
  /** Where a consumer begins that has no position yet; default `"start"`. `"end"` is behind what is visible when it is called. */
  readonly after?: ConsumerPlace | undefined;
  /**
   * Where its position is kept: `"file"` (default), or `"log"`, as records between the events: then `appendBatch` can take it along. `"log"` is
   * for the writer's process, and for the native layout. Settled when the consumer is first opened.
   */
  readonly positionIn?: "file" | "log" | undefined;
  /** Goes on here, whatever the position says, and whether or not it can be read. */
  readonly resetTo?: ConsumerPlace | undefined;
  /** How long to wait for another holder to let go of the name, in milliseconds; default 0. */
  readonly lockWaitMs?: number | undefined;
  /** Ends iterations with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A consumer, as `store.consumers()` lists it. */
export interface ConsumerStatus {
  readonly name: string;
  /** Sequence of the last event that is committed, -1 before the first; null where the position cannot be read. */
  readonly position: number | null;
  /** Visible events behind the position, of whatever query; null where the position cannot be read. */
  readonly lag: number | null;
  /** Whether a living process has it open. */
  readonly held: boolean;
  readonly positionIn: "file" | "log";
  /** Why the position cannot be used; null where it can. */
  readonly problem: string | null;
}

const OPTION_NAMES: ReadonlySet<string> = new Set(["after", "positionIn", "resetTo", "lockWaitMs", "signal"]);

function assertConsumerOptions(options: ConsumerOptions): void {
  assertOptions(options, OPTION_NAMES, "open the consumer");
  const { positionIn, lockWaitMs = 0, signal } = options;
  if (positionIn !== undefined && positionIn !== "file" && positionIn !== "log") {
    throw invalidArgument(`Cannot open the consumer: positionIn is ${String(positionIn)}, "file" and "log" are allowed`);
  }
  if (!Number.isSafeInteger(lockWaitMs) || lockWaitMs < 0 || lockWaitMs > LOCK_WAIT_MS_MAX) {
    throw outOfRange(`Cannot open the consumer: lockWaitMs is ${String(lockWaitMs)}, 0 to ${LOCK_WAIT_MS_MAX} are allowed`);
  }
  assertSignal(signal, "open the consumer");
}

/** Opens a consumer, and holds its name. */
export async function openConsumer(
  access: StoreAccess,
  name: string,
  asked: Query | undefined,
  options: ConsumerOptions,
): Promise<Consumer<StoredEvent>> {
  access.assertReadable();
  assertConsumerName(name, "open the consumer");
  assertConsumerOptions(options);
  // Where "end" is: a reader looks for it.
  const end = access.writer === null ? null : access.visibleSequence;
  const query = copyQuery(asked);
  access.compile(query, "open the consumer");
  if (options.positionIn === "log") writerForRecords(access, name);
  const file = fileOf(access, name);
  const lock = await file.hold(access.clock, options.lockWaitMs ?? 0, options.signal);
  try {
    access.assertReadable();
    const { keeper, position } = await begin(access, file, options, end);
    // Closed meanwhile: its consumers have been closed, and this one was not among them.
    access.assertReadable();
    const source: ConsumerSource<StoredEvent> = {
      follow: (after, signal) => access.subscribe(query, { after, signal }),
      countBehind: (behind) => countBehind(access, query, behind),
      visible: () => access.visibleSequence,
      hashAt: (sequence) => access.renewing(() => access.at(sequence)?.hash ?? null),
      hashNow: (sequence) => hashNow(access, sequence),
      assertReadable: () => access.assertReadable(),
      owner: access,
      release: async () => {
        access.consumers.delete(consumer);
        try {
          await file.close();
        } finally {
          await lock.release();
        }
      },
    };
    const consumer = new Consumer(name, source, keeper, position, { signal: options.signal });
    access.consumers.add(consumer);
    return consumer;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function fileOf(access: StoreAccess, name: string): ConsumerFile {
  return new ConsumerFile(access.disk, access.directory, name, access.parts.log.storeId ?? new Uint8Array(16));
}

/** Where a consumer keeps its position, and which that is. */
async function begin(
  access: StoreAccess,
  file: ConsumerFile,
  options: ConsumerOptions,
  end: number | null,
): Promise<{ readonly keeper: PositionKeeper; readonly position: number }> {
  const { name } = file;
  // A reader's view may be older than a record of the position; the name is held, so none is added from here on.
  await access.refresh();
  const recorded = consumersIn(access.parts.log.records).get(name);
  const stored = await readFile(file, options.resetTo !== undefined);
  const found = recorded !== undefined ? "log" : stored !== null ? "file" : null;
  const positionIn = options.positionIn ?? found ?? "file";
  if (found !== null && found !== positionIn) {
    throw invalidArgument(`Cannot open the consumer ${name}: its position is kept in the ${found}, positionIn: "${found}" is allowed`);
  }
  const keeper = positionIn === "log" ? recordKeeper(access, name) : fileKeeper(access, file);
  const known = recorded ?? (stored === "damaged" ? null : stored?.position) ?? null;
  if (known !== null && options.resetTo === undefined) {
    const hash = recorded !== undefined || stored === null || stored === "damaged" ? null : stored.hash;
    await assertInLog(access, name, known, hash);
    // A killed holder may have left it in the page cache only, or beside a torn record.
    if (positionIn === "file") await keeper.write(known, hash, false);
    return { keeper, position: known };
  }
  const place = options.resetTo ?? options.after ?? "start";
  const visible = place === "end" ? (end ?? access.visibleSequence) : access.visibleSequence;
  const position = placeOf(place, visible, `open the consumer ${name}`);
  await keeper.write(position, await access.renewing(() => access.at(position)?.hash ?? null), true);
  return { keeper, position };
}

async function readFile(file: ConsumerFile, forgiving: boolean): Promise<Awaited<ReturnType<ConsumerFile["read"]>> | "damaged"> {
  try {
    return await file.read();
  } catch (error) {
    if (!forgiving) throw error;
    return "damaged";
  }
}

/** Refuses a position that this log cannot have given: one restored from a backup, or one that lost what was not yet on stable storage. */
async function assertInLog(access: StoreAccess, name: string, position: number, hash: string | null): Promise<void> {
  // The position may be newer than what a reader has taken up.
  if (position >= access.visibleSequence) await access.refresh();
  const lastSequence = access.visibleSequence - 1;
  const ahead = position > lastSequence;
  const event = ahead || hash === null ? null : await access.renewing(() => access.at(position));
  if (!ahead && (event === null || event.hash === hash)) return;
  const reason = ahead ? `the log ends at ${lastSequence}` : "the log has another event there";
  throw new StoreError(
    "POSITION_MISMATCH",
    `Cannot open the consumer ${name}: its position is ${position} and ${reason}; say with resetTo where to go on`,
    { consumer: name, position, lastSequence, reason },
  );
}

function fileKeeper(access: StoreAccess, file: ConsumerFile): PositionKeeper {
  return {
    kind: "file",
    write: async (position, hash) => {
      // A position on stable storage must not be ahead of events that are not.
      if (access.writer !== null && !access.writer.syncsCommits) await access.assertWritable("commit").log.sync();
      await file.write(position, hash);
    },
    remove: () => file.remove(),
  };
}

function recordKeeper(access: StoreAccess, name: string): PositionKeeper {
  void writerForRecords(access, name);
  const write = async (position: number | null, goesBack: boolean): Promise<void> =>
    await writerForRecords(access, name).appending.appendPosition({ consumer: name, position }, goesBack);
  return { kind: "log", write: (position, _hash, goesBack) => write(position, goesBack), remove: () => write(null, true) };
}

function writerForRecords(access: StoreAccess, name: string): StoreWriter {
  const { layout } = access.parts;
  if (layout !== "native") {
    throw new StoreError(
      "UNSUPPORTED_BY_LAYOUT",
      `Cannot open the consumer ${name}: the layout ${layout} has no room for positions in the log, positionIn: "file" is allowed`,
      { layout, feature: "consumer positions in the log" },
    );
  }
  return access.assertWritable(`move the consumer ${name}, whose position is in the log`);
}

/** Visible events behind a position that match. */
async function countBehind(access: StoreAccess, query: Query | undefined, position: number): Promise<number> {
  const filters = query === undefined ? [{}] : access.filters(query, "count");
  return await countMatches(access.reading, filters, access.visibleSequence, position);
}

function hashNow(access: StoreAccess, sequence: number): string | null {
  try {
    return access.at(sequence)?.hash ?? null;
  } catch {
    // Compacted by another process, or damaged since it was read: that is told to whoever reads.
    return null;
  }
}

/** Why the position of one consumer cannot be told, while the others are listed. */
const UNTOLD: ReadonlySet<string> = new Set(["CORRUPT", "POSITION_MISMATCH", "IO"]);

/** The consumers that have a position, by name. */
export async function listConsumers(access: StoreAccess): Promise<ConsumerStatus[]> {
  access.assertReadable();
  const recorded = consumersIn(access.parts.log.records);
  const names = new Set([...(await listConsumerNames(access.disk, access.directory)), ...recorded.keys()]);
  const list: ConsumerStatus[] = [];
  for (const name of [...names].sort()) {
    const status = await statusOf(access, name, recorded.get(name));
    if (status !== null) list.push(status);
  }
  return list;
}

async function statusOf(access: StoreAccess, name: string, recorded: number | undefined): Promise<ConsumerStatus | null> {
  const file = fileOf(access, name);
  const held = await file.isHeld();
  const positionIn = recorded === undefined ? "file" : "log";
  try {
    const stored = recorded === undefined ? await file.read() : null;
    const position = recorded ?? stored?.position ?? null;
    if (position === null) return null;
    await assertInLog(access, name, position, stored?.hash ?? null);
    return { name, position, lag: await countBehind(access, undefined, position), held, positionIn, problem: null };
  } catch (error) {
    if (!isStoreError(error) || !UNTOLD.has(error.code)) throw error;
    const position = error.code === "POSITION_MISMATCH" ? error.details.position : null;
    return { name, position, lag: null, held, positionIn, problem: error.message };
  }
}

/** Appends a batch that takes a consumer's position along. */
export async function appendCommitting(access: StoreAccess, items: readonly BatchItem[], options: BatchOptions): Promise<Receipt[]> {
  const { commit } = options;
  if (!(commit instanceof ConsumerPosition) || commit.owner !== access) {
    throw invalidArgument("Cannot append: commit is no position of a consumer of this store, consumer.at(event) is allowed");
  }
  const { appending } = writerForRecords(access, commit.consumer);
  return await commit.moveBy(async () => {
    const receipts = await appending.appendBatch(items, options);
    // A retry of a batch that is there already writes nothing: then the position goes by itself.
    if ((consumersIn(access.parts.log.records).get(commit.consumer) ?? -1) < commit.position) {
      await appending.appendPosition(commit, false);
    }
    return receipts;
  });
}
