/**
 * Where encoders write: a buffer that may move when it grows. An encoder calls `grow` when fewer than the bytes it needs remain
 * between `position` and `capacity`, and reads `bytes` and `view` afresh after any call of `grow`.
 */
export interface ByteSink {
  bytes: Uint8Array;
  view: DataView;
  position: number;
  capacity: number;
  /** Makes room for `byteCount` more bytes from `position`; may replace `bytes` and `view`. Throws `TOO_LARGE` past its owner's limit. */
  grow(byteCount: number): void;
}

/** What follows something long, and would make the sink grow once more. */
const HEADROOM_BYTES = 1024;

/** A sink of its own memory that doubles when it is full. */
export class GrowingSink implements ByteSink {
  bytes: Uint8Array;
  view: DataView;
  position = 0;
  capacity: number;

  constructor(capacity = 4096) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
    this.capacity = capacity;
  }

  grow(byteCount: number): void {
    const capacity = Math.max(this.capacity * 2, this.position + byteCount + HEADROOM_BYTES);
    const bytes = new Uint8Array(capacity);
    bytes.set(this.bytes.subarray(0, this.position));
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
    this.capacity = capacity;
  }

  /** A copy of what was written since `start`. */
  copy(start = 0): Uint8Array {
    return this.bytes.slice(start, this.position);
  }
}
