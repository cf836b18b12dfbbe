/**
 * The batpak 0.3 layout in tables: every magic, offset and key, shared by encoders and decoders. The facts are those of
 * test/fixtures/batpak-0.3/layout.md. Big-endian in segments and frames, little-endian in footers and the checkpoint's prefix.
 */
import { keyTable } from "./key-table.ts";

export const ID_BYTES = 16;
export const HASH_BYTES = 32;
export const ZERO_HASH: Uint8Array = new Uint8Array(HASH_BYTES);

/** `FBAT` · length of the map (u32 BE) · map. No header takes more than `bytesMax`. */
export const SEGMENT_HEADER = { magic: 0x46424154, lengthAt: 4, mapAt: 8, version: 1, bytesMax: 4096 } as const;
export const SEGMENT_HEADER_KEYS = keyTable(["version", "flags", "created_ns", "segment_id"]);

/** Length of the body (u32 BE) · CRC-32 of the body (u32 BE) · body. */
export const FRAME_PREFIX = { length: 0, crc: 4, body: 8 } as const;
export const FRAME_KEYS = keyTable(["event", "entity", "scope"]);
export const EVENT_KEYS = keyTable(["header", "payload", "hash_chain"]);
export const EVENT_HEADER_KEYS = keyTable([
  "event_id",
  "correlation_id",
  "causation_id",
  "timestamp_us",
  "position",
  "payload_size",
  "event_kind",
  "flags",
  "content_hash",
]);
export const POSITION_KEYS = keyTable(["wall_ms", "counter", "depth", "lane", "sequence"]);
export const HASH_CHAIN_KEYS = keyTable(["prev_hash", "event_hash"]);

/** The markers that enclose a batch. */
export const BATCH = { beginKind: 0x0006, commitKind: 0x0007, entity: "_batch", scope: "_system" } as const;

/** A footer's last bytes: where the string table begins (u64 LE), number of entries (u32 LE), magic. */
export const FOOTER_TRAILER = { tableOffset: 0, entryCount: 8, magic: 12, bytes: 16 } as const;
export const FOOTER_MAGIC = "SIDX";
/** Footers of later releases: their entries are of another size. */
export const FOOTER_MAGICS_LATER: readonly string[] = ["SDX2", "SDX3"];

/** A footer entry, little-endian, the ids too (everywhere else they stand most significant byte first). */
export const FOOTER_ENTRY = {
  eventId: 0, // 16
  entityIndex: 16, // u32
  scopeIndex: 20, // u32
  kind: 24, // u16
  wallMs: 26, // u64
  clock: 34, // u32
  prevHash: 38, // 32
  eventHash: 70, // 32
  frameOffset: 102, // u64
  frameLength: 110, // u32
  globalSequence: 114, // u64
  correlationId: 122, // 16
  causationId: 138, // 16, zeros: none
  bytes: 154,
} as const;

/** `FBATCK` · version (u16 LE) · CRC-32 of the body (u32 LE) · body. */
export const CHECKPOINT_PREFIX = { magic: "FBATCK", version: 6, crc: 8, body: 12 } as const;
export const CHECKPOINT_VERSION = 2;
/** Versions that later releases of the Rust crate write. */
export const CHECKPOINT_VERSIONS_LATER = { first: 3, last: 6 } as const;
export const CHECKPOINT_KEYS = keyTable(["global_sequence", "watermark_segment_id", "watermark_offset", "interner_strings", "entries"]);
export const CHECKPOINT_ENTRY_KEYS = keyTable([
  "event_id",
  "correlation_id",
  "causation_id",
  "entity_id",
  "scope_id",
  "kind",
  "wall_ms",
  "clock",
  "prev_hash",
  "event_hash",
  "segment_id",
  "offset",
  "length",
  "global_sequence",
]);
/** The least that an entry can take: a map tag, its keys, two ids, nil, two hashes of small numbers and nine one-byte integers. */
export const CHECKPOINT_ENTRY_BYTES_MIN: number =
  1 + CHECKPOINT_ENTRY_KEYS.encoded.reduce((sum, key) => sum + key.length, 0) + 2 * (2 + ID_BYTES) + 1 + 2 * (3 + HASH_BYTES) + 9;

export const U16_MAX = 0xffff;
export const U32_MAX = 0xffff_ffff;
