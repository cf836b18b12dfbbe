/** An active segment index as the source of the index block of its segment, once that is sealed. */
import type { IndexBlockSource } from "../format/native/index-block.ts";
import type { ActiveSegmentIndex } from "./active-segment-index.ts";
import type { Interner } from "./interner.ts";
import { OFFSET_FOREIGN_ID } from "./segment-index.ts";

/** An entity that had events in the range of a compacted segment and has none left. */
export interface EmptiedEntity {
  /** Of the last event that there was. */
  readonly lastClock: number;
  /** Of the entity's last event before the range; -1 when there is none. */
  readonly previousSequence: number;
}

/** What a block holds that the rows do not tell. The functions are called while the block is encoded. */
export interface BlockDetails {
  /** 16 bytes. */
  readonly storeId: Uint8Array;
  readonly segmentId: number;
  readonly generation: number;
  /** 16 bytes: the last id that the writer issued up to the end of this segment; zeros when it never did. */
  readonly lastIssuedId: Uint8Array;
  readonly systemRecords: readonly Uint8Array[];
  /** By entity id, none of which has rows. */
  readonly emptied?: ReadonlyMap<number, EmptiedEntity>;
  /** `idTag2` of the id of the event in this row, which the writer did not issue. */
  foreignTag2(row: number): number;
  /** Writes the hash (32 bytes) and then the id (16 bytes) of the entity's last event; `lastRow` is -1 for an emptied entity. */
  copyLastHashAndId(entityId: number, lastRow: number, target: Uint8Array, offset: number): void;
  /** How many frames the two functions have read so far. */
  framesRead(): number;
}

/** `rows` must not grow until the block is written: its segment is sealed. The interners may. */
export function blockSource(rows: ActiveSegmentIndex, entities: Interner, scopes: Interner, details: BlockDetails): IndexBlockSource {
  const emptied = details.emptied ?? new Map<number, EmptiedEntity>();
  const entityIds = new Uint32Array(rows.entityCount + emptied.size);
  entityIds.set(rows.entityIds.subarray(0, rows.entityCount));
  entityIds.set([...emptied.keys()], rows.entityCount);
  return {
    storeId: details.storeId,
    segmentId: details.segmentId,
    generation: details.generation,
    rowCount: rows.rowCount,
    firstSequence: rows.firstSequence,
    columns: rows.columns,
    entityIds,
    entityNames: entities,
    scopeIds: Uint32Array.from(rows.scopeIds),
    scopeNames: scopes,
    lastIssuedId: details.lastIssuedId,
    systemRecords: details.systemRecords,
    foreignIdBit: OFFSET_FOREIGN_ID,
    foreignTag2: (row) => details.foreignTag2(row),
    previousSequence: (entityId) => emptied.get(entityId)?.previousSequence ?? rows.previousSequenceOf(entityId),
    emptiedClock: (entityId) => emptied.get(entityId)?.lastClock ?? -1,
    copyLastHashAndId: (entityId, lastRow, target, offset) => details.copyLastHashAndId(entityId, lastRow, target, offset),
    framesRead: () => details.framesRead(),
  };
}
