/** What an index block knows of one entity: its entry, and its list of rows. */
import { INDEX_BLOCK, INDEX_ENTITY } from "../format/native/index-block-layout.ts";
import type { Page } from "./page-cache.ts";
import { type RowOwner, type RowPage, SealedRows } from "./sealed-rows.ts";
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

  /** Where `lastHash` stands among the words of its page, `words`. */
  get lastHashWord(): number {
    return (this.#at + INDEX_ENTITY.lastHash) >>> 2;
  }

  get words(): Uint32Array {
    return this.#page.u32;
  }
}

/** What `SealedEntityRows` asks of its segment index. */
interface EntityRowOwner extends RowOwner {
  clockAt(row: number): number;
}

export class SealedEntityRows extends SealedRows implements EntityRows {
  readonly local: number;
  readonly #owner: EntityRowOwner;
  readonly #firstClock: number;
  /** Whether the clocks are `firstClock`, `firstClock + 1`, … */
  readonly #clocksDense: boolean;

  /** `page` gives a page of the section `entityRows`. */
  constructor(owner: EntityRowOwner, entity: SealedEntity, page: (page: number) => RowPage) {
    super(owner, entity.firstPosition, entity.rows, page);
    this.local = entity.local;
    this.#owner = owner;
    this.#firstClock = entity.firstClock;
    this.#clocksDense = Number.isSafeInteger(entity.firstClock) && entity.lastClock - entity.firstClock + 1 === entity.rows;
  }

  positionOfClock(clock: number): number {
    if (this.#clocksDense) return Math.max(0, Math.min(this.length, clock - this.#firstClock));
    return this.search((row) => this.#owner.clockAt(row) < clock);
  }
}
