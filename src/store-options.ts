/** The options of `Store.open`: their ranges, their defaults, and the refusal of what is not one. */
import { assertBoolean, assertFunction, assertOptions } from "./base/arguments.ts";
import { assertClock, type Clock, clockOrSystem, type Random } from "./base/clock.ts";
import { describeValue } from "./base/describe-value.ts";
import { invalidArgument, outOfRange } from "./base/store-error.ts";
import { assertDisk, type Disk } from "./disk/disk.ts";
import type { AnyDefinition } from "./events/definition.ts";
import type { Durability } from "./log/log-writer.ts";

/** How the bytes lie on disk: as docs/format.md says, or as the Rust crate batpak 0.3 has them (docs/batpak-0.3.md). */
export type Layout = "native" | "batpak-0.3";

/** How to open a store. All of it may be left out. */
export interface StoreOptions<Definitions extends readonly AnyDefinition[] = readonly AnyDefinition[]> {
  /** Definitions that the store knows from the start; others are learnt from the first append that uses them. */
  readonly events?: Definitions | undefined;
  /**
   * What a resolved append means. `"fsync"` (default): its events are on stable storage. `"os"`: the operating system has them.
   * `{ everyMs, everyEvents }`: the same, and they are synced in the background at least that often: every 1 to 3,600,000 ms, and every 1 to
   * 1,000,000,000 events (10,000 when left out).
   */
  readonly durability?: "fsync" | "os" | { readonly everyMs: number; readonly everyEvents?: number | undefined } | undefined;
  /** A segment is full at this size: 4 KiB to 1 GiB, default 64 MiB. A batch larger than that gets a segment of its own. */
  readonly segmentBytesMax?: number | undefined;
  /** The largest payload, and the largest metadata: 1 byte to 256 MiB, default 16 MiB. */
  readonly payloadBytesMax?: number | undefined;
  /** Events in a batch: 1 to 65,536, default 4,096. */
  readonly batchEventsMax?: number | undefined;
  /** Payload and metadata bytes of a batch: 1 byte to 256 MiB, default 16 MiB. */
  readonly batchBytesMax?: number | undefined;
  /** Bytes accepted and not yet settled, beyond which appends wait: 64 KiB to 4 GiB, default 64 MiB. */
  readonly queuedBytesMax?: number | undefined;
  /** Pages kept in memory, of indexes and, up to a quarter of it and 64 MiB, of frames: 64 KiB to 64 GiB, default 256 MiB. */
  readonly indexCacheBytes?: number | undefined;
  /**
   * How often the index is checkpointed, beside at rotation and on close; false: never. Default every 100,000 events, or as many as a quarter
   * of the entities where that is more, since each of them is in a checkpoint: about so many are taken up again by whoever opens after a
   * crash. With the default, closing leaves up to 64 events to the next opening, and one for each 256 entities, of 4 KiB each on average. In
   * the batpak 0.3 layout on close only, since a checkpoint there holds every event.
   */
  readonly checkpoint?: { readonly everyEvents: number } | false | undefined;
  /** The layout of a new directory, default `"native"`. A directory keeps the layout that it has. */
  readonly layout?: Layout | undefined;
  /** Opens beside a living writer, or without one; nothing of the store is created or changed, but for the positions of consumers. Default false. */
  readonly readOnly?: boolean | undefined;
  /** How long to wait for another writer to let go of the directory, in milliseconds: 0 (default) to a day. */
  readonly lockWaitMs?: number | undefined;
  /** The file system; default Node's. */
  readonly disk?: Disk | undefined;
  /** Where the time comes from; default the machine's clock. */
  readonly clock?: Clock | undefined;
  /** Where randomness comes from; default `crypto`. */
  readonly random?: Random | undefined;
}

export interface CompiledOptions {
  readonly events: readonly AnyDefinition[];
  readonly durability: Durability;
  readonly segmentBytesMax: number;
  readonly payloadBytesMax: number;
  readonly batchEventsMax: number;
  readonly batchBytesMax: number;
  readonly queuedBytesMax: number;
  readonly indexCacheBytes: number;
  /** Infinity: only on close and at rotation; null: never. */
  readonly checkpointEveryEvents: number | null;
  /** Whether checkpoints of many entities may be further apart. */
  readonly checkpointStretches: boolean;
  readonly layout: Layout | null;
  readonly readOnly: boolean;
  readonly lockWaitMs: number;
  readonly disk: Disk | null;
  readonly clock: Clock;
  readonly random: Random | null;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const NAMES: ReadonlySet<string> = new Set([
  "events",
  "durability",
  "segmentBytesMax",
  "payloadBytesMax",
  "batchEventsMax",
  "batchBytesMax",
  "queuedBytesMax",
  "indexCacheBytes",
  "checkpoint",
  "layout",
  "readOnly",
  "lockWaitMs",
  "disk",
  "clock",
  "random",
]);

/** Checks the options of `open`. Throws `TypeError` or `RangeError` with `INVALID_ARGUMENT`. */
export function compileOptions(options: unknown): CompiledOptions {
  assertOptions(options, NAMES, "open the store");
  const given = options as StoreOptions;
  const { events = [], layout, readOnly = false, disk, clock, random } = given;
  if (!Array.isArray(events)) throw invalidArgument("Cannot open the store: events is no list, a list of definitions is allowed");
  if (layout !== undefined && layout !== "native" && layout !== "batpak-0.3") {
    throw invalidArgument(`Cannot open the store: layout is ${String(layout)}, "native" and "batpak-0.3" are allowed`);
  }
  assertBoolean(readOnly, "readOnly", "open the store");
  assertDisk(disk, "open the store");
  assertClock(clock, "open the store");
  assertFunction(random, "random", "open the store");
  return {
    events,
    durability: compileDurability(given.durability),
    segmentBytesMax: within(given.segmentBytesMax, "segmentBytesMax", 4 * KIB, GIB, 64 * MIB),
    payloadBytesMax: within(given.payloadBytesMax, "payloadBytesMax", 1, 256 * MIB, 16 * MIB),
    batchEventsMax: within(given.batchEventsMax, "batchEventsMax", 1, 65_536, 4096),
    batchBytesMax: within(given.batchBytesMax, "batchBytesMax", 1, 256 * MIB, 16 * MIB),
    queuedBytesMax: within(given.queuedBytesMax, "queuedBytesMax", 64 * KIB, 4 * GIB, 64 * MIB),
    indexCacheBytes: within(given.indexCacheBytes, "indexCacheBytes", 64 * KIB, 64 * GIB, 256 * MIB),
    checkpointEveryEvents: compileCheckpoint(given.checkpoint),
    checkpointStretches: given.checkpoint === undefined,
    layout: layout ?? null,
    readOnly,
    lockWaitMs: lockWaitOf(given.lockWaitMs),
    disk: disk ?? null,
    clock: clockOrSystem(clock),
    random: random ?? null,
  };
}

export const LOCK_WAIT_MS_MAX = 24 * 3600 * 1000;

/** Checks how long to wait for a writer's lock: up to a day, by default not at all. */
export function lockWaitOf(lockWaitMs: unknown): number {
  return within(lockWaitMs, "lockWaitMs", 0, LOCK_WAIT_MS_MAX, 0);
}

function compileDurability(durability: unknown): Durability {
  if (durability === undefined || durability === "fsync") return { mode: "fsync" };
  if (durability === "os") return { mode: "os" };
  if (typeof durability === "object" && durability !== null && "everyMs" in durability) {
    const { everyMs, everyEvents, ...rest } = durability as { everyMs: unknown; everyEvents?: unknown };
    const unknown = Object.keys(rest)[0];
    if (unknown !== undefined)
      throw invalidArgument(`Cannot open the store: durability has the unknown member ${unknown}, everyMs and everyEvents are allowed`);
    return {
      mode: "interval",
      everyMs: within(everyMs, "durability.everyMs", 1, 3600 * 1000, 1000),
      everyEvents: within(everyEvents, "durability.everyEvents", 1, 1_000_000_000, 10_000),
    };
  }
  throw invalidArgument(
    `Cannot open the store: durability is ${describeValue(durability)}, "fsync", "os" and { everyMs, everyEvents } are allowed`,
  );
}

function compileCheckpoint(checkpoint: unknown): number | null {
  if (checkpoint === false) return null;
  if (checkpoint === undefined) return 100_000;
  if (typeof checkpoint !== "object" || checkpoint === null || Object.keys(checkpoint).some((name) => name !== "everyEvents")) {
    throw invalidArgument(`Cannot open the store: checkpoint is ${describeValue(checkpoint)}, false and { everyEvents } are allowed`);
  }
  return within((checkpoint as { everyEvents?: unknown }).everyEvents, "checkpoint.everyEvents", 1, 1_000_000_000, 100_000);
}

function within(value: unknown, name: string, least: number, most: number, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value !== "number")
    throw invalidArgument(`Cannot open the store: ${name} is ${describeValue(value)}, whole numbers from ${least} to ${most} are allowed`);
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw outOfRange(`Cannot open the store: ${name} is ${value}, whole numbers from ${least} to ${most} are allowed`);
  }
  return value;
}
