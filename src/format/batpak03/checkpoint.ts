/** What both directions of the version 2 checkpoint share: its head, its entries and its 12-byte prefix. */
import { viewOf } from "../../base/msgpack.ts";
import { CHECKPOINT_PREFIX, CHECKPOINT_VERSION, CHECKPOINT_VERSIONS_LATER } from "./layout.ts";
import type { Corrupt, Torn } from "./outcome.ts";
import { corrupt, torn } from "./outcome.ts";

export interface CheckpointHead {
  /** The sequence allocator: the next event's; may be larger than the number of entries. */
  readonly globalSequence: number;
  /** The newest segment, and its size with its footer. */
  readonly watermarkSegmentId: number;
  readonly watermarkOffset: number;
}

/** The numbers of an entry, as they stand in the file. */
export interface CheckpointEntryNumbers {
  /** Positions in `interner_strings`; real ones start at 1. */
  entityId: number;
  scopeId: number;
  eventKind: number;
  wallMs: number;
  clock: number;
  segmentId: number;
  /** The frame's, prefix included. */
  offset: number;
  length: number;
  globalSequence: number;
}

/** An entry where it lies. One record serves all entries: it and `bytes` are valid only during the visitor's call. */
export interface CheckpointEntry extends CheckpointEntryNumbers {
  bytes: Uint8Array;
  view: DataView;
  /** Positions in `bytes` of 16 bytes each. */
  eventIdAt: number;
  correlationIdAt: number;
  /** -1 when there is none. */
  causationIdAt: number;
  /** Positions of hashes written as integers: `expandHash(entry.bytes, entry.eventHashAt, target, 0)` makes 32 bytes of one. */
  prevHashAt: number;
  eventHashAt: number;
}

/** An entry by itself. One record may be filled again for each entry: encoders only read it during the call. */
export interface CheckpointEntryFields extends CheckpointEntryNumbers {
  /** 16 bytes each. */
  eventId: Uint8Array;
  correlationId: Uint8Array;
  causationId: Uint8Array | null;
  /** 32 bytes each. */
  prevHash: Uint8Array;
  eventHash: Uint8Array;
}

export interface CheckpointPrefix {
  readonly kind: "ok";
  /** CRC-32 of the body. */
  readonly crc: number;
}

/** The prefix of a file whose body has this CRC-32. */
export function encodeCheckpointPrefix(crc: number): Uint8Array {
  const prefix = new Uint8Array(CHECKPOINT_PREFIX.body);
  const view = viewOf(prefix);
  for (let index = 0; index < CHECKPOINT_PREFIX.magic.length; index++) prefix[index] = CHECKPOINT_PREFIX.magic.charCodeAt(index);
  view.setUint16(CHECKPOINT_PREFIX.version, CHECKPOINT_VERSION, true);
  view.setUint32(CHECKPOINT_PREFIX.crc, crc, true);
  return prefix;
}

/** Reads the prefix at the start of `bytes`; other versions are refused by name. */
export function decodeCheckpointPrefix(bytes: Uint8Array): CheckpointPrefix | Torn | Corrupt {
  if (bytes.length < CHECKPOINT_PREFIX.body) return torn(`a checkpoint needs ${CHECKPOINT_PREFIX.body} bytes, there are ${bytes.length}`);
  for (let index = 0; index < CHECKPOINT_PREFIX.magic.length; index++) {
    if (bytes[index] !== CHECKPOINT_PREFIX.magic.charCodeAt(index))
      return corrupt(`the file does not begin with ${CHECKPOINT_PREFIX.magic}`);
  }
  const view = viewOf(bytes);
  const version = view.getUint16(CHECKPOINT_PREFIX.version, true);
  if (version !== CHECKPOINT_VERSION) {
    const later = version >= CHECKPOINT_VERSIONS_LATER.first && version <= CHECKPOINT_VERSIONS_LATER.last;
    return corrupt(
      `the checkpoint is of version ${version}${later ? ", which belongs to a later release" : ""}, only ${CHECKPOINT_VERSION} is read`,
    );
  }
  return { kind: "ok", crc: view.getUint32(CHECKPOINT_PREFIX.crc, true) };
}
