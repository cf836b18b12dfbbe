/** The records that describe entries of a batpak 0.3 checkpoint: written by the kernel (kernel/assembly/checkpoint-entry.ts). */

/**
 * A record of 20 words of 4 bytes, the last 8 of which hold 4 floating-point numbers; word 11 is not used. Places are counted as in the bytes
 * that were walked.
 */
export const ENTRY_RECORD = {
  words: 20,
  /** Where the entry ends. */
  end: 0,
  /** Where ids begin; -1 where there is no causation. */
  eventId: 1,
  correlationId: 2,
  causationId: 3,
  entity: 4,
  scope: 5,
  kind: 6,
  clock: 7,
  /** Where the integers of hashes begin. */
  previousHash: 8,
  hash: 9,
  length: 10,
  /** Counted in numbers of 8 bytes. */
  wallMs: 6,
  segmentId: 7,
  offset: 8,
  sequence: 9,
} as const;
