/** The lists of an index block: its rows by scope, by kind, and by what they are linked to. Looking one up loads two pages, however long the segment. */
import { type BlockLayout, INDEX_BLOCK, type IndexSection } from "../format/native/index-block-layout.ts";
import type { IndexRoot } from "../format/native/index-block-root.ts";
import type { Page } from "./page-cache.ts";
import type { ListedColumn, RowList, RowLists } from "./scan-source.ts";
import { KnownRows, rowPage, type RowOwner, SealedRows } from "./sealed-rows.ts";
import { firstAtOrAfter, KEYS } from "./sorted-keys.ts";

const ROW_SHIFT = INDEX_BLOCK.rowsPerPageShift;
const ROW_MASK = INDEX_BLOCK.rowsPerPage - 1;

/** What the lists ask of their segment index. */
interface ListOwner extends RowOwner {
  readonly root: IndexRoot;
  kindRank(kind: number): number;
  rowsByIdTag(tag: number): number[];
}

/** The tags of a page of pairs, and their rows. Views, to be looked at right away. */
export function tagsAndRows({ u32 }: Page): { tags: Uint32Array; rows: Uint32Array } {
  return { tags: u32.subarray(0, u32.length >>> 1), rows: u32.subarray(u32.length >>> 1) };
}

export class SealedLists implements RowLists {
  readonly #owner: ListOwner;
  readonly #layout: BlockLayout;
  readonly #page: (section: IndexSection, page: number) => Page;

  constructor(owner: ListOwner, layout: BlockLayout, page: (section: IndexSection, page: number) => Page) {
    this.#owner = owner;
    this.#layout = layout;
    this.#page = page;
  }

  covered(_column: ListedColumn): number {
    return this.#owner.rowCount;
  }

  rowsWith(column: ListedColumn, value: number): readonly RowList[] | null {
    // What has no cause is not listed.
    if (value === 0 && column === "causationTag") return null;
    switch (column) {
      case "scope":
        return [this.scopeRows(value)];
      case "kind": {
        const rank = this.#owner.kindRank(value);
        return rank < 0 ? [] : [this.kindRows(rank)];
      }
      case "causationTag":
        return [this.#linked(value)];
      case "correlationTag":
        // An event whose correlation is its own id is not listed again.
        return [this.#linked(value), new KnownRows(this.#owner.rowsByIdTag(value).sort((a, b) => a - b))];
    }
  }

  /** The rows of a scope, by its local id. */
  scopeRows(local: number): SealedRows {
    return this.#listOf(this.#layout.scopeEnds, this.#layout.scopeRows, local);
  }

  /** The rows of a kind, by its place in the root's list. */
  kindRows(rank: number): SealedRows {
    return this.#listOf(this.#layout.kindEnds, this.#layout.kindRows, rank);
  }

  /** Pages of the list of links. */
  get linkPageCount(): number {
    return this.#layout.linkTags.pageCount;
  }

  /** A page of the list of links: tags, ascending, and their rows. Views, to be looked at right away. */
  linkPage(page: number): { tags: Uint32Array; rows: Uint32Array } {
    return tagsAndRows(this.#page(this.#layout.linkTags, page));
  }

  /** The rows of one of the groups that end at `ends`. */
  #listOf(ends: IndexSection, section: IndexSection, group: number): SealedRows {
    const endAt = (place: number): number => this.#page(ends, place >>> ROW_SHIFT).u32[place & ROW_MASK]!;
    const start = group === 0 ? 0 : endAt(group - 1);
    const end = endAt(group);
    if (start > end || end > this.#owner.rowCount) {
      throw this.#owner.badPage(ends.firstPage + (group >>> ROW_SHIFT), "a list past the last row");
    }
    return new SealedRows(this.#owner, start, end - start, (page) => rowPage(this.#page(section, page)));
  }

  #linked(tag: number): SealedRows {
    const { linkTags } = this.#layout;
    const start = this.#positionOf(tag);
    // Rows stand behind the tags of their page.
    return new SealedRows(this.#owner, start, this.#positionOf(tag + 1) - start, (number) => {
      const page = this.#page(linkTags, number);
      return rowPage(page, page.u32.length >>> 1);
    });
  }

  /** The first position in the list of links whose tag is not below this one. */
  #positionOf(tag: number): number {
    const { firstLinkTags, shape } = this.#owner.root;
    if (shape.linkCount === 0) return 0;
    const index = Math.max(0, firstAtOrAfter(firstLinkTags, firstLinkTags.length, tag, 0, KEYS) - 1);
    const { u32 } = this.#page(this.#layout.linkTags, index);
    const next = index + 1 < firstLinkTags.length ? firstLinkTags[index + 1]! : KEYS;
    return (index << ROW_SHIFT) + firstAtOrAfter(u32, u32.length >>> 1, tag, firstLinkTags[index]!, next);
  }
}
