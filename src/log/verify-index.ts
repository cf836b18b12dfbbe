/**
 * Compares a segment's index (an index block, or the rows of a checkpoint) with the frames, row by row while the segment is walked, and with
 * the rest of the block at its end. Tells the first difference of each sort only: one wrong row mostly means many.
 *
 * Memory: eight bytes a row of the one segment that is being compared.
 */
import { startedWith } from "../base/column-bytes.ts";
import { isStoreError } from "../base/store-error.ts";
import { getUint64 } from "../base/u64.ts";
import { causationAt, correlationAt, frameFlags, isMarked } from "../format/native/frame.ts";
import { FRAME, FRAME_FLAG } from "../format/native/frame-layout.ts";
import { INDEX_BLOCK } from "../format/native/index-block-layout.ts";
import { isSystemFrame } from "../format/native/system-frame.ts";
import { idTag, idTag2 } from "../index/id-tag.ts";
import type { ColumnValues, EntityRows, ScanSource } from "../index/scan-source.ts";
import type { SealedLists } from "../index/sealed-lists.ts";
import type { SealedRows } from "../index/sealed-rows.ts";
import { IndexPageError, SealedSegmentIndex } from "../index/sealed-segment-index.ts";
import { type ColumnName, type EntitySummary, OFFSET_ENDS_BATCH, OFFSET_FOREIGN_ID, type SegmentIndex } from "../index/segment-index.ts";
import type { WalkedFrame } from "./verify-frames.ts";
import { addRecordInForce } from "./records-in-force.ts";

const COLUMNS = ["entity", "scope", "kind", "clock", "offset", "time", "correlationTag", "causationTag"] as const;
const SHIFT = INDEX_BLOCK.rowsPerPageShift;
const ROWS_PER_STEP = 8192;

/** A column of one chunk of rows. */
interface Loaded {
  chunk: number;
  values: ColumnValues;
  base: number;
}

export interface ComparedNames {
  /** The name of the frame's scope. */
  readonly scope: () => string;
  /** Ids of the verifier's own, the same for the same names. */
  readonly entityId: number;
  readonly scopeId: number;
}

/** What the frames say of an entity in the segment. */
export interface EntityFacts extends Omit<EntitySummary, "local"> {
  /** The verifier's own id of it. */
  readonly entityId: number;
  /** The entity's last event before the segment, removed ones included. */
  readonly previousEver: number;
  readonly hash: Uint8Array;
  readonly lastId: Uint8Array;
}

export class IndexComparison {
  /** Whether a page of it was met that cannot be read: then nothing in memory may rest on it. */
  hasBadPage = false;
  readonly #index: SegmentIndex & ScanSource;
  readonly #told: (reason: string, row: number) => void;
  readonly #seen = new Set<string>();
  readonly #loaded = new Map<ColumnName, Loaded>();
  /** Ids of the index to the verifier's; -1 where not met. That an entity has the name that the frames say is seen at the end (`entity`). */
  #entityIds = new Int32Array(64).fill(-1);
  #entitiesMet = 0;
  #entitiesNamed = 0;
  #scopeIds = new Int32Array(64).fill(-1);
  readonly #idTags: Uint32Array;
  readonly #systemRecords: Uint8Array[] = [];
  readonly #rows: number;
  /** Pairs that its list of links must have. */
  #links = 0;
  #row = 0;
  #timeMin = Number.POSITIVE_INFINITY;
  #timeMax = 0;

  constructor(index: SegmentIndex & ScanSource, told: (reason: string, row: number) => void) {
    this.#index = index;
    this.#rows = index.rowCount;
    this.#told = told;
    this.#idTags = new Uint32Array(index.rowCount);
  }

  /** Compares the next row with the frame of its event. */
  event(frame: WalkedFrame, names: ComparedNames, sequence: number): void {
    const row = this.#row++;
    if (row >= this.#rows) return this.#tell("rows", `it has ${this.#rows} rows, the frames have more`, row);
    this.#guard(() => this.#compareRow(row, frame, names, sequence));
  }

  systemRecord(frame: WalkedFrame): void {
    addRecordInForce(this.#systemRecords, frame.bytes.slice(frame.at, frame.at + frame.length));
  }

  #compareRow(row: number, frame: WalkedFrame, names: ComparedNames, sequence: number): void {
    const { view, at } = frame;
    const index = this.#index;
    const flags = frameFlags(view, at);
    const foreign = (flags & FRAME_FLAG.foreignId) !== 0;
    const tag = idTag(view, at + FRAME.id);
    const time = getUint64(view, at + FRAME.time);
    const kind = view.getUint16(at + FRAME.kind, true);
    const causation = causationAt(view, at);
    const offset = (frame.offset | (isMarked(view, at) ? OFFSET_ENDS_BATCH : 0) | (foreign ? OFFSET_FOREIGN_ID : 0)) >>> 0;
    this.#idTags[row] = tag;
    this.#timeMin = Math.min(this.#timeMin, time);
    this.#timeMax = Math.max(this.#timeMax, time);
    this.#entity(this.#value("entity", row), row, names);
    this.#scope(this.#value("scope", row), row, names);
    this.#same("kind", row, kind);
    this.#same("clock", row, getUint64(view, at + FRAME.clock));
    this.#same("offset", row, offset);
    this.#same("time", row, time);
    const correlationTag = idTag(view, correlationAt(view, at));
    const causationTag = causation < 0 ? 0 : idTag(view, causation);
    if (correlationTag !== tag) this.#links++;
    if (causationTag !== 0 && (causationTag !== correlationTag || correlationTag === tag)) this.#links++;
    this.#same("correlationTag", row, correlationTag);
    this.#same("causationTag", row, causationTag);
    if (index.sequenceAt(row) !== sequence) this.#tell("sequence", `it has another sequence than the frame (${sequence})`, row);
    if (foreign && !index.mayHoldForeignId(tag, idTag2(view, at + FRAME.id)))
      this.#tell("filter", "its filter rules out an id it has", row);
    if (!index.mayHaveKind(kind)) this.#tell("kinds", `its list of kinds lacks ${kind}`, row);
  }

  #value(column: ColumnName, row: number): number {
    const chunk = row >>> SHIFT;
    let loaded = this.#loaded.get(column);
    if (loaded?.chunk !== chunk) {
      loaded = { chunk, values: this.#index.chunkValues(column, chunk), base: this.#index.chunkBase(chunk) };
      this.#loaded.set(column, loaded);
    }
    return loaded.values[loaded.base + (row & (INDEX_BLOCK.rowsPerPage - 1))];
  }

  #same(column: (typeof COLUMNS)[number], row: number, value: number): void {
    if (this.#value(column, row) !== value) this.#tell(column, `its ${column} differs from the frame's`, row);
  }

  #entity(local: number, row: number, names: ComparedNames): void {
    const met = local < this.#entityIds.length ? this.#entityIds[local] : -1;
    if (met === names.entityId) return;
    if (met >= 0 || local >= this.#index.localEntityLimit) return this.#tell("entity", "its entity differs from the frame's", row);
    this.#entityIds = noted(this.#entityIds, local, names.entityId);
    this.#entitiesMet++;
  }

  #scope(local: number, row: number, names: ComparedNames): void {
    if (local < this.#scopeIds.length && this.#scopeIds[local] === names.scopeId) return;
    if (this.#index.findScope(names.scope()) !== local) return this.#tell("scope", "its scope differs from the frame's", row);
    this.#scopeIds = noted(this.#scopeIds, local, names.scopeId);
  }

  /** Compares what the index says of an entity that has events in the segment. Yields between steps, where it has many. */
  *entity(name: string, is: EntityFacts): Generator<undefined, void> {
    const says = this.#guard(() => this.#compareSummary(name, is)) ?? null;
    const rows = says === null ? null : (this.#guard(() => this.#index.entityRows(name)) ?? null);
    if (says === null || rows === null) return;
    const some = new Uint32Array(Math.min(says.rows, ROWS_PER_STEP));
    let last = -1;
    for (let from = 0; from < says.rows; from += ROWS_PER_STEP) {
      if (from > 0) yield;
      const before = last;
      last = this.#guard(() => this.#compareRowsOf(name, says, rows, from, before, some)) ?? -1;
      if (last < 0) return;
    }
  }

  #compareSummary(name: string, is: EntityFacts): EntitySummary | null {
    const says = this.#index.entity(name);
    if (says === null) {
      this.#tell("entry", `it has no entry for ${name}`, -1);
      return null;
    }
    if (says.local < this.#entityIds.length && this.#entityIds[says.local] === is.entityId) this.#entitiesNamed++;
    else this.#tell("entity", `its rows of ${name} are of another name`, -1);
    const numbers = ["rows", "firstClock", "lastClock", "lastSequence"] as const;
    for (const number of numbers) {
      if (says[number] !== is[number]) this.#tell(number, `its ${number} of ${name} is ${says[number]}, the frames say ${is[number]}`, -1);
    }
    // The event that it leads to may have been removed since the block was written; then it leads to where it was.
    if (says.previousSequence < is.previousSequence || says.previousSequence > is.previousEver)
      this.#tell(
        "previousSequence",
        `its previousSequence of ${name} is ${says.previousSequence}, the frames say ${is.previousSequence}`,
        -1,
      );
    if ("lastHash" in says && Buffer.compare(says.lastHash as Uint8Array, is.hash) !== 0) {
      this.#tell("lastHash", `its last hash of ${name} is not the frame's`, -1);
    }
    if ("lastId" in says && Buffer.compare(says.lastId as Uint8Array, is.lastId) !== 0) {
      this.#tell("lastId", `its last id of ${name} is not the frame's`, -1);
    }
    return says;
  }

  /** Whether the entity's list holds as many rows of its own as the entity has, ascending: some of them, behind `last`. Gives the last, -1 where not. */
  #compareRowsOf(name: string, says: EntitySummary, rows: EntityRows, from: number, last: number, some: Uint32Array): number {
    const count = Math.min(says.rows - from, ROWS_PER_STEP);
    rows.fill(from, from + count, some);
    let before = last;
    for (let i = 0; i < count; i++) {
      if (some[i] <= before || this.#value("entity", some[i]) !== says.local) {
        this.#tell("rowsOf", `its rows of ${name} are not theirs`, some[i]);
        return -1;
      }
      before = some[i];
    }
    return before;
  }

  /** Compares the rest, when the whole segment was walked. Rests between steps. */
  async finish(rest: () => Promise<void>): Promise<void> {
    if (this.#entitiesNamed < this.#entitiesMet) this.#tell("entity", "its rows are of more names than the frames'", -1);
    if (this.#row < this.#rows) this.#tell("rows", `it has ${this.#rows} rows, the frames have ${this.#row}`, this.#row);
    const index = this.#index;
    if (!(index instanceof SealedSegmentIndex)) return;
    this.#guard(() => this.#compareRoot(index));
    if (index.lists !== null) await this.#compareLists(index, index.lists, rest);
    let last = 0;
    let pairs = 0;
    for (let page = 0; page < index.idPageCount; page++) {
      this.#guard(() => {
        const { tags, rows } = index.idPage(page);
        if (tags[0] !== index.root.firstTags[page]) this.#tell("ids", "its list of ids does not begin as its root says", -1);
        for (let i = 0; i < tags.length; i++) {
          if (tags[i] < last || rows[i] >= this.#rows || this.#idTags[rows[i]] !== tags[i])
            this.#tell("ids", "its list of ids is wrong", rows[i]);
          else this.#idTags[rows[i]] = 0; // Each row once: a tag is never 0.
          last = tags[i];
          pairs++;
        }
      });
      await rest();
    }
    if (pairs !== this.#rows) this.#tell("ids", `its list of ids has ${pairs} rows of ${this.#rows}`, -1);
  }

  /** Its rows by scope, kind and link. To be called while the tags of ids are whole. */
  async #compareLists(index: SealedSegmentIndex, lists: SealedLists, rest: () => Promise<void>): Promise<void> {
    const { shape, kinds } = index.root;
    await this.#compareGroups("scope", shape.scopeCount, (local) => [lists.scopeRows(local), local], rest);
    await this.#compareGroups("kind", kinds.length, (rank) => [lists.kindRows(rank), kinds[rank]], rest);
    let lastTag = 0;
    let lastRow = -1;
    for (let page = 0; page < lists.linkPageCount; page++) {
      this.#guard(() => {
        const { tags, rows } = lists.linkPage(page);
        if (tags[0] !== index.root.firstLinkTags[page]) this.#tell("links", "its list of links does not begin as its root says", -1);
        for (let i = 0; i < tags.length; i++) {
          const [tag, row] = [tags[i], rows[i]];
          const follows = tag > lastTag || (tag === lastTag && row > lastRow);
          if (!follows || row >= this.#rows || !this.#isLink(tag, row)) this.#tell("links", "its list of links is wrong", row);
          lastTag = tag;
          lastRow = row;
        }
      });
      await rest();
    }
    if (shape.linkCount !== this.#links) this.#tell("links", `its list of links has ${shape.linkCount} pairs of ${this.#links}`, -1);
  }

  #isLink(tag: number, row: number): boolean {
    return this.#value("causationTag", row) === tag || (this.#value("correlationTag", row) === tag && this.#idTags[row] !== tag);
  }

  /** Whether each row stands in the list of its group, once, and nowhere else. */
  async #compareGroups(
    column: "scope" | "kind",
    groups: number,
    group: (place: number) => [rows: SealedRows, value: number],
    rest: () => Promise<void>,
  ): Promise<void> {
    const some = new Uint32Array(Math.min(this.#rows, ROWS_PER_STEP));
    let listed = 0;
    for (let place = 0; place < groups; place++) {
      const [rows, value] = this.#guard(() => group(place)) ?? [null, 0];
      let last = -1;
      for (let from = 0; rows !== null && from < rows.length; from += ROWS_PER_STEP) {
        const count = Math.min(rows.length - from, ROWS_PER_STEP);
        last = this.#guard(() => this.#compareSome(column, value, rows, from, count, last, some)) ?? -1;
        if (Math.floor((listed + count) / ROWS_PER_STEP) > Math.floor(listed / ROWS_PER_STEP)) await rest();
        listed += count;
      }
      if (place % ROWS_PER_STEP === ROWS_PER_STEP - 1) await rest();
    }
    if (listed !== this.#rows) this.#tell(`${column}Rows`, `its rows by ${column} are ${listed} of ${this.#rows}`, -1);
  }

  /** Compares rows of a list, behind `last`. Gives the last. */
  #compareSome(
    column: "scope" | "kind",
    value: number,
    rows: SealedRows,
    from: number,
    count: number,
    last: number,
    some: Uint32Array,
  ): number {
    rows.fill(from, from + count, some);
    let before = last;
    for (let i = 0; i < count; i++) {
      if (some[i] <= before || this.#value(column, some[i]) !== value)
        this.#tell(`${column}Rows`, `its rows by ${column} are wrong`, some[i]);
      before = some[i];
    }
    return before;
  }

  #compareRoot(index: SealedSegmentIndex): void {
    const { root } = index;
    if (this.#rows > 0 && (root.timeMin !== this.#timeMin || root.timeMax !== this.#timeMax))
      this.#tell("times", "its range of times is not the frames'", -1);
    const written = index.systemRecords();
    if (!written.every(isSystemFrame)) return this.#tell("records", "a system record in it is no frame", -1);
    // One written by an earlier version may have equal definitions more than once.
    const records: Uint8Array[] = [];
    for (const record of written) addRecordInForce(records, record);
    const same =
      records.length === this.#systemRecords.length && records.every((record, i) => Buffer.compare(record, this.#systemRecords[i]) === 0);
    // A compacted segment's block carries records of segments that are gone.
    if (!same && root.generation === 0) this.#tell("records", "its system records are not the frames'", -1);
  }

  /** What the step gives; undefined where it met a bad page, or rows that contradict one another, which is told. */
  #guard<Result>(step: () => Result): Result | undefined {
    try {
      return step();
    } catch (error) {
      if (error instanceof IndexPageError) {
        this.hasBadPage = true;
        this.#tell(`page ${error.page}`, `page ${error.page} is bad: ${error.reason}`, -1);
      } else if (isStoreError(error, "CORRUPT")) this.#tell("rows", error.details.reason, -1);
      else throw error;
      return undefined;
    }
  }

  #tell(sort: string, reason: string, row: number): void {
    if (this.#seen.has(sort)) return;
    this.#seen.add(sort);
    this.#told(reason, row);
  }
}

function noted(ids: Int32Array<ArrayBuffer>, local: number, id: number): Int32Array<ArrayBuffer> {
  const all = local < ids.length ? ids : startedWith(new Int32Array(Math.max(local + 1, ids.length * 2)).fill(-1), ids);
  all[local] = id;
  return all;
}
