/** Pieces of bytes that are gathered until they are worth a write. */

const NO_BYTES = new Uint8Array(0);

export class PieceList {
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  /** Adds a piece, which is not changed until it was taken. */
  add(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
  }

  /** All of them in one, which are gone from here, once they are more than so many bytes; else nothing. */
  take(bytesMin: number): Uint8Array {
    if (this.#bytes <= bytesMin) return NO_BYTES;
    const bytes = Buffer.concat(this.#pieces, this.#bytes);
    this.#pieces = [];
    this.#bytes = 0;
    return bytes;
  }
}
