/**
 * What a repair does with each file, decided from what is known of the damaged log. Reads damaged segments, and changes nothing: `repair-apply.ts` does.
 *
 * No sequence is given twice: where some were given to events that are lost off the end of the log, an empty segment behind them is part of the plan.
 */
import { join } from "node:path";
import { sameBytes } from "./base/hex.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import { DURABLE_MARK_FILE } from "./format/native/durable-mark.ts";
import { standInHeader } from "./log/broken-header.ts";
import { type DamagedPlace, damagedPlace, missingPlace, type SegmentThere } from "./log/damaged-place.ts";
import { recordsInBlock, sequenceOfRecord, unnamedKinds } from "./log/records-salvage.ts";
import { headerIn, segmentName } from "./log/segment-files.ts";
import { MISSING_MAX, missingIds } from "./log/segment-list.ts";
import { type DamagedLog, readDamaged, salvage } from "./repair-look.ts";
import { manyMissing, namesLost, recordsText, sourceOf, withoutEvents } from "./repair-words.ts";

/** One thing that a repair does: `file` is a name in the directory, `message` is for people. */
export interface RepairAction {
  readonly kind: "rebuild-segment" | "replace-missing-segment" | "add-segment" | "remove-file";
  readonly file: string;
  readonly message: string;
}

/** A segment without events, which begins behind all sequences that were given. */
export interface Successor {
  readonly id: number;
  readonly first: number;
  /** The sequence that is due behind the newest segment. */
  readonly due: number;
  /** Of those that only the checkpoint tells, those that stood behind it. */
  readonly records: readonly Uint8Array[];
}

export interface RepairPlan {
  /** What is told of it. */
  readonly actions: readonly RepairAction[];
  /** What becomes of each segment that is damaged or missing, ascending. */
  readonly places: readonly DamagedPlace[];
  /** The segment to be put behind the newest; null where no sequence was given to an event, and no record is known, that is lost off its end. */
  readonly successor: Successor | null;
  /** Of the records that only the checkpoint tells, those that stood in each of the places, by its id. */
  readonly records: ReadonlyMap<number, readonly Uint8Array[]>;
  /** Ids of files that go. */
  readonly outOfLog: readonly number[];
  /** Ids of segments that are whole and get another index block. */
  readonly badBlocks: readonly number[];
  /** The newest that the log or a damaged segment of it tells. */
  readonly generation: number;
}

export async function planRepair(log: DamagedLog): Promise<RepairPlan> {
  return await new Planning(log).run();
}

class Planning {
  readonly #log: DamagedLog;
  #generation: number;
  #places: readonly DamagedPlace[] = [];
  #records: RepairPlan["records"] = new Map();
  #successor: Successor | null = null;
  #badBlocks: readonly number[] = [];
  /** Ids of those behind a gap at the end that are no segments at all: were they made some, all the gap would be. */
  #strays: readonly number[] = [];
  /** The last that was a segment, as far as anything tells. */
  #last = 0;

  constructor(log: DamagedLog) {
    this.#log = log;
    this.#generation = log.generation;
  }

  async run(): Promise<RepairPlan> {
    const { ids, damage, damaged, neverBegun, replaced, opened, ofBlocks, mark } = this.#log;
    this.#strays = await this.#straysAmong(ids);
    this.#last = largestOf([mark?.syncedSegment ?? 0, ...damaged, ...this.#strays]);
    const isOut = new Set([...replaced, ...neverBegun, ...this.#strays]);
    const inLog = ids.filter((id) => !isOut.has(id));
    const there = await this.#thereAmong(inLog);
    this.#places = await this.#placesOf(inLog, there);
    this.#records = this.#recordsByPlace();
    const newest = inLog[inLog.length - 1] ?? 0;
    this.#successor = this.#successorOf(newest);
    // What another segment follows on has a seal.
    if (this.#successor !== null && opened.get(newest)?.sealed === false && !damaged.has(newest))
      this.#places = [...this.#places, await this.#placeOf(there.get(newest) as SegmentThere, 0)];
    const rebuilt = new Set(this.#places.map(({ id }) => id));
    this.#badBlocks = [...new Set(ofBlocks.map(({ segmentId }) => segmentId as number))].filter((id) => !rebuilt.has(id));
    return {
      actions: await this.#actions(damage.length > 0),
      places: this.#places,
      successor: this.#successor,
      records: this.#records,
      outOfLog: this.#outOfLog(),
      badBlocks: this.#badBlocks,
      generation: this.#generation,
    };
  }

  async #straysAmong(ids: readonly number[]): Promise<readonly number[]> {
    const { headers } = this.#log;
    let end = ids.length;
    for (; end > 1 && !headers.has(ids[end - 1]); end--) {
      const { frames, seal, retention } = await readDamaged(this.#log, ids[end - 1]);
      if (frames.length > 0 || seal !== null || retention !== null) break;
    }
    let next = 1 + largestOf([ids[end - 1], ...[...headers.values()].map(({ replacesTo }) => replacesTo)]);
    while (ids[end] <= next) next = Math.max(next, ids[end++] + 1);
    return ids.slice(end);
  }

  /** The segments in the log whose files are there, by id. */
  async #thereAmong(ids: readonly number[]): Promise<ReadonlyMap<number, SegmentThere>> {
    const { damaged, headers, opened } = this.#log;
    const there = new Map<number, SegmentThere>();
    let next: SegmentThere | null = null;
    let nextWithFirst: SegmentThere | null = null;
    for (const id of ids.toReversed()) {
      const first = damaged.has(id) ? (await readDamaged(this.#log, id)).events[0] : opened.get(id)?.first;
      const one: SegmentThere = { id, first: first ?? null, header: headers.get(id) ?? null, next, nextWithFirst };
      there.set(id, one);
      next = one;
      if (one.first !== null) nextWithFirst = one;
    }
    return there;
  }

  async #placesOf(ids: readonly number[], thereById: ReadonlyMap<number, SegmentThere>): Promise<readonly DamagedPlace[]> {
    const { damaged, headers, opened: openedById, storeId } = this.#log;
    // Also before and between segments that have no header of their own, of which opening misses none.
    const listed = ids.map((id) => ({ id, header: headers.get(id) ?? standInHeader(storeId, id, 0) }));
    const missing = missingIds(listed, [], 1);
    if (missing.length === MISSING_MAX) throw manyMissing(missing);
    const all = [...ids, ...missing].sort((a, b) => a - b);
    const places: DamagedPlace[] = [];
    let due = 0;
    for (const id of all) {
      // A compacted segment stands for it.
      if (id <= (places[places.length - 1]?.replacesTo ?? 0)) continue;
      const there = thereById.get(id);
      const opened = damaged.has(id) ? undefined : openedById.get(id);
      const bound = there?.nextWithFirst?.first ?? Number.POSITIVE_INFINITY;
      // One that is said to end behind the events of the next is not sound either, nor one that lacks its seal: opening took a file behind it for none of the log's.
      const isSound = opened !== undefined && opened.next <= bound && (opened.sealed || id === all[all.length - 1]);
      if (!isSound) places.push(there === undefined ? missingPlace(id, due, this.#mayBeCompacted) : await this.#placeOf(there, due));
      due = isSound ? opened.next : places[places.length - 1].next;
    }
    return places;
  }

  async #placeOf(there: SegmentThere, due: number): Promise<DamagedPlace> {
    const segment = await readDamaged(this.#log, there.id);
    if (segment.retention !== null) this.#generation = Math.max(1, this.#generation, segment.retention.generation);
    const [generation, mayBeCompacted] = [this.#generation, this.#mayBeCompacted];
    return damagedPlace({ there, segment, due, generation, mayBeCompacted, hadBehind: this.#last > there.id });
  }

  /** The mark and the checkpoint know of every compaction. */
  get #mayBeCompacted(): boolean {
    return this.#generation > 0 || (this.#log.mark === null && this.#log.pictured === null);
  }

  /** Consumers' positions and other stores may name the sequences of lost events: given again, the new ones would be taken for these. */
  #successorOf(newest: number): Successor | null {
    const { damaged, opened, mark, pictured, headers, lostRecords } = this.#log;
    const place = this.#places.find(({ isNewest }) => isNewest);
    const isCut = largestOf(damaged) > newest;
    const due = place?.next ?? (isCut ? opened.get(newest)?.next : undefined);
    if (due === undefined) return null;
    const first = Math.max(due, place?.given ?? 0, mark?.visibleSequence ?? 0, pictured?.nextSequence ?? 0);
    const replacesTo = place?.replacesTo ?? headers.get(newest)?.replacesTo ?? 0;
    const placed = new Set([...this.#records.values()].flat());
    const records = lostRecords.filter((record) => !placed.has(record));
    return first === due && records.length === 0 ? null : { id: Math.max(newest, replacesTo) + 1, first, due, records };
  }

  /** Of the records that only the checkpoint tells, those that stood in a place, by its id: the first that the event behind the record may have been in. */
  #recordsByPlace(): ReadonlyMap<number, readonly Uint8Array[]> {
    const records = new Map<number, Uint8Array[]>();
    if (this.#log.lostRecords.length === 0) return records;
    const bounds = this.#boundsBehind();
    for (const record of this.#log.lostRecords) {
      const sequence = sequenceOfRecord(record);
      const place = this.#places.find(({ first }, i) => first <= sequence && sequence <= bounds[i]);
      if (place !== undefined) addTo(records, place.id, record);
    }
    return records;
  }

  /** The sequence that the log goes on with behind each of the places. */
  #boundsBehind(): readonly number[] {
    const opened = [...this.#log.opened].sort(([a], [b]) => a - b);
    let bound = Number.POSITIVE_INFINITY;
    return this.#places
      .toReversed()
      .map(({ id, replacesTo }) => {
        while ((opened[opened.length - 1]?.[0] ?? 0) > Math.max(id, replacesTo)) bound = Math.min(bound, opened.pop()?.[1].first ?? bound);
        return bound;
      })
      .reverse();
  }

  /** Ids of files that go, unless the successor takes their name. */
  #outOfLog(): number[] {
    return [...new Set([...this.#log.neverBegun, ...this.#strays])].filter((id) => id !== this.#successor?.id);
  }

  // What is told.

  async #actions(isDamaged: boolean): Promise<RepairAction[]> {
    const actions: RepairAction[] = [];
    const unnamed = this.#unnamedByPlace();
    for (const place of this.#places) {
      const { id, isThere, lost } = place;
      const file = segmentName(id);
      const { segment, recordsPutBack } = await salvage(this.#log, place, this.#records.get(id) ?? []);
      const removed = lost.length === 0 ? "" : `; of its record of what compaction removed is lost: ${lost.join("; ")}`;
      const losses = `${removed}${namesLost(unnamed.get(place) ?? [])}`;
      if (isThere) {
        const more = recordsPutBack === 0 ? "" : ` and ${recordsText(recordsPutBack)} that its index block or the checkpoint repeats`;
        const right = sourceOf(segment, segment.frames.length - recordsPutBack);
        const message = `write ${file} anew from ${right}${more}${losses}${this.#misplacedHint(id)}`;
        actions.push({ kind: "rebuild-segment", file, message });
      } else {
        const message = `put ${withoutEvents(file, recordsPutBack)} in the place of the one that is missing${losses}`;
        actions.push({ kind: "replace-missing-segment", file, message });
      }
    }
    if (this.#successor !== null) {
      const { id, first, due, records } = this.#successor;
      const file = segmentName(id);
      const given = first === due ? "" : `, which begins with sequence ${first}: those from ${due} on were given to events that are lost`;
      const message = `put ${withoutEvents(file, records.length)} behind the newest segment${given}`;
      actions.push({ kind: "add-segment", file, message });
    }
    const neverBegun = new Set(this.#log.neverBegun);
    for (const id of this.#outOfLog()) {
      const file = segmentName(id);
      const why = neverBegun.has(id)
        ? "which was never begun"
        : "behind a gap, of which no frame is right (all its events go, if it had any)";
      actions.push({ kind: "remove-file", file, message: `remove ${file}, ${why}${this.#misplacedHint(id)}` });
    }
    for (const file of this.#badBlocks.map(segmentName)) {
      const message = `write ${file} anew without its index block, which is bad: the next writer makes another`;
      actions.push({ kind: "rebuild-segment", file, message });
    }
    for (const file of isDamaged ? [CHECKPOINT_FILE, DURABLE_MARK_FILE] : [CHECKPOINT_FILE]) {
      const { disk, directory } = this.#log.files;
      if ((await disk.status(join(directory, file))) === null) continue;
      actions.push({ kind: "remove-file", file, message: `remove ${file}, which speaks of the log as it was` });
    }
    return actions;
  }

  /** The kinds of events that nothing names any more, by the last place in which a record of the name may have stood: in front of the first event. */
  #unnamedByPlace(): ReadonlyMap<DamagedPlace, readonly number[]> {
    const { files, storeId, kinds, records, lostRecords } = this.#log;
    const ofBlocks = this.#places.filter(({ isThere }) => isThere).flatMap(({ id }) => recordsInBlock(files, id, storeId));
    const unnamed = unnamedKinds(kinds.keys(), [...records, ...ofBlocks, ...lostRecords]);
    const byPlace = new Map<DamagedPlace, number[]>();
    for (const kind of unnamed) {
      const place = this.#places.findLast(({ first }) => first <= (kinds.get(kind) ?? -1));
      if (place !== undefined) addTo(byPlace, place, kind);
    }
    return byPlace;
  }

  /** Where a file is another segment of this store, whose frames count for nothing in this place. */
  #misplacedHint(id: number): string {
    const { files, storeId } = this.#log;
    const outcome = headerIn(files.file(id));
    if (outcome.kind !== "ok" || outcome.header.segmentId === id || !sameBytes(outcome.header.storeId, 0, storeId, 0, 16)) return "";
    const other = segmentName(outcome.header.segmentId);
    return `; by its header it is ${other}: if it only got a wrong name, give it its own instead of repairing, and nothing of it is lost`;
  }
}

/** However many they are. */
function largestOf(numbers: Iterable<number>): number {
  let largest = 0;
  for (const number of numbers) largest = Math.max(largest, number);
  return largest;
}

function addTo<Key, Value>(lists: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
