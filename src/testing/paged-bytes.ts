/**
 * The bytes of a file in memory: grows without moving what is there, reads holes as zeros, and makes cheap copies.
 *
 * Invariants:
 * 1. A page is changed only by the one that owns it. `share` takes ownership from both sides, so that the next writer of a page copies it.
 * 2. Bytes of a page behind `size` are zeros, so that growing needs no clearing.
 */
export class PagedBytes {
  readonly #pageBytes: number;
  #pages: (Uint8Array | undefined)[] = [];
  #owned: boolean[] = [];
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

  #ownPage(index: number): Uint8Array {
    let page = this.#pages[index];
    if (page === undefined) page = new Uint8Array(this.#pageBytes);
    else if (this.#owned[index] === true) return page;
    else page = page.slice();
    while (this.#pages.length < index) {
      this.#pages.push(undefined);
      this.#owned.push(false);
    }
    this.#pages[index] = page;
    this.#owned[index] = true;
    return page;
  }
}
