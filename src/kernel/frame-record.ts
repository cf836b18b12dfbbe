/** The records that describe frames for whoever takes them up: written by the kernel (kernel/assembly/walk.ts) or by loops (log/frame-walker.ts). */

/** What `describe` writes of a frame: a record of 28 words of 4 bytes, some of which are halves of floating-point numbers. */
export const FRAME_RECORD = {
  words: 28,
  /** Where the frame stands in the region. */
  at: 0,
  length: 1,
  /** The frame's flags in the lowest byte, whether it is marked in the next bit, its kind in the upper half. */
  flags: 2,
  /** Where the names begin and end in the region, and `nameHash` of the entity. */
  entity: 3,
  scope: 4,
  scopeEnd: 5,
  entityHash: 6,
  /** Tags of the ids; 0 where there is no causation. */
  idTag: 7,
  correlationTag: 8,
  causationTag: 9,
  /** Counted in numbers of 8 bytes. */
  clock: 5,
  sequence: 6,
  time: 7,
  /** 8 words of the event's hash and 4 of its id, as they lie in the frame. */
  hash: 16,
  id: 24,
} as const;

export const RECORD_MARKED = 0x100;
export const RECORD_KIND_SHIFT = 16;
