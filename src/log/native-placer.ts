/**
 * Places events of the native layout. A frame is staged with everything that the caller gave; placing fills in clock, sequence, time, id
 * and links, and moves the accepted heads on; sealing hashes and checksums the whole group in one call of the kernel.
 *
 * A frame whose entity has an earlier frame in the same group is linked to it, since that one's hash is not known before the group is
 * sealed; any other takes its previous hash from the head. The seal writes the last hash of each entity back into its head.
 */
import type { ByteSink } from "../base/byte-sink.ts";
import type { Clock } from "../base/clock.ts";
import { grownColumn } from "../base/column-bytes.ts";
import type { IdIssuer } from "../events/id.ts";
import { beginFrame, endFrame, markFrame, segmentSeed, stampFrame, stampSynced } from "../format/native/frame.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import type { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { HEAD_PLACE } from "../index/head-layout.ts";
import { idTag } from "../index/id-tag.ts";
import { OFFSET_ENDS_BATCH, OFFSET_FOREIGN_ID } from "../index/segment-index.ts";
import type { StoreIndex } from "../index/store-index.ts";
import type { AppendItem, AppendRequest } from "./append-request.ts";
import type { CommitGroup } from "./commit-group.ts";
import { type FramePlacer, stagePayload } from "./frame-placer.ts";

export interface NativePlacerParts {
  readonly index: StoreIndex;
  readonly storeId: Uint8Array;
  readonly clock: Clock;
  readonly ids: IdIssuer;
  /** The offset up to which the segment is synced now. */
  syncedOffset(segmentId: number): number;
}

export class NativePlacer implements FramePlacer {
  readonly #parts: NativePlacerParts;
  readonly #index: StoreIndex;
  /** Per entity: its last frame in the open group, and one; 0 where it has none. */
  #openFrame = new Uint32Array(64);
  #seed = 0;
  #seedSegment = -1;

  constructor(parts: NativePlacerParts) {
    this.#parts = parts;
    this.#index = parts.index;
  }

  stage(sink: ByteSink, item: AppendItem): void {
    const { metadata } = item;
    let flags = 0;
    if (item.correlation !== null || item.cause !== null) flags |= FRAME_FLAG.correlation;
    if (item.causation !== null || item.cause !== null) flags |= FRAME_FLAG.causation;
    if (metadata !== null) flags |= FRAME_FLAG.metadata;
    if (item.id !== null) flags |= FRAME_FLAG.foreignId;
    if (item.system) flags |= FRAME_FLAG.system;
    item.flags = flags;
    const at = beginFrame(sink, item);
    if (metadata !== null) item.metadataLength = stageMetadata(sink, metadata);
    const payloadAt = sink.position;
    stagePayload(sink, item.data);
    item.at = at;
    item.payloadAt = payloadAt;
    item.payloadLength = sink.position - payloadAt;
    item.length = endFrame(sink, at);
  }

  placedBytesMax(request: AppendRequest): number {
    return request.bytes;
  }

  place(group: CommitGroup, request: AppendRequest, inPlace: boolean): void {
    const { items, sink } = request;
    group.reserveFrames(items.length);
    if (!inPlace && sink !== null) copyStaged(group, request);
    const now = this.#parts.clock.nowMicros();
    const { segment, view } = group;
    for (let i = 0; i < items.length; i++) {
      this.#placeItem(group, items[i], now, i === items.length - 1 || items[i].endsBatch);
      if (!items[i].system && items[i].id !== null) (segment.index as ActiveSegmentIndex).noteForeignId(view, items[i].at + FRAME.id);
    }
    segment.frames += items.length;
    segment.framesEnd = group.baseOffset + group.position;
    segment.nextSequence = this.#index.acceptedSequence;
    group.nextSequence = this.#index.acceptedSequence;
  }

  #placeItem(group: CommitGroup, item: AppendItem, now: number, last: boolean): void {
    const index = this.#index;
    const { heads } = index;
    const { view, bytes, frames } = group;
    const { at, system, id, correlation } = item;
    const entityId = item.entityId < 0 ? index.entities.intern(item.entity) : item.entityId;
    heads.ensure(entityId);
    const head = heads.numbersToWrite(entityId);
    const headAt = heads.places(entityId);
    const { placement } = item;
    const sequence = placement === null ? index.acceptedSequence : placement.sequence;
    const clock = placement === null ? head[headAt + HEAD_PLACE.clock] + 1 : placement.clock;
    const previousSequence = head[headAt + HEAD_PLACE.sequence];
    const ownMicros = item.timeMicros < 0 ? now : item.timeMicros;
    const timeMicros = placement === null ? Math.max(ownMicros, index.lastTimeMicros) : ownMicros;
    const offset = group.baseOffset + at;
    // How far back the segment is synced is known when the group is sealed.
    stampFrame(view, at, clock, sequence, timeMicros, 0);
    if (id === null) this.#parts.ids.issue(Math.floor(timeMicros / 1000), bytes, at + FRAME.id);
    else bytes.set(id, at + FRAME.id);
    this.#link(group, at, item.length, entityId);
    group.entityIds[frames] = entityId;
    group.previousSequences[frames] = previousSequence;
    group.previousTimes[frames] = head[headAt + HEAD_PLACE.timeMicros];
    group.sequences[frames] = system ? -1 : sequence;
    group.frames = frames + 1;
    if (last) markFrame(view, at);
    const correlationTag = writeId(bytes, view, at, correlation, FRAME.variable);
    const causationTag = writeId(bytes, view, at, item.causation ?? item.cause, FRAME.variable + (correlation === null ? 0 : 16));
    head[headAt + HEAD_PLACE.clock] = clock;
    head[headAt + HEAD_PLACE.timeMicros] = timeMicros;
    if (timeMicros > index.lastTimeMicros) index.lastTimeMicros = timeMicros;
    if (system) return;
    const tag = idTag(view, at + FRAME.id);
    const flagged = (offset | (last ? OFFSET_ENDS_BATCH : 0) | (id === null ? 0 : OFFSET_FOREIGN_ID)) >>> 0;
    // A scope that compaction emptied begins anew.
    const isScopeKnown = item.scopeId >= 0 && index.scopeFirstSequence[item.scopeId] <= sequence;
    const scopeId = isScopeKnown ? item.scopeId : index.internScope(item.scope, sequence);
    group.scopeIds[frames] = scopeId;
    group.kinds[frames] = item.kind;
    const rows = group.segment.index as ActiveSegmentIndex;
    rows.pushValues(
      entityId,
      scopeId,
      item.kind,
      clock,
      flagged,
      timeMicros,
      tag,
      correlationTag === 0 ? tag : correlationTag,
      causationTag,
      sequence,
      previousSequence,
    );
    head[headAt + HEAD_PLACE.sequence] = sequence;
    index.acceptedSequence = sequence + 1;
  }

  /** Enters the frame in the kernel's table, and gives it its previous hash or the link to where that will be. */
  #link(group: CommitGroup, at: number, length: number, entityId: number): void {
    const { kernel, frames } = group;
    if (entityId >= this.#openFrame.length) this.#growOpenFrames();
    const link = this.#openFrame[entityId] - 1;
    kernel.offsets[frames] = at;
    kernel.lengths[frames] = length;
    kernel.links[frames] = link;
    this.#openFrame[entityId] = frames + 1;
    if (link >= 0) return;
    this.#index.heads.copyHash(entityId, group.view, at + FRAME.previousHash);
  }

  #growOpenFrames(): void {
    this.#openFrame = grownColumn(this.#openFrame, Math.max(this.#openFrame.length * 2, this.#index.heads.count));
  }

  seal(group: CommitGroup): void {
    if (this.#seedSegment !== group.segment.id) {
      this.#seedSegment = group.segment.id;
      this.#seed = segmentSeed(this.#parts.storeId, group.segment.id);
    }
    const { view, kernel, frames, entityIds, sequences } = group;
    const { offsets, lengths } = kernel;
    const unsynced = group.baseOffset - this.#parts.syncedOffset(group.segment.id);
    for (let frame = 0; frame < frames; frame++) stampSynced(view, offsets[frame], unsynced + offsets[frame]);
    kernel.seal(frames, this.#seed, group.baseOffset);
    const { heads } = this.#index;
    const rows = group.segment.index as ActiveSegmentIndex;
    for (let frame = 0; frame < frames; frame++) {
      const entityId = entityIds[frame];
      if (this.#openFrame[entityId] !== frame + 1) continue;
      this.#openFrame[entityId] = 0;
      const hashAt = offsets[frame] + lengths[frame] - FRAME.hashBytes;
      heads.setHash(entityId, view, hashAt);
      // No frame of a later group is placed yet, so the entity's last row is this one's.
      if (sequences[frame] >= 0) rows.noteLast(entityId, view, offsets[frame] + FRAME.id, hashAt);
    }
  }
}

function copyStaged(group: CommitGroup, request: AppendRequest): void {
  const { items, sink } = request;
  if (sink === null) return;
  const start = items[0].at;
  if (group.capacity - group.position < request.bytes) group.grow(request.bytes);
  group.bytes.set(sink.bytes.subarray(start, start + request.bytes), group.position);
  const shift = group.position - start;
  for (const item of items) {
    item.at += shift;
    item.payloadAt += shift;
  }
  group.position += request.bytes;
}

/** Writes an id where it is given; returns its tag, 0 where there is none. */
function writeId(bytes: Uint8Array, view: DataView, at: number, id: Uint8Array | null, place: number): number {
  if (id === null) return 0;
  bytes.set(id, at + place);
  return idTag(view, at + place);
}

/** Returns how many bytes the metadata has. */
function stageMetadata(sink: ByteSink, metadata: object): number {
  if (sink.capacity - sink.position < 4) sink.grow(4);
  const lengthAt = sink.position;
  sink.position += 4;
  stagePayload(sink, metadata);
  const length = sink.position - lengthAt - 4;
  sink.view.setUint32(lengthAt, length, true);
  return length;
}
