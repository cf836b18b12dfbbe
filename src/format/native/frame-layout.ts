/**
 * The native frame: one table of offsets that encoder, decoder, kernel and docs/format.md share. Little-endian.
 *
 *   prefix                         body                                                            event hash
 *   crc · length+mark · syncBack   fixed fields · [correlation] · [causation] · entity · scope ·   BLAKE3(body)
 *                                  [metadata length · metadata] · payload
 *
 * - CRC-32 covers everything after itself: from byte 4 to the frame's end. Its initial value is `segmentSeed XOR frame offset`, so that a
 *   frame that stands in another store, segment or place does not pass (`frame-check.ts`).
 * - `length` is that of the whole frame, prefix and hash included, in the low 30 bits. The top bit marks the last frame of a commit. It lies
 *   outside the hashed body, so that compaction can keep batch boundaries without changing a hash (docs/decisions/0001).
 * - `syncBack` is the distance from the frame's offset back to the position up to which this segment was synced when its group
 *   was sealed; 0 in files that were synced as a whole before they had their names.
 */
export const FRAME = {
  crc: 0, // u32
  length: 4, // u32: bits 0..29 length in bytes, bit 30 zero, bit 31 the commit mark
  syncBack: 8, // u32
  body: 12,
  flags: 12, // u8, FRAME_FLAG
  encoding: 13, // u8, PAYLOAD_ENCODING
  kind: 14, // u16
  version: 16, // u16
  entityLength: 18, // u16, bytes
  scopeLength: 20, // u16, bytes
  clock: 22, // u64
  sequence: 30, // u64
  time: 38, // u64, microseconds since the Unix epoch
  id: 46, // 16 bytes, most significant first
  previousHash: 62, // 32 bytes
  variable: 94, // correlation, causation (16 each, when flagged), entity, scope, metadata (u32 length, bytes; when flagged), payload
  hashBytes: 32,
  /** Prefix, fixed fields and hash of a frame with nothing variable. */
  bytesMin: 126,
} as const;

export const FRAME_FLAG = {
  correlation: 1,
  causation: 2,
  metadata: 4,
  /** The id was not issued by the writer: keyed or given. */
  foreignId: 8,
  /** A system record: reserved entity, takes no sequence, shown by no read. */
  system: 16,
  /** The seal of a segment: no event at all (segment-seal). */
  seal: 32,
  /** Together with `system`: tells what compaction removed (`retention.ts`). Outside the chain of the reserved entity. */
  retention: 64,
} as const;

export const PAYLOAD_ENCODING = { messagePack: 0 } as const;

export const COMMIT_MARK = 0x8000_0000;
export const LENGTH_MASK = 0x3fff_ffff;
