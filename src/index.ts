/** batpak: an embedded, append-only, hash-chained event store. */
export { type AnyStoreError, isStoreError, StoreError, type StoreErrorCode, type StoreErrorDetails } from "./base/store-error.ts";
export type { Clock, Random } from "./base/clock.ts";
export type { Disk, DiskFile } from "./disk/disk.ts";
export type { AppendOptions, BatchItem, BatchOptions, EventOptions, EventReading, Receipts } from "./events/append-types.ts";
export type { ConsumerOptions, ConsumerStatus } from "./consuming.ts";
export type { ConsumerPosition } from "./events/consumer-position.ts";
export { type ConversionOptions, type ConversionProgress, type ConversionResult, convertStore } from "./convert.ts";
export type { Coordinate } from "./events/coordinate.ts";
export {
  type AnyDefinition,
  type AnyNewEvent,
  type DefinitionOptions,
  defineEvent,
  type EventDefinition,
  type NewEvent,
  type RawEvent,
  rawEvent,
  type,
} from "./events/definition.ts";
export type { Metadata, PlainEvent, Receipt, TypedEvent } from "./events/event.ts";
export type { Event, EventOf, OtherName, UntypedEvent } from "./events/event-union.ts";
export type { UpcastChain, UpcastStep } from "./events/upcast.ts";
export type { Expectation } from "./events/expectation.ts";
export {
  DATA,
  EFFECT_ACK,
  EFFECT_BACKPRESSURE,
  EFFECT_CANCEL,
  EFFECT_CONFLICT,
  EFFECT_ERROR,
  EFFECT_RETRY,
  SYSTEM_CHECKPOINT,
  SYSTEM_CONFIG_CHANGE,
  SYSTEM_HEARTBEAT,
  SYSTEM_INIT,
  SYSTEM_SHUTDOWN,
  TOMBSTONE,
} from "./events/kind.ts";
export type { Filter, KnownQuery, Query, QueryEvents, Range, ReadOptions, SubscribeOptions } from "./events/query.ts";
export type { ImportOptions, ImportProgress, ImportResult, ImportSource } from "./import.ts";
export type { ImportRecord } from "./import-record.ts";
export type { HandleOptions } from "./handling.ts";
export type { NameListing } from "./name-listing.ts";
export type { OpenReport, OpenRoute, StoreProblem } from "./open-report.ts";
export type { PlacedEvent, PlacedReadOptions } from "./placed-reading.ts";
export type { ProjectionTarget, ProjectOptions, WatchOptions } from "./projecting.ts";
export { type Decider, type DeciderOptions, type Decision, defineDecider, type NewEventOf } from "./projections/decider.ts";
export type { Projected, ProjectProgress } from "./projections/fold.ts";
export {
  defineProjection,
  type Handlers,
  type Projection,
  type ProjectionOptions,
  type SnapshotPolicy,
  type StateOf,
} from "./projections/projection.ts";
export type { StoreSegment } from "./store-segment.ts";
export type { ReactionHandler, ReactionItem, ReactOptions } from "./reacting.ts";
export { Store } from "./store.ts";
export type { Head } from "./store-head.ts";
export type { Layout, StoreOptions } from "./store-options.ts";
export type { CompactOptions, CompactProgress, CompactReport } from "./compacting.ts";
export { compactStore, type CompactStoreOptions } from "./compaction.ts";
export type { SnapshotResult } from "./store-snapshot.ts";
export type { StoreStats } from "./store-stats.ts";
export type { ConsumedEvent, Consumer, ConsumerPlace } from "./subscriptions/consumer.ts";
export type { Subscription } from "./subscriptions/subscription.ts";
export type { VerifyOptions, VerifyProgress, VerifyResult } from "./verify.ts";
export { type RepairOptions, type RepairReport, repairStore } from "./repair.ts";
export type { RepairAction } from "./repair-plan.ts";
