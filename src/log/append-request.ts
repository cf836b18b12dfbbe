/** What somebody asked to append: its events on their way from the door to their places in a group, and whoever waits for them. */
import type { GrowingSink } from "../base/byte-sink.ts";
import type { AnyDefinition } from "../events/definition.ts";
import type { Metadata } from "../events/event.ts";
import type { PromisedReceipts } from "./receipts.ts";
import type { SearchFilter } from "./row-search.ts";

export type ExpectedState =
  | { readonly kind: "none" }
  | { readonly kind: "exists" }
  | { readonly kind: "clock"; readonly clock: number }
  | {
      readonly kind: "noneMatching";
      /** By the kinds that definitions have now: one may get its kind while this waits. */
      filters(): readonly SearchFilter[];
      readonly after: number;
      readonly expected: unknown;
    };

/** A payload as it is stored elsewhere: MessagePack that is taken over byte for byte. */
export class StoredPayload {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** Where an event of another store stood there, for a conversion: it keeps its place. The caller sees to the order. */
export interface Placement {
  readonly clock: number;
  readonly sequence: number;
  /** What the batpak 0.3 layout keeps besides. */
  readonly timestampUs: number | bigint;
  readonly flags: number;
  readonly counter: number;
  readonly depth: number;
  readonly lane: number;
  /** How many keys its frame has that no layout here has a field for. */
  readonly unknownKeys?: number;
}

/**
 * One event, from the door to its place in a group: what was given for it, checked, and where its bytes are staged. One object for all of its
 * way, since a batch has thousands.
 */
export class AppendItem {
  readonly entity: string;
  readonly scope: string;
  /** Of an event made by a definition: known when it is staged. */
  kind: number;
  version: number;
  /** Null for an event of a kind alone, and for system records. */
  readonly definition: AnyDefinition | null;
  /** What is stored: the data as given, until a schema has answered. */
  data: unknown;
  /** Keyed or given; null where the writer issues one. */
  readonly id: Uint8Array | null;
  /** The event that caused it, which must be there. */
  readonly cause: Uint8Array | null;
  /** Given as it is; filled in from the cause by the judge. */
  correlation: Uint8Array | null;
  causation: Uint8Array | null;
  metadata: Metadata | null;
  readonly expected: ExpectedState | null;
  /** Microseconds since the Unix epoch, of an import or a conversion; -1 for now. */
  timeMicros: number;
  /** A system record rather than an event. */
  readonly system: boolean;

  /** The index's ids of its names, where they are known already; -1: to be asked for. */
  entityId = -1;
  scopeId = -1;

  /** Of an import: the name of its kind in the store that it comes from; `kind` is the one that it has there, until it is staged. */
  type: string | null = null;
  /** Of an import: the time that it is to have, in milliseconds since the Unix epoch. */
  givenMs: number | null = null;
  /** Of an import: whether it is the last of its batch although others are appended with it. The last of all is in any case. */
  endsBatch = false;
  /** Null: it gets its place when it is accepted. */
  placement: Placement | null = null;

  /** Of a system record: asked once, when it is accepted. False: what it says is in force already, and it is left out. Null: it is never left out. */
  takesEffect: (() => boolean) | null = null;

  /** From here on what staging fills in. `flags`: the layout's own. */
  flags = 0;
  /** Where its staged bytes begin and how many they are. */
  at = 0;
  length = 0;
  /** Bytes of its metadata; 0 where it has none. */
  metadataLength = 0;
  /** Where its payload's bytes begin, and how many they are. */
  payloadAt = 0;
  payloadLength = 0;

  constructor(
    entity: string,
    scope: string,
    kind: number,
    version: number,
    definition: AnyDefinition | null,
    data: unknown,
    id: Uint8Array | null = null,
    cause: Uint8Array | null = null,
    correlation: Uint8Array | null = null,
    causation: Uint8Array | null = null,
    metadata: Metadata | null = null,
    expected: ExpectedState | null = null,
    timeMicros = -1,
    system = false,
  ) {
    this.entity = entity;
    this.scope = scope;
    this.kind = kind;
    this.version = version;
    this.definition = definition;
    this.data = data;
    this.id = id;
    this.cause = cause;
    this.correlation = correlation;
    this.causation = causation;
    this.metadata = metadata;
    this.expected = expected;
    this.timeMicros = timeMicros;
    this.system = system;
  }

  /** Whether the judge has nothing to say about it: no key, no cause, no expectation. */
  get isPlain(): boolean {
    return this.id === null && this.cause === null && this.expected === null;
  }
}

export interface AppendRequest {
  /** System records first, then the events. */
  items: readonly AppendItem[];
  /** Where the items' bytes are: a sink of the request's own, or null where they lie in the open group already. */
  sink: GrowingSink | null;
  /** Bytes staged. */
  bytes: number;
  /** Whether each of its items is plain. */
  readonly isPlain: boolean;
  /** What conditions found among events before `checkedTo`; filled in by `ready`. */
  readonly conditions: readonly ConditionResult[];
  /** Resolves when everything that needs the disk was looked up; null when there is nothing. */
  readonly ready: Promise<void> | null;
  readonly signal: AbortSignal | null;
  /** How many items at the front are system records. */
  recordCount: number;
  /** It is accepted, so what it teaches is learnt; or it never will be. Null where it teaches nothing. */
  readonly learn: ((accepted: boolean) => void) | null;
  readonly receipts: PromisedReceipts;
}

/** Leaves out the records that say nothing new by now. What is left of the staged bytes is in one piece still. */
export function leaveOutRecords(request: AppendRequest): void {
  const { items, recordCount, sink } = request;
  if (recordCount === 0 || sink === null) return;
  const kept = items.slice(recordCount);
  const end = items[0].at + request.bytes;
  let from = kept.length === 0 ? end : kept[0].at;
  for (let i = recordCount - 1; i >= 0; i--) {
    const record = items[i];
    if (record.takesEffect?.() === false) continue;
    const shift = from - record.length - record.at;
    if (shift > 0) sink.bytes.copyWithin(record.at + shift, record.at, record.at + record.length);
    record.at += shift;
    record.payloadAt += shift;
    from = record.at;
    kept.unshift(record);
  }
  request.recordCount -= items.length - kept.length;
  request.items = kept;
  request.bytes = end - from;
}

/** What the lookups before the judgement found for one condition. */
export interface ConditionResult {
  readonly item: AppendItem;
  /** Sequences before this were looked at. */
  checkedTo: number;
  /** Sequence of an event that matches; -1 when there is none. */
  found: number;
}
