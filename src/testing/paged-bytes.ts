/**
 * The bytes of a file in memory: grows without moving what is there, reads holes as zeros, and makes cheap copies that are cheap to tell apart.
 *
 * Invariants:
 * 1. A page is changed only by the one that owns it. `share` takes ownership from both sides, so that the next writer of a page copies it.
 * 2. Bytes of a page behind `size` are zeros, so that growing needs no clearing.
 * 3. A page's digest is kept until the page is written to: copies share it, as they share the page.
 */
import { createHash } from "node:crypto";

/** A page without a digest yet, or of zeros only, as those that are not there. */
const UNKNOWN = "";
const ZEROS = "0";

export class PagedBytes {
  readonly #pageBytes: number;
  #pages: (Uint8Array | undefined)[] = [];
  #owned: boolean[] = [];
  #digests: string[] = [];
  #size = 0;

  constructor(pageBytes: number) {
    this.#pageBytes = pageBytes;
  }

  /** In bytes. */
  get size(): number {
    return this.#size;
  }

  /** Another file with the same bytes, at the cost of a list of pages. */
  share(): PagedBytes {
    const copy = new PagedBytes(this.#pageBytes);
    copy.#pages = this.#pages.slice();
    copy.#digests = this.#digests.slice();
    copy.#owned = new Array<boolean>(this.#pages.length).fill(false);
    copy.#size = this.#size;
    this.#owned.fill(false);
    return copy;
  }

  /** Copies up to `length` bytes at `position` into `target`; returns how many there were. */
  read(target: Uint8Array, offset: number, length: number, position: number): number {
    const count = Math.max(0, Math.min(length, this.#size - position));
    for (let done = 0; done < count; ) {
      const at = position + done;
      const start = at % this.#pageBytes;
      const part = Math.min(count - done, this.#pageBytes - start);
      const page = this.#pages[Math.floor(at / this.#pageBytes)];
      if (page === undefined) target.fill(0, offset + done, offset + done + part);
      else target.set(part === page.length ? page : page.subarray(start, start + part), offset + done);
      done += part;
    }
    return count;
  }

  write(source: Uint8Array, offset: number, length: number, position: number): void {
    for (let done = 0; done < length; ) {
      const at = position + done;
      const start = at % this.#pageBytes;
      const part = Math.min(length - done, this.#pageBytes - start);
      this.#ownPage(Math.floor(at / this.#pageBytes)).set(source.subarray(offset + done, offset + done + part), start);
      done += part;
    }
    if (length > 0) this.#size = Math.max(this.#size, position + length);
  }

  truncate(size: number): void {
    if (size < this.#size) {
      const pageCount = Math.ceil(size / this.#pageBytes);
      this.#pages.length = Math.min(this.#pages.length, pageCount);
      this.#owned.length = this.#pages.length;
      this.#digests.length = this.#pages.length;
      const used = size % this.#pageBytes;
      if (used > 0 && this.#pages[pageCount - 1] !== undefined) this.#ownPage(pageCount - 1).fill(0, used);
    }
    this.#size = size;
  }

  /** All bytes, as a copy. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.#size);
    this.read(bytes, 0, bytes.length, 0);
    return bytes;
  }

  /** Tells files apart: the same for the same bytes, whatever was done to get there. */
  digest(): string {
    const parts = [String(this.#size)];
    const pageCount = Math.ceil(this.#size / this.#pageBytes);
    for (let index = 0; index < pageCount; index += 1) {
      if (index >= this.#pages.length) parts.push(ZEROS);
      else parts.push((this.#digests[index] ||= digestOf(this.#pages[index])));
    }
    return parts.join(" ");
  }

  #ownPage(index: number): Uint8Array {
    let page = this.#pages[index];
    if (index < this.#digests.length) this.#digests[index] = UNKNOWN;
    if (page === undefined) page = new Uint8Array(this.#pageBytes);
    else if (this.#owned[index] === true) return page;
    else page = page.slice();
    while (this.#pages.length < index) {
      this.#pages.push(undefined);
      this.#owned.push(false);
      this.#digests.push(UNKNOWN);
    }
    this.#pages[index] = page;
    this.#owned[index] = true;
    this.#digests[index] = UNKNOWN;
    return page;
  }
}

function digestOf(page: Uint8Array | undefined): string {
  if (page === undefined || page.every((byte) => byte === 0)) return ZEROS;
  return createHash("sha1").update(page).digest("base64");
}
