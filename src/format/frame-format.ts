/** What the log needs to know of a layout's frames, whichever layout it is. */
import type { FrameReader } from "../events/event.ts";
import type { FrameForm } from "../kernel/frame-kernel.ts";

/** The outcome of looking for a frame at a place. */
export type FrameCheck =
  /** A whole frame of this place. */
  | "ok"
  /** Its length is zero: the end, if only zeros follow. */
  | "zero"
  /** Fewer bytes are there than it needs. */
  | "short"
  /** Its checksum matches, and its body is none of this layout's. */
  | "unreadable"
  | "bad";

/** Reads the fields of whole, checked frames that lie in a buffer. `at` is where the frame begins in it. */
export interface FrameFormat extends FrameReader {
  /** Whether a frame of this place stands there; bytes before `limit` may be looked at. `seed` is the segment's. */
  check(bytes: Uint8Array, view: DataView, at: number, limit: number, seed: number, offset: number): FrameCheck;
  /** The same without the checksum, in layouts whose checksums the frame kernel knows. */
  shape?(view: DataView, at: number, limit: number): FrameCheck;
  /** How frames are written that the kernel can make native ones; left out where they are. */
  readonly form?: FrameForm;
  /** The whole frame's length in bytes. */
  length(view: DataView, at: number): number;
  hasId(bytes: Uint8Array, view: DataView, at: number, id: Uint8Array): boolean;
  /** Where the 16 bytes of the correlation id stand. */
  correlationAt(view: DataView, at: number): number;
  /** Where the 16 bytes of the causation id stand; -1 when there is none. */
  causationAt(view: DataView, at: number): number;
  /** Whether the event's stored payload is exactly these bytes. */
  samePayload(bytes: Uint8Array, view: DataView, at: number, other: Uint8Array, start: number, length: number): boolean;
  /** Copies the 16 bytes of the event's id. */
  copyId(bytes: Uint8Array, view: DataView, at: number, target: Uint8Array, targetAt: number): void;
  /** Copies the id and right after it the hash, where a layout has a quicker way than the two one after the other. */
  copyIdAndHash?(view: DataView, at: number, target: DataView, targetAt: number): void;
  /** Copies the 32 bytes of the event's hash. */
  copyHash(bytes: Uint8Array, view: DataView, at: number, target: Uint8Array, targetAt: number): void;
}
