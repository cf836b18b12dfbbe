/** What an index block knows of one entity: its entry, and its list of rows. */
import { INDEX_BLOCK, INDEX_ENTITY } from "../format/native/index-block-layout.ts";
import type { Page } from "./page-cache.ts";
import type { EntityRows } from "./scan-source.ts";
import type { EntitySummary } from "./segment-index.ts";

/** Reads its fields where they stand in their page, which it keeps alive: not to be held for long. */
export class SealedEntity implements EntitySummary {
  readonly local: number;
  readonly #page: Page;
  readonly #at: number;

  constructor(local: number, page: Page) {
    this.local = local;
    this.#page = page;
    this.#at = (local & (INDEX_BLOCK.entitiesPerPage - 1)) * INDEX_ENTITY.bytes;
  }

  /** Where its rows begin in the block's `entityRows`. */
  get firstPosition(): number {
    return this.#page.u32[(this.#at + INDEX_ENTITY.firstPosition) >>> 2]!;
  }

  get rows(): number {
    return this.#page.u32[(this.#at + INDEX_ENTITY.rows) >>> 2]!;
  }

  get firstClock(): number {
    return this.#page.f64[(this.#at + INDEX_ENTITY.firstClock) >>> 3]!;
  }

  get lastClock(): number {
    return this.#page.f64[(this.#at + INDEX_ENTITY.lastClock) >>> 3]!;
  }

  get lastSequence(): number {
    return this.#page.f64[(this.#at + INDEX_ENTITY.lastSequence) >>> 3]!;
  }

  get previousSequence(): number {
    return this.#page.f64[(this.#at + INDEX_ENTITY.previousSequence) >>> 3]!;
  }

  /** A copy of the hash of the entity's last event in the segment, or, where it was emptied, of the last one there ever was. 32 bytes. */
  get lastHash(): Uint8Array {
    const start = this.#at + INDEX_ENTITY.lastHash;
    return Uint8Array.from(this.#page.bytes.subarray(start, start + 32));
  }

  /** The same event's id: 16 bytes. */
  get lastId(): Uint8Array {
    const start = this.#at + INDEX_ENTITY.lastId;
    return Uint8Array.from(this.#page.bytes.subarray(start, start + 16));
  }

  /** Writes `lastHash` to `target` at `offset`. */
  copyLastHash(target: Uint8Array, offset: number): void {
    const start = this.#at + INDEX_ENTITY.lastHash;
    this.#page.bytes.copy(target, offset, start, start + 32);
  }
}

const SHIFT = INDEX_BLOCK.rowsPerPageShift;
const MASK = INDEX_BLOCK.rowsPerPage - 1;

/** What `SealedEntityRows` asks of its segment index. */
interface RowOwner {
  readonly rowCount: number;
  clockAt(row: number): number;
  badPage(page: number, reason: string): Error;
}

export class SealedEntityRows implements EntityRows {
  readonly local: number;
  readonly #owner: RowOwner;
  readonly #firstPosition: number;
  readonly #rows: number;
  readonly #firstClock: number;
  /** Whether the clocks are `firstClock`, `firstClock + 1`, … */
  readonly #clocksDense: boolean;
  readonly #page: (page: number) => Page;

  /** `page` gives a page of the section `entityRows`. */
  constructor(owner: RowOwner, entity: SealedEntity, page: (page: number) => Page) {
    this.local = entity.local;
    this.#owner = owner;
    this.#firstPosition = entity.firstPosition;
    this.#rows = entity.rows;
    this.#firstClock = entity.firstClock;
    this.#clocksDense = Number.isSafeInteger(entity.firstClock) && entity.lastClock - entity.firstClock + 1 === entity.rows;
    this.#page = page;
  }

  positionOfRow(row: number): number {
    if (row <= 0) return 0;
    if (row >= this.#owner.rowCount) return this.#rows;
    return this.#search((position) => this.#rowAt(position) < row);
  }

  positionOfClock(clock: number): number {
    if (this.#clocksDense) return Math.max(0, Math.min(this.#rows, clock - this.#firstClock));
    return this.#search((position) => this.#owner.clockAt(this.#rowAt(position)) < clock);
  }

  fill(from: number, to: number, target: Uint32Array): void {
    for (let position = from; position < to; position++) target[position - from] = this.#rowAt(position);
  }

  /** The first position that is not before what is looked for. */
  #search(isBefore: (position: number) => boolean): number {
    let low = 0;
    let high = this.#rows;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(middle)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #rowAt(position: number): number {
    const at = this.#firstPosition + position;
    const page = this.#page(at >>> SHIFT);
    const row = page.u32[at & MASK]!;
    if (row >= this.#owner.rowCount) throw this.#owner.badPage(page.number, "a row past the last");
    return row;
  }
}
