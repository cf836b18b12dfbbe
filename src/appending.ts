/**
 * The door of appending: checks what was given, lets schemas answer, stages the events and hands them to acceptance.
 *
 * An append takes its place in the order of appends when it is encoded: within the call, or when its schema has answered, or, where
 * `queuedBytesMax` is reached, when there is room again.
 */
import { type ByteSink, GrowingSink } from "./base/byte-sink.ts";
import { invalidArgument, StoreError } from "./base/store-error.ts";
import type { AppendOptions, BatchItem, BatchOptions, EventOptions } from "./events/append-types.ts";
import { assertCoordinate, SYSTEM_ENTITY, SYSTEM_SCOPE, type Coordinate } from "./events/coordinate.ts";
import { type AnyNewEvent, assertNewEvent, PendingData, validateData } from "./events/definition.ts";
import type { DefinitionRegistry, Resolution } from "./events/definition-registry.ts";
import type { Metadata, Receipt } from "./events/event.ts";
import { compileExpectation } from "./events/expectation.ts";
import { keyedId, parseId } from "./events/id.ts";
import { SYSTEM_CONFIG_CHANGE } from "./events/kind.ts";
import { utf8 } from "./events/utf8.ts";
import { blake3 } from "./kernel/frame-kernel.ts";
import type { Acceptance } from "./log/acceptance.ts";
import type { AppendItem, AppendRequest, ConditionResult, ExpectedState } from "./log/append-request.ts";
import type { CommitGroup } from "./log/commit-group.ts";
import type { FramePlacer } from "./log/frame-placer.ts";
import { findMatch, type ReadingParts, searchFilter } from "./reading.ts";
import type { CompiledOptions } from "./store-options.ts";

export interface AppendingParts {
  readonly acceptance: Acceptance;
  readonly placer: FramePlacer;
  readonly registry: DefinitionRegistry;
  readonly reading: ReadingParts;
  readonly limits: Pick<CompiledOptions, "payloadBytesMax" | "batchEventsMax" | "batchBytesMax">;
  /** Throws where the store takes no appends. */
  assertWritable(): void;
  /** What the layout cannot store; throws `UNSUPPORTED_BY_LAYOUT`. */
  assertStorable(draft: Draft): void;
}

/** One event to be appended, checked. */
export interface Draft {
  readonly coordinate: Coordinate;
  readonly event: AnyNewEvent;
  data: unknown;
  readonly id: Uint8Array | null;
  readonly cause: Uint8Array | null;
  readonly correlation: Uint8Array | null;
  readonly causation: Uint8Array | null;
  readonly metadata: Metadata | null;
  readonly expected: ExpectedState | null;
  /** Microseconds; -1 for now. */
  readonly timeMicros: number;
}

interface Settle {
  readonly resolve: (receipts: readonly Receipt[]) => void;
  readonly reject: (error: unknown) => void;
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
const BATCH_MEMBERS: ReadonlySet<string> = new Set(["signal"]);
const NO_CONDITIONS: ConditionResult[] = [];
/** Room for a frame beyond its payload: names, ids, metadata's own bound is the payload's. */
const FRAME_ROOM_BYTES = 8192;

export class Appending {
  readonly #parts: AppendingParts;
  /** Resolutions that are staged and neither accepted nor given up. */
  #pending: Resolution[] = [];
  /** Appends whose schemas have not answered yet. */
  readonly #unanswered = new Set<(error: unknown) => void>();

  constructor(parts: AppendingParts) {
    this.#parts = parts;
  }

  /** What a batch may hold at most. */
  get limits(): AppendingParts["limits"] {
    return this.#parts.limits;
  }

  append(coordinate: Coordinate, events: AnyNewEvent | readonly AnyNewEvent[], options: AppendOptions = {}): Promise<Receipt | Receipt[]> {
    const { signal } = options;
    const single = !Array.isArray(events);
    return new Promise((resolve, reject) => {
      this.#parts.assertWritable();
      assertMembers(options, APPEND_MEMBERS, "the options");
      assertSignal(signal);
      const drafts = this.#drafts(coordinate, single ? [events as AnyNewEvent] : (events as readonly AnyNewEvent[]), options);
      const settle = {
        resolve: single
          ? (receipts: readonly Receipt[]) => resolve(receipts[0])
          : (receipts: readonly Receipt[]) => resolve(receipts as Receipt[]),
        reject,
      };
      this.#validate(drafts, signal ?? null, settle);
    });
  }

  appendBatch(items: readonly BatchItem[], options: BatchOptions = {}): Promise<Receipt[]> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      this.#parts.assertWritable();
      assertMembers(options, BATCH_MEMBERS, "the options");
      assertSignal(signal);
      if (!Array.isArray(items)) throw invalidArgument("Cannot append: the batch is no list, a list of { coordinate, event } is allowed");
      const keys = new Set<string>();
      const drafts = items.map((item: BatchItem) => {
        assertMembers(item, ITEM_MEMBERS, "a batch item");
        if (item.idempotencyKey !== undefined) assertNewKey(keys, item);
        return this.#draft(item.coordinate, item.event, item, this.#idOf(item.coordinate, item, 0));
      });
      this.#validate(drafts, signal ?? null, { resolve: (receipts) => resolve(receipts as Receipt[]), reject });
    });
  }

  /** Appends drafts as one batch: the door of import and of the library's own events. */
  appendDrafts(drafts: Draft[], signal: AbortSignal | null): Promise<readonly Receipt[]> {
    return new Promise((resolve, reject) => {
      this.#parts.assertWritable();
      this.#validate(drafts, signal, { resolve, reject });
    });
  }

  /** Rejects what has no place in the order yet because its schema has not answered. */
  rejectUnanswered(error: () => StoreError): void {
    for (const reject of this.#unanswered) reject(error());
    this.#unanswered.clear();
  }

  #drafts(coordinate: Coordinate, events: readonly AnyNewEvent[], options: AppendOptions): Draft[] {
    const drafts: Draft[] = [];
    // What is expected of the entity is judged once, before the first of its events.
    const { expect: _judgedOnce, ...rest } = options;
    for (let i = 0; i < events.length; i++) {
      drafts.push(this.#draft(coordinate, events[i], i === 0 ? options : rest, this.#idOf(coordinate, options, i)));
    }
    return drafts;
  }

  #idOf(coordinate: Coordinate, options: EventOptions, item: number): Uint8Array | null {
    if (options.idempotencyKey === undefined) return null;
    assertCoordinate(coordinate, "append");
    return keyedId(utf8(coordinate.entity), item, options.idempotencyKey, blake3);
  }

  #draft(coordinate: Coordinate, event: AnyNewEvent, options: EventOptions, id: Uint8Array | null): Draft {
    assertCoordinate(coordinate, "append");
    assertNewEvent(event, "append");
    const { causedBy, correlationId, metadata, expect } = options;
    const cause = causedBy === undefined ? null : parseId(causedBy, "append with causedBy");
    const correlation = correlationId === undefined ? null : parseId(correlationId, "append with correlationId");
    if (cause !== null && correlation !== null) {
      throw invalidArgument("Cannot append: both causedBy and correlationId are given, one of them is allowed");
    }
    if (metadata !== undefined && (typeof metadata !== "object" || metadata === null || Array.isArray(metadata))) {
      throw invalidArgument("Cannot append: metadata is no plain object, a plain object is allowed");
    }
    return {
      coordinate,
      event,
      data: undefined,
      id,
      cause,
      correlation,
      causation: null,
      metadata: metadata ?? null,
      expected: expect === undefined ? null : this.#expected(expect),
      timeMicros: -1,
    };
  }

  #expected(expect: NonNullable<EventOptions["expect"]>): ExpectedState | null {
    const compiled = compileExpectation(expect, (definition) => this.#parts.registry.kindsOf(definition), "append");
    if (compiled === null || compiled.kind !== "noneMatching") return compiled;
    return { ...compiled, filters: compiled.filters.map(searchFilter) };
  }

  /** Lets the schemas answer. Until one that is asynchronous has, the append holds up nobody. */
  #validate(drafts: Draft[], signal: AbortSignal | null, settle: Settle): void {
    const { batchEventsMax } = this.#parts.limits;
    if (drafts.length > batchEventsMax) throw tooLarge("the number of events in the batch", drafts.length, batchEventsMax);
    signal?.throwIfAborted();
    let pending: Promise<void>[] | null = null;
    for (const draft of drafts) {
      this.#parts.assertStorable(draft);
      const { definition, data } = draft.event;
      const output = definition === undefined ? data : validateData(definition, data);
      if (output instanceof PendingData) {
        pending ??= [];
        pending.push(
          output.output.then((value) => {
            draft.data = value;
          }),
        );
      } else draft.data = output;
    }
    if (drafts.length === 0) settle.resolve([]);
    else if (pending === null) this.#enter(drafts, signal, settle);
    else this.#awaitAnswers(pending, drafts, signal, settle);
  }

  #awaitAnswers(pending: readonly Promise<void>[], drafts: Draft[], signal: AbortSignal | null, settle: Settle): void {
    const abort = (): void => giveUp(signal?.reason);
    const giveUp = (error: unknown): void => {
      this.#unanswered.delete(giveUp);
      signal?.removeEventListener("abort", abort);
      settle.reject(error);
    };
    this.#unanswered.add(giveUp);
    signal?.addEventListener("abort", abort, { once: true });
    Promise.all(pending).then(() => {
      if (!this.#unanswered.delete(giveUp)) return;
      signal?.removeEventListener("abort", abort);
      try {
        this.#parts.assertWritable();
        this.#enter(drafts, signal, settle);
      } catch (error) {
        settle.reject(error);
      }
    }, giveUp);
  }

  /** Stages the append, or makes it wait for room. */
  #enter(drafts: Draft[], signal: AbortSignal | null, settle: Settle): void {
    const { acceptance } = this.#parts;
    const stage = (): boolean => {
      try {
        return this.#stage(drafts, signal, settle);
      } catch (error) {
        settle.reject(error);
        return true;
      }
    };
    if (acceptance.mustWait || !stage()) acceptance.wait(stage, settle.reject, signal);
  }

  /** Encodes the events and submits them; false when there is no room for so many bytes. */
  #stage(drafts: readonly Draft[], signal: AbortSignal | null, settle: Settle): boolean {
    const { acceptance, registry } = this.#parts;
    const resolutions: Resolution[] = [];
    const kinds = drafts.map(({ event }) => {
      if (event.definition === undefined) return null;
      const resolution = registry.resolve(event.definition, this.#pending);
      if (!this.#pending.includes(resolution) && !resolutions.includes(resolution)) {
        resolutions.push(resolution);
        if (resolution.mustRecord) this.#pending.push(resolution);
      }
      return resolution;
    });
    const lookups = drafts.some(({ expected }) => expected?.kind === "noneMatching");
    let sink: ByteSink | null = null;
    let start = 0;
    try {
      const admitted = acceptance.queuedBytes;
      sink = acceptance.beginStaging(lookups);
      start = sink.position;
      const items: AppendItem[] = [];
      for (const resolution of resolutions) if (resolution.mustRecord) items.push(this.#stageRecord(sink, resolution));
      const recordCount = items.length;
      for (let i = 0; i < drafts.length; i++) items.push(this.#stageEvent(sink, drafts[i], kinds[i]));
      this.#assertBatchBytes(items);
      const bytes = sink.position - start;
      if (!acceptance.admits(bytes, admitted)) {
        acceptance.unstage(sink, start);
        this.#giveUp(resolutions);
        return false;
      }
      this.#submit(items, recordCount, bytes, sink, start, signal, resolutions, settle);
      return true;
    } catch (error) {
      if (sink !== null) acceptance.unstage(sink, start);
      this.#giveUp(resolutions);
      throw error;
    }
  }

  #giveUp(resolutions: readonly Resolution[]): void {
    if (this.#pending.length > 0) this.#pending = this.#pending.filter((resolution) => !resolutions.includes(resolution));
  }

  #stageRecord(sink: ByteSink, resolution: Resolution): AppendItem {
    const { name, kind, version } = resolution;
    return this.#parts.placer.stage(sink, {
      entity: SYSTEM_ENTITY,
      scope: SYSTEM_SCOPE,
      kind: SYSTEM_CONFIG_CHANGE,
      version: 1,
      id: null,
      cause: null,
      correlation: null,
      causation: null,
      metadata: null,
      data: { record: "definition", name, kind, version },
      expected: null,
      timeMicros: -1,
      system: true,
    });
  }

  #stageEvent(sink: ByteSink, draft: Draft, resolution: Resolution | null): AppendItem {
    const { event, coordinate, id, cause, correlation, causation, metadata, data, expected, timeMicros } = draft;
    const { payloadBytesMax } = this.#parts.limits;
    const raw = event.definition === undefined ? event : null;
    if (isGroup(sink)) sink.limit = sink.position + payloadBytesMax + FRAME_ROOM_BYTES + (metadata === null ? 0 : payloadBytesMax);
    const item = this.#parts.placer.stage(sink, {
      entity: coordinate.entity,
      scope: coordinate.scope,
      kind: resolution?.kind ?? (raw?.kind as number),
      version: resolution?.version ?? raw?.version ?? 1,
      id,
      cause,
      correlation,
      causation,
      metadata,
      data,
      expected,
      timeMicros,
      system: false,
    });
    if (item.payloadLength > payloadBytesMax) throw tooLarge("the payload", item.payloadLength, payloadBytesMax);
    return item;
  }

  #assertBatchBytes(items: readonly AppendItem[]): void {
    const { batchBytesMax } = this.#parts.limits;
    if (items.length === 1) return;
    let bytes = 0;
    for (const item of items) bytes += item.payloadLength;
    if (bytes > batchBytesMax) throw tooLarge("the batch", bytes, batchBytesMax);
  }

  #submit(
    items: AppendItem[],
    recordCount: number,
    bytes: number,
    sink: ByteSink,
    start: number,
    signal: AbortSignal | null,
    resolutions: readonly Resolution[],
    settle: Settle,
  ): void {
    const conditions = this.#conditionsOf(items);
    const request: AppendRequest = {
      items,
      sink: isGroup(sink) ? null : (sink as GrowingSink),
      bytes,
      conditions,
      ready: conditions.length === 0 ? null : this.#lookUp(conditions),
      signal,
      recordCount,
      accepted: () => {
        for (const resolution of resolutions) this.#parts.registry.commit(resolution);
        this.#giveUp(resolutions);
      },
      resolve: settle.resolve,
      reject: (error) => {
        this.#giveUp(resolutions);
        settle.reject(error);
      },
    };
    this.#parts.acceptance.submit(request, sink, start);
  }

  #conditionsOf(items: readonly AppendItem[]): ConditionResult[] {
    const conditional = items.filter((item) => item.expected?.kind === "noneMatching");
    if (conditional.length === 0) return NO_CONDITIONS;
    return conditional.map((item) => ({ item, checkedTo: 0, found: -1 }));
  }

  /** Looks through what is visible now; what is accepted meanwhile is looked through when the append is judged. */
  async #lookUp(conditions: readonly ConditionResult[]): Promise<void> {
    const { reading } = this.#parts;
    const bound = reading.index.visible.sequence;
    for (const condition of conditions) {
      const expected = condition.item.expected as Extract<ExpectedState, { kind: "noneMatching" }>;
      const from = expected.after + 1;
      condition.found = await findMatch(reading, expected.filters, from, bound);
      condition.checkedTo = Math.max(from, bound);
    }
  }
}

function isGroup(sink: ByteSink): sink is CommitGroup {
  return !(sink instanceof GrowingSink);
}

function assertNewKey(keys: Set<string>, item: BatchItem): void {
  const key = `${item.coordinate.entity}\0${item.idempotencyKey}`;
  if (keys.has(key)) {
    throw invalidArgument(
      `Cannot append: the key ${item.idempotencyKey} of ${item.coordinate.entity} comes twice in the batch, once is allowed`,
    );
  }
  keys.add(key);
}

function assertMembers(value: unknown, allowed: ReadonlySet<string>, what: string): void {
  if (typeof value !== "object" || value === null) {
    throw invalidArgument(`Cannot append: ${what} is ${value === null ? "null" : typeof value}, an object is allowed`);
  }
  for (const name in value) {
    if (!allowed.has(name))
      throw invalidArgument(`Cannot append: ${what} has the unknown member ${name}, ${[...allowed].join(", ")} are allowed`);
  }
}

function assertSignal(signal: unknown): void {
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw invalidArgument("Cannot append: signal is no AbortSignal, one is allowed");
}

function tooLarge(what: string, bytes: number, bytesMax: number): StoreError<"TOO_LARGE"> {
  const unit = what.startsWith("the number") ? "" : " bytes";
  return new StoreError("TOO_LARGE", `Cannot append: ${what} is ${bytes}${unit}, at most ${bytesMax} is allowed`, {
    what,
    bytes,
    bytesMax,
  });
}
