/**
 * The door of appending: checks what was given, lets schemas answer, stages the events and hands them to acceptance.
 *
 * An append takes its place in the order of appends when it is encoded: within the call, or when its schema has answered, or, where
 * `queuedBytesMax` is reached, when there is room again.
 *
 * Nothing that waits for the disk leads back to what was given: an append in flight keeps its promise alive and none of its events.
 */
import { isDate, isUint8Array } from "node:util/types";
import { assertMembers, assertSignal } from "./base/arguments.ts";
import { type ByteSink, GrowingSink } from "./base/byte-sink.ts";
import { describeValue } from "./base/describe-value.ts";
import { onAbort } from "./base/on-abort.ts";
import { invalidArgument, StoreError } from "./base/store-error.ts";
import type { AppendOptions, BatchItem, BatchOptions, EventOptions } from "./events/append-types.ts";
import { assertCoordinate, SYSTEM_ENTITY, SYSTEM_SCOPE, type Coordinate } from "./events/coordinate.ts";
import { type AnyNewEvent, checkNewEvent, PendingData, validateData } from "./events/definition.ts";
import type { DefinitionRegistry, Resolution } from "./events/definition-registry.ts";
import type { Receipt } from "./events/event.ts";
import { compileExpectation } from "./events/expectation.ts";
import { compileQuery, copyQuery } from "./events/query.ts";
import { keyedId, parseId } from "./events/id.ts";
import { DATA, SYSTEM_CHECKPOINT, SYSTEM_CONFIG_CHANGE } from "./events/kind.ts";
import { takeSeenCause } from "./events/seen-cause.ts";
import { clampGivenTimes } from "./given-times.ts";
import { blake3 } from "./kernel/frame-kernel.ts";
import type { Acceptance, KeptPlace } from "./log/acceptance.ts";
import { AppendItem, type ConditionResult, type ExpectedState } from "./log/append-request.ts";
import { CommitGroup } from "./log/commit-group.ts";
import type { FramePlacer } from "./log/frame-placer.ts";
import { PromisedReceipts } from "./log/receipts.ts";
import type { SearchFilter } from "./log/row-search.ts";
import { consumerRecordPayload, type ConsumerRecord } from "./log/records-in-force.ts";
import { findMatch } from "./counting.ts";
import { type ReadingParts, searchFilter } from "./reading.ts";
import type { CompiledOptions } from "./store-options.ts";

export interface AppendingParts {
  readonly acceptance: Acceptance;
  readonly placer: FramePlacer;
  readonly registry: DefinitionRegistry;
  readonly reading: ReadingParts;
  readonly limits: Pick<CompiledOptions, "payloadBytesMax" | "batchEventsMax" | "batchBytesMax">;
  /** Throws where the store takes no appends. */
  assertWritable(): void;
  /** The positions of consumers that the log has, by name. Kept up to date here. */
  readonly positions: Map<string, number>;
  /** What the layout cannot store; throws `UNSUPPORTED_BY_LAYOUT`. */
  assertStorable(item: AppendItem): void;
  /** Whether no event is stored with an earlier time than what is before it; else an entity's times run forward, and the frame keeps both. */
  readonly clampsTimes: boolean;
}

const APPEND_MEMBERS: ReadonlySet<string> = new Set(["expect", "idempotencyKey", "causedBy", "correlationId", "metadata", "signal"]);
const ITEM_MEMBERS: ReadonlySet<string> = new Set([
  "coordinate",
  "event",
  "expect",
  "idempotencyKey",
  "causedBy",
  "correlationId",
  "metadata",
]);
const BATCH_MEMBERS: ReadonlySet<string> = new Set(["signal", "commit"]);
const NO_OPTIONS = {};
const ANY_EVENT: AnyNewEvent = { kind: DATA, data: null };
const NO_CONDITIONS: readonly ConditionResult[] = [];
const NO_ITEMS: readonly AppendItem[] = [];
const NO_RESOLUTIONS: readonly Resolution[] = [];
/** Room for a frame beyond its payload: names, ids, metadata's own bound is the payload's. */
const FRAME_ROOM_BYTES = 8192;

export class Appending {
  readonly #parts: AppendingParts;
  /** Resolutions that are staged and neither accepted nor given up. */
  #pending: readonly Resolution[] = NO_RESOLUTIONS;
  /** Appends whose schemas have not answered yet. */
  readonly #unanswered = new Map<(error: unknown) => void, readonly AppendItem[]>();

  constructor(parts: AppendingParts) {
    this.#parts = parts;
  }

  /** Throws where the layout cannot store the event. */
  assertStorable(item: AppendItem): void {
    this.#parts.assertStorable(item);
  }

  /** What a batch may hold at most. */
  get limits(): AppendingParts["limits"] {
    return this.#parts.limits;
  }

  /** @param place where the append is to stand, if it is encoded within the call; what its schemas and getters append waits behind it */
  append(
    coordinate: Coordinate,
    events: AnyNewEvent | readonly AnyNewEvent[],
    options: AppendOptions = NO_OPTIONS,
    place: KeptPlace | null = null,
  ): Promise<Receipt | Receipt[]> {
    const single = !Array.isArray(events);
    const receipts = new PromisedReceipts(single);
    try {
      this.#parts.assertWritable();
      if (options !== NO_OPTIONS) assertMembers(options, APPEND_MEMBERS, "the options", "append");
      assertSignal(options.signal, "append");
      // An empty list that is pushed to makes room for seventeen.
      const items = single ? [this.#item(coordinate, events as AnyNewEvent, options, 0, null)] : ([] as AppendItem[]);
      if (!single) {
        for (const event of events as readonly AnyNewEvent[]) items.push(this.#item(coordinate, event, options, items.length, null));
        // What is wrong with the call is so without an event, too.
        if (items.length === 0) this.#item(coordinate, ANY_EVENT, options, 0, null);
      }
      this.#validate(items, options.signal ?? null, receipts, place);
    } catch (error) {
      receipts.reject(error);
    }
    return receipts.promise as Promise<Receipt | Receipt[]>;
  }

  appendBatch(items: readonly BatchItem[], options: BatchOptions = NO_OPTIONS): Promise<Receipt[]> {
    const receipts = new PromisedReceipts(false);
    try {
      this.#parts.assertWritable();
      assertMembers(options, BATCH_MEMBERS, "the options", "append");
      assertSignal(options.signal, "append");
      if (!Array.isArray(items)) throw invalidArgument("Cannot append: the batch is no list, a list of { coordinate, event } is allowed");
      const keys = new Set<string>();
      const checked: AppendItem[] = options.commit === undefined ? [] : [this.#positionItem(options.commit, false)];
      for (const item of items as readonly BatchItem[]) {
        assertMembers(item, ITEM_MEMBERS, "a batch item", "append");
        const event = this.#item(item.coordinate, item.event, item, 0, keys);
        takeSeenCause(event, item);
        checked.push(event);
      }
      this.#validate(checked, options.signal ?? null, receipts);
    } catch (error) {
      receipts.reject(error);
    }
    return receipts.promise as Promise<Receipt[]>;
  }

  /** Appends checked events as one batch: the door of import and of the library's own events. */
  appendItems(items: readonly AppendItem[], signal: AbortSignal | null): Promise<readonly Receipt[]> {
    const receipts = new PromisedReceipts(false);
    try {
      this.#parts.assertWritable();
      this.#validate(items, signal, receipts);
    } catch (error) {
      receipts.reject(error);
    }
    return receipts.promise as Promise<Receipt[]>;
  }

  /** Appends a consumer's position alone. `goesBack`: also where it is further by now; else it resolves then, when that one is there. */
  async appendPosition(record: ConsumerRecord, goesBack: boolean): Promise<void> {
    await this.appendItems([this.#positionItem(record, goesBack)], null);
  }

  /** Rejects what has no place in the order yet because its schema has not answered. */
  rejectUnanswered(error: () => StoreError): void {
    for (const reject of this.#unanswered.keys()) reject(error());
    this.#unanswered.clear();
  }

  /** Checks one event. `position`: among those that its key covers. `keys`: those of the batch so far; null where one key covers all. */
  #item(coordinate: Coordinate, event: AnyNewEvent, options: EventOptions, position: number, keys: Set<string> | null): AppendItem {
    if (typeof coordinate !== "object" || coordinate === null) assertCoordinate(coordinate, "append");
    const { entity, scope } = coordinate;
    const { entities, scopes } = this.#parts.reading.index;
    // A name that the store knows was checked when it was new.
    const entityId = entities.recentId(entity);
    const scopeId = scopes.recentId(scope);
    if (entityId < 0 || scopeId < 0 || entity === SYSTEM_ENTITY) assertCoordinate({ entity, scope }, "append");
    const { idempotencyKey, causedBy, correlationId, metadata, expect } = options;
    let id: Uint8Array | null = null;
    if (idempotencyKey !== undefined) {
      if (keys !== null) assertNewKey(keys, entity, idempotencyKey);
      id = keyedId(entity, position, idempotencyKey, blake3);
    }
    const { definition, kind, version, data } = checkNewEvent(event, "append");
    const cause = causedBy === undefined ? null : parseId(causedBy, "append with causedBy");
    const correlation = correlationId === undefined ? null : parseId(correlationId, "append with correlationId");
    if (cause !== null && correlation !== null) {
      throw invalidArgument("Cannot append: both causedBy and correlationId are given, one of them is allowed");
    }
    if (metadata !== undefined) assertMetadata(metadata);
    // What is expected of the entity is judged once, before the first of its events.
    const expected = expect === undefined || position > 0 ? null : this.#expected(expect);
    const item = new AppendItem(entity, scope, kind, version, definition, data, id, cause, correlation, null, metadata ?? null, expected);
    item.entityId = entityId;
    item.scopeId = scopeId;
    return item;
  }

  #expected(expect: NonNullable<EventOptions["expect"]>): ExpectedState | null {
    const compiled = compileExpectation(expect, "append");
    if (compiled === null || compiled.kind !== "noneMatching") return compiled;
    const { registry } = this.#parts;
    const { kind, after, expected } = compiled;
    const query = copyQuery(compiled.query);
    const compile = (): readonly SearchFilter[] =>
      compileQuery(query, (definition) => registry.kindsOf(definition), "append").map(searchFilter);
    return { kind, filters: registry.untilLearnt(compile), after, expected };
  }

  /** Lets the schemas answer. Until one that is asynchronous has, the append holds up nobody. */
  #validate(items: readonly AppendItem[], signal: AbortSignal | null, receipts: PromisedReceipts, place: KeptPlace | null = null): void {
    const { batchEventsMax } = this.#parts.limits;
    if (items.length > batchEventsMax) throw tooLarge("the number of events in the batch", items.length, batchEventsMax);
    signal?.throwIfAborted();
    let pending: Promise<void>[] | null = null;
    for (const item of items) {
      this.#parts.assertStorable(item);
      if (item.definition === null) continue;
      const output = validateData(item.definition, item.data);
      if (output instanceof PendingData) {
        pending ??= [];
        const noted = noteOutput(item, output);
        // An event after it may be refused at once, and nobody waits for this one then.
        noted.catch(() => {});
        pending.push(noted);
      } else item.data = output;
    }
    if (items.length === 0) receipts.resolve([]);
    else if (pending === null) this.#enter(items, signal, receipts, place);
    else this.#awaitAnswers(pending, items, signal, receipts);
  }

  #awaitAnswers(
    pending: readonly Promise<void>[],
    items: readonly AppendItem[],
    signal: AbortSignal | null,
    receipts: PromisedReceipts,
  ): void {
    const giveUp = (error: unknown): void => {
      this.#unanswered.delete(giveUp);
      cancel();
      receipts.reject(error);
    };
    const cancel = onAbort(signal, () => giveUp(signal?.reason));
    this.#unanswered.set(giveUp, items);
    if (signal?.aborted === true) return giveUp(signal.reason);
    Promise.all(pending).then(() => {
      if (!this.#unanswered.delete(giveUp)) return;
      cancel();
      try {
        this.#parts.assertWritable();
        this.#enter(items, signal, receipts, null);
      } catch (error) {
        receipts.reject(error);
      }
    }, giveUp);
  }

  /** Stages the append, or makes it wait for room. */
  #enter(items: readonly AppendItem[], signal: AbortSignal | null, receipts: PromisedReceipts, place: KeptPlace | null): void {
    const { acceptance } = this.#parts;
    if ((acceptance.mustWait && place?.isKept !== true) || !this.#tryStage(items, signal, receipts)) {
      acceptance.wait(() => this.#tryStage(items, signal, receipts), receipts, signal);
    }
  }

  #tryStage(items: readonly AppendItem[], signal: AbortSignal | null, receipts: PromisedReceipts): boolean {
    try {
      return this.#stage(items, signal, receipts);
    } catch (error) {
      receipts.reject(error);
      return true;
    }
  }

  /** Encodes the events and submits them; false when there is no room for so many bytes. */
  #stage(events: readonly AppendItem[], signal: AbortSignal | null, receipts: PromisedReceipts): boolean {
    const { acceptance, clampsTimes, reading } = this.#parts;
    if (events[0].givenMs !== null && clampsTimes) {
      // The store's last time is known once everything before it is accepted.
      if (!acceptance.isCaughtUp) return false;
      clampGivenTimes(events, reading.index.lastTimeMicros);
    }
    const resolutions = this.#resolve(events);
    let sink: ByteSink | null = null;
    let start = 0;
    try {
      const records =
        resolutions.length === 0
          ? NO_ITEMS
          : resolutions.filter(({ mustRecord }) => mustRecord).map((resolution) => this.#recordItem(resolution));
      // A record of this moment would be later than an imported event, which comes behind it.
      for (const record of records) record.timeMicros = events[0].timeMicros;
      const items = records.length === 0 ? events : [...records, ...events];
      const recordCount = records.length + (events[0].system ? 1 : 0);
      const conditions = conditionsOf(items);
      const admitted = acceptance.queuedBytes;
      sink = acceptance.beginStaging(conditions.length > 0 || recordCount > 0);
      start = sink.position;
      const isPlain = this.#encode(items, sink);
      // A getter may have aborted it: whoever waits was told so, and nobody listens before it is submitted.
      signal?.throwIfAborted();
      const bytes = sink.position - start;
      if (!acceptance.admits(bytes, admitted)) {
        acceptance.unstage(sink, start);
        this.#giveUp(resolutions);
        return false;
      }
      const request = {
        items,
        sink: sink instanceof GrowingSink ? sink : null,
        bytes,
        isPlain,
        conditions,
        ready: conditions.length === 0 ? null : this.#lookUp(conditions),
        signal,
        recordCount,
        learn: resolutions.length === 0 ? null : this.#learner(resolutions),
        receipts,
      };
      acceptance.submit(request, sink, start);
      return true;
    } catch (error) {
      if (sink !== null) acceptance.unstage(sink, start);
      this.#giveUp(resolutions);
      throw error;
    }
  }

  /** Gives events of definitions, and imported ones with names, their kinds. Returns what is to be learnt when they are accepted: nothing, mostly. */
  #resolve(events: readonly AppendItem[]): readonly Resolution[] {
    const { registry, acceptance } = this.#parts;
    // Taken over at the end only: a batch that is refused claims nothing.
    let pending = this.#pending;
    let learning = NO_RESOLUTIONS;
    let last: Resolution | null = null;
    // Of events by number, which are not in the log yet.
    const isTaken = (kind: number): boolean =>
      isAmong(events, kind) ||
      acceptance.hasStagedKind(kind) ||
      Array.from(this.#unanswered.values()).some((items) => isAmong(items, kind));
    for (const event of events) {
      const { definition, type } = event;
      if (definition === null && type === null) continue;
      if (last === null || !isFor(last, event)) {
        last =
          learning.find((resolution) => isFor(resolution, event)) ??
          (definition === null
            ? registry.resolveName(type as string, event.version, event.kind, pending, isTaken)
            : registry.resolve(definition, pending, isTaken));
        if (!registry.isRecorded(last) && !learning.includes(last)) {
          learning = [...learning, last];
          if (last.mustRecord || last.definition !== null) pending = [...pending, last];
        }
      }
      event.kind = last.kind;
      event.version = last.version;
    }
    this.#pending = pending;
    return learning;
  }

  #learner(resolutions: readonly Resolution[]): (accepted: boolean) => void {
    return (accepted) => {
      if (accepted) for (const resolution of resolutions) this.#parts.registry.commit(resolution);
      this.#giveUp(resolutions);
    };
  }

  #recordItem(resolution: Resolution): AppendItem {
    const { name, kind, version } = resolution;
    const item = systemItem(SYSTEM_CONFIG_CHANGE, { record: "definition", name, kind, version });
    // Of those that wait side by side only the first to be accepted brings it.
    item.takesEffect = () => !this.#parts.registry.isRecorded(resolution);
    return item;
  }

  /** The record of a consumer's position: it stands before the events of its batch. */
  #positionItem(record: ConsumerRecord, goesBack: boolean): AppendItem {
    const { consumer, position } = record;
    const item = systemItem(SYSTEM_CHECKPOINT, consumerRecordPayload(record));
    // Which of those under way is the furthest is known when each is accepted: before, any of them may be refused.
    item.takesEffect = () => {
      const { positions } = this.#parts;
      if (!goesBack && (position ?? -1) <= (positions.get(consumer) ?? -1)) return false;
      if (position === null) positions.delete(consumer);
      else positions.set(consumer, position);
      return true;
    };
    return item;
  }

  #giveUp(resolutions: readonly Resolution[]): void {
    if (this.#pending.length > 0) this.#pending = this.#pending.filter((resolution) => !resolutions.includes(resolution));
  }

  /** Encodes the items at the sink's position; tells whether all of them are plain. */
  #encode(items: readonly AppendItem[], sink: ByteSink): boolean {
    const { placer, limits } = this.#parts;
    const { payloadBytesMax, batchBytesMax } = limits;
    const group = sink instanceof CommitGroup ? sink : null;
    let batchBytes = 0;
    let isPlain = true;
    for (let i = 0; i < items.length; i++) {
      const item = items[i];
      if (group !== null) {
        group.limitName = item.metadata === null ? "the payload" : "the payload with the metadata";
        group.limitBytesMax = item.metadata === null ? payloadBytesMax : 2 * payloadBytesMax;
        group.limit = group.position + group.limitBytesMax + FRAME_ROOM_BYTES;
      }
      placer.stage(sink, item);
      const { payloadLength, metadataLength } = item;
      if (payloadLength > payloadBytesMax) throw tooLarge("the payload", payloadLength, payloadBytesMax);
      if (metadataLength > payloadBytesMax) throw tooLarge("the metadata", metadataLength, payloadBytesMax);
      batchBytes += payloadLength + metadataLength;
      if (i > 0 && batchBytes > batchBytesMax) throw tooLarge("the batch", batchBytes, batchBytesMax);
      isPlain &&= item.isPlain;
    }
    return isPlain;
  }

  /** Looks through what is visible now; what is accepted meanwhile is looked through when the append is judged. */
  async #lookUp(conditions: readonly ConditionResult[]): Promise<void> {
    const { reading } = this.#parts;
    const bound = reading.index.visible.sequence;
    for (const condition of conditions) {
      const expected = condition.item.expected as Extract<ExpectedState, { kind: "noneMatching" }>;
      const from = expected.after + 1;
      condition.found = await findMatch(reading, expected.filters(), from, bound);
      condition.checkedTo = Math.max(from, bound);
    }
  }
}

async function noteOutput(item: AppendItem, pending: PendingData): Promise<void> {
  item.data = await pending.output;
}

function isAmong(events: readonly AppendItem[], kind: number): boolean {
  return events.some((event) => event.definition === null && event.type === null && event.kind === kind);
}

function isFor(resolution: Resolution, { definition, type, version }: AppendItem): boolean {
  if (resolution.definition !== definition) return false;
  return definition !== null || (resolution.name === type && resolution.version === version);
}

function systemItem(kind: number, data: unknown): AppendItem {
  return new AppendItem(SYSTEM_ENTITY, SYSTEM_SCOPE, kind, 1, null, data, null, null, null, null, null, null, -1, true);
}

function conditionsOf(items: readonly AppendItem[]): readonly ConditionResult[] {
  let conditions: ConditionResult[] | null = null;
  for (const item of items) {
    if (item.expected === null || item.expected.kind !== "noneMatching") continue;
    conditions ??= [];
    conditions.push({ item, checkedTo: 0, found: -1 });
  }
  return conditions ?? NO_CONDITIONS;
}

function assertNewKey(keys: Set<string>, entity: string, idempotencyKey: string): void {
  // Either may hold any character: the length tells where one ends.
  const key = `${entity.length}:${entity}${idempotencyKey}`;
  if (keys.has(key)) {
    throw invalidArgument(`Cannot append: the key ${idempotencyKey} of ${entity} comes twice in the batch, once is allowed`);
  }
  keys.add(key);
}

/** An object of members: other classes than these are refused where it is encoded, by their names. */
function assertMetadata(metadata: unknown): void {
  if (typeof metadata === "object" && metadata !== null && !Array.isArray(metadata) && !isDate(metadata) && !isUint8Array(metadata)) return;
  throw invalidArgument(`Cannot append: metadata is ${describeValue(metadata)}, a plain object is allowed`);
}

function tooLarge(what: string, bytes: number, bytesMax: number): StoreError<"TOO_LARGE"> {
  const unit = what.startsWith("the number") ? "" : " bytes";
  return new StoreError("TOO_LARGE", `Cannot append: ${what} is ${bytes}${unit}, at most ${bytesMax} is allowed`, {
    what,
    bytes,
    bytesMax,
  });
}
