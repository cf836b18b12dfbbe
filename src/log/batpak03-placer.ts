/**
 * Places events of the batpak 0.3 layout. What is staged is the payload's MessagePack; a frame is written when its event is accepted, whole and
 * with its CRC, since its hash covers the payload only and the previous one is known by then. So sealing a group has nothing left to do.
 *
 * Invariants:
 * 1. A request of several events stands between a BEGIN and a COMMIT, in one segment. Markers are in no table of the group and in no row.
 * 2. `wall_ms` never runs backwards within an entity; `timestamp_us` is the time as it was.
 */
import type { ByteSink } from "../base/byte-sink.ts";
import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { invalidArgument, StoreError } from "../base/store-error.ts";
import type { IdIssuer } from "../events/id.ts";
import { type FrameFields, frameBytesMax } from "../format/batpak03/frame.ts";
import { forgetFrame } from "../format/batpak03/frame-format.ts";
import { BATCH, HASH_BYTES, ID_BYTES, U32_MAX } from "../format/batpak03/layout.ts";
import type { SegmentBuilder } from "../format/batpak03/segment-builder.ts";
import type { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { idTag, viewOfId } from "../index/id-tag.ts";
import { OFFSET_ENDS_BATCH, OFFSET_FOREIGN_ID } from "../index/segment-index.ts";
import type { StoreIndex } from "../index/store-index.ts";
import { blake3 } from "../kernel/frame-kernel.ts";
import type { AppendItem, AppendRequest } from "./append-request.ts";
import type { CommitGroup } from "./commit-group.ts";
import { type FramePlacer, stagePayload } from "./frame-placer.ts";

export interface Batpak03PlacerParts {
  readonly index: StoreIndex;
  readonly clock: Clock;
  readonly ids: IdIssuer;
  /** The segment that the group is written to, in the making. */
  builderOf(group: CommitGroup): SegmentBuilder;
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/** The first millisecond that the time of an id has no room for. */
const TIME_MS_END = 2 ** 48;
const MARKER_BYTES_MAX = frameBytesMax(BATCH.entity, BATCH.scope, 0);

/** What this layout has no room for. */
export function unsupported(operation: string, feature: string, allowed: string): StoreError<"UNSUPPORTED_BY_LAYOUT"> {
  return new StoreError(
    "UNSUPPORTED_BY_LAYOUT",
    `Cannot ${operation}: the batpak 0.3 layout has no room for ${feature}, ${allowed} allowed`,
    { layout: "batpak-0.3", feature },
  );
}

/** Refuses an event that the layout cannot hold. */
export function assertBatpak03Item(item: AppendItem): void {
  const { definition, givenMs } = item;
  if (item.system) throw unsupported("append", "system records", "the store's own records are not");
  if (item.metadata !== null) throw unsupported("append", "metadata", "events without are");
  if (item.version !== 1) throw unsupported("append", `event versions (it is ${item.version})`, "version 1 is");
  if (definition !== null && definition.kind === undefined) {
    throw unsupported(`append ${definition.name}`, "names of events", "definitions with a kind are");
  }
  if (givenMs !== null && givenMs < 0) {
    throw invalidArgument(`Cannot import: wall_ms is ${givenMs}, 0 and later is allowed in the batpak 0.3 layout`);
  }
}

export class Batpak03Placer implements FramePlacer {
  readonly #parts: Batpak03PlacerParts;
  readonly #previousHash = new Uint8Array(HASH_BYTES);
  readonly #issuedId = new Uint8Array(ID_BYTES);
  /** Filled anew for each event. */
  readonly #fields: Mutable<FrameFields>;
  readonly #chain: { prevHash: Uint8Array; eventHash: Uint8Array };
  /** Payloads that were staged where the frames go. */
  #moved = new Uint8Array(0);

  constructor(parts: Batpak03PlacerParts) {
    this.#parts = parts;
    this.#chain = { prevHash: this.#previousHash, eventHash: this.#previousHash };
    this.#fields = {
      eventId: this.#issuedId,
      correlationId: this.#issuedId,
      causationId: null,
      timestampUs: 0,
      wallMs: 0,
      counter: 0,
      depth: 0,
      lane: 0,
      clock: 0,
      payloadSize: 0,
      eventKind: 0,
      flags: 0,
      contentHash: this.#previousHash,
      hashChain: this.#chain,
      entity: "",
      scope: "",
      payloadForm: "bytes",
      payload: this.#moved,
    };
  }

  stage(sink: ByteSink, item: AppendItem): void {
    assert(!item.system, "this layout has no system records");
    item.at = sink.position;
    item.payloadAt = sink.position;
    stagePayload(sink, item.data);
    item.length = sink.position - item.at;
    item.payloadLength = item.length;
  }

  placedBytesMax(request: AppendRequest): number {
    const { items } = request;
    let bytes = items.length > 1 ? 2 * MARKER_BYTES_MAX : 0;
    for (const { entity, scope, payloadLength, endsBatch } of items) {
      bytes += frameBytesMax(entity, scope, payloadLength) + (endsBatch ? 2 * MARKER_BYTES_MAX : 0);
    }
    return bytes;
  }

  /** A store of somebody else's may hold clocks and times that nothing can follow: a clock takes 32 bits, the time of an id 48. */
  refusal({ items }: AppendRequest): Error | null {
    const { entities, heads } = this.#parts.index;
    for (const item of items) {
      const { placement } = item;
      const ownId = item.entityId < 0 ? entities.find(item.entity) : item.entityId;
      const entityId = placement === null ? ownId : -1;
      const isKnown = entityId >= 0 && entityId < heads.count;
      const clock = placement?.clock ?? (isKnown ? heads.clock(entityId) + items.length : 0);
      if (clock > U32_MAX) return unsupported("append", `clocks past ${U32_MAX}`, "lower ones are");
      if (isKnown && heads.timeMicros(entityId) / 1000 >= TIME_MS_END)
        return unsupported("append", `what comes after the millisecond ${TIME_MS_END}`, "earlier times are");
    }
    return null;
  }

  place(group: CommitGroup, request: AppendRequest, inPlace: boolean): void {
    const { items } = request;
    const { clock, index } = this.#parts;
    const builder = this.#parts.builderOf(group);
    group.reserveFrames(items.length);
    const start = items[0].at;
    const staged = inPlace ? this.#moveOut(group, start, request.bytes) : (request.sink?.bytes ?? this.#moved);
    const shift = inPlace ? start : 0;
    const now = clock.nowMicros();
    for (let from = 0, to = 0; from < items.length; from = to) {
      while (!items[to].endsBatch && to < items.length - 1) to++;
      const last = to++;
      const isBatch = last > from;
      if (isBatch) {
        const began = clock.nowMicros();
        const first = items[from].placement?.sequence ?? index.acceptedSequence;
        builder.beginBatch(group, to - from, first, began, Math.floor(began / 1000));
      }
      for (let i = from; i < to; i++) this.#placeItem(group, builder, items[i], staged, shift, now, i === last);
      if (isBatch) {
        const ended = clock.nowMicros();
        builder.commitBatch(group, ended, Math.floor(ended / 1000));
      }
    }
    group.segment.framesEnd = builder.writtenBytes;
    forgetFrame();
  }

  /** Takes the payloads away from the end of the group: frames take their place. */
  #moveOut(group: CommitGroup, start: number, length: number): Uint8Array {
    if (this.#moved.length < length) this.#moved = new Uint8Array(Math.max(length, this.#moved.length * 2, 4096));
    this.#moved.set(group.bytes.subarray(start, start + length));
    group.position = start;
    return this.#moved;
  }

  #placeItem(
    group: CommitGroup,
    builder: SegmentBuilder,
    item: AppendItem,
    staged: Uint8Array,
    shift: number,
    now: number,
    last: boolean,
  ): void {
    const { index } = this.#parts;
    const { heads } = index;
    const entityId = index.entities.intern(item.entity);
    heads.ensure(entityId);
    const { placement } = item;
    const sequence = placement === null ? index.acceptedSequence : placement.sequence;
    const timeMicros = item.timeMicros < 0 ? now : item.timeMicros;
    const ownMs = Math.floor(timeMicros / 1000);
    const wallMs = placement === null ? Math.max(ownMs, Math.floor(heads.timeMicros(entityId) / 1000)) : ownMs;
    const payload = staged.subarray(item.payloadAt - shift, item.payloadAt - shift + item.payloadLength);
    const fields = this.#fill(item, payload, entityId, timeMicros, wallMs);
    const at = group.position;
    const { offset, length } = builder.append(group, fields, sequence);
    heads.setHashBytes(entityId, this.#chain.eventHash);
    const scopeId = index.internScope(item.scope, sequence);
    group.scopeIds[group.frames] = scopeId;
    group.kinds[group.frames] = item.kind;
    this.#enterFrame(group, at, length, entityId, sequence);
    const flagged = (offset | (last ? OFFSET_ENDS_BATCH : 0) | OFFSET_FOREIGN_ID) >>> 0;
    (group.segment.index as ActiveSegmentIndex).pushValues(
      entityId,
      scopeId,
      item.kind,
      fields.clock,
      flagged,
      wallMs * 1000,
      tagOf(fields.eventId),
      tagOf(fields.correlationId),
      fields.causationId === null ? 0 : tagOf(fields.causationId),
      sequence,
      heads.sequence(entityId),
    );
    heads.accept(entityId, fields.clock, sequence, wallMs * 1000);
    index.lastTimeMicros = Math.max(index.lastTimeMicros, wallMs * 1000);
    index.acceptedSequence = sequence + 1;
    group.segment.nextSequence = sequence + 1;
    group.nextSequence = sequence + 1;
  }

  #fill(item: AppendItem, payload: Uint8Array, entityId: number, timestampUs: number, wallMs: number): FrameFields {
    const { heads } = this.#parts.index;
    const fields = this.#fields;
    if (item.id === null) this.#parts.ids.issue(wallMs, this.#issuedId, 0);
    const id = item.id ?? this.#issuedId;
    const hash = blake3(payload);
    this.#previousHash.set(heads.hash(entityId));
    this.#chain.eventHash = hash;
    fields.eventId = id;
    fields.correlationId = item.correlation ?? id;
    fields.causationId = item.causation ?? item.cause;
    fields.timestampUs = item.placement?.timestampUs ?? timestampUs;
    fields.wallMs = wallMs;
    fields.flags = item.placement?.flags ?? 0;
    fields.counter = item.placement?.counter ?? 0;
    fields.depth = item.placement?.depth ?? 0;
    fields.lane = item.placement?.lane ?? 0;
    fields.clock = item.placement?.clock ?? heads.clock(entityId) + 1;
    fields.payloadSize = payload.length;
    fields.eventKind = item.kind;
    fields.contentHash = hash;
    fields.entity = item.entity;
    fields.scope = item.scope;
    fields.payload = payload;
    return fields;
  }

  #enterFrame(group: CommitGroup, at: number, length: number, entityId: number, sequence: number): void {
    const { kernel, frames } = group;
    kernel.offsets[frames] = at;
    kernel.lengths[frames] = length;
    kernel.links[frames] = -1;
    group.entityIds[frames] = entityId;
    group.sequences[frames] = sequence;
    group.frames = frames + 1;
    group.segment.frames++;
  }

  seal(): void {}
}

function tagOf(id: Uint8Array): number {
  return idTag(viewOfId(id), 0);
}
