/**
 * `store.verify` for the batpak 0.3 layout: walks every frame up to the visible position and holds against it what is said elsewhere: headers,
 * chains, footers, the index that opening built (which may be the checkpoint's), and the checkpoint. Reads only. Costs memory per entity, and per
 * event of an open batch.
 *
 * What this layout cannot tell is not told: retention removes events, so that clocks may leap where a segment was compacted; a payload that
 * compaction kept as a plain value cannot always be hashed again; footers keep the sequences of before a compaction. Clocks leap in a converted
 * store where they leapt in its source; there the chain goes on across the leap, as it was written.
 */
import { join } from "node:path";
import { sameBytes } from "./base/hex.ts";
import { inSteps } from "./base/rest.ts";
import { BatchTracker } from "./format/batpak03/batch-tracker.ts";
import { Footer, footerMismatch, misplacedEntry } from "./format/batpak03/footer.ts";
import { type Frame, frameEntity, isBatchMarker } from "./format/batpak03/frame.ts";
import { expandHash } from "./format/batpak03/hash-array.ts";
import { HASH_BYTES } from "./format/batpak03/layout.ts";
import type { Foreign } from "./format/batpak03/outcome.ts";
import { payloadBytes } from "./format/batpak03/payload.ts";
import { ActiveSegmentIndex } from "./index/active-segment-index.ts";
import { Heads } from "./index/heads.ts";
import { idTag } from "./index/id-tag.ts";
import type { SegmentEntry } from "./index/store-index.ts";
import { blake3 } from "./kernel/frame-kernel.ts";
import { FrameReader } from "./log/batpak03-frame-reader.ts";
import { type Batpak03Segment, lookAtSegment, readFooter, standsAlone, type WalkEnd, walkSegment } from "./log/batpak03-segment.ts";
import { listSegmentIds } from "./log/segment-list.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import type { Disk } from "./disk/disk.ts";
import { checkBatpak03Checkpoint } from "./verify-batpak03-checkpoint.ts";
import { CONVERSION_FILE, readerView } from "./open-directory.ts";
import type { ProblemList } from "./verify-problems.ts";

export interface VerifyBatpak03Input {
  readonly disk: Disk;
  readonly parts: NativeStoreParts;
  readonly problems: ProblemList;
  /** Lets others run; `events` have been looked at. Throws where the work was called off. */
  rest(events: number, segmentId: number): Promise<void>;
}

/** An event as far as chains and rows need it. */
interface Met {
  entityId: number;
  entity: string;
  segmentId: number;
  offset: number;
  clock: number;
  inIndex: boolean;
  readonly previousHash: Uint8Array;
  readonly hash: Uint8Array;
}

/** Verifies the log; gives how many events and entities are there. */
export async function verifyBatpak03(input: VerifyBatpak03Input): Promise<{ events: number; entities: number }> {
  return await new Verification(input).run();
}

class Verification {
  readonly #input: VerifyBatpak03Input;
  readonly #reader = new FrameReader();
  readonly #heads = new Heads();
  readonly #visible: { readonly segmentId: number; readonly offset: number; readonly sequence: number };
  readonly #tracker: BatchTracker;
  readonly #held: Met[] = [];
  #heldCount = 0;
  #decided = 0;
  #events = 0;
  /** Something shows that events may have been removed. */
  #compacted = false;
  #converted = false;
  #damagedHere = false;
  #rows: ActiveSegmentIndex | null = null;
  #row = 0;
  #footer: Footer | null = null;
  /** Why the segment's footer cannot be used, and where. Told only where its frames leave room for one. */
  #footerFault: { readonly offset: number; readonly reason: string } | null = null;
  #footerEntry = 0;

  constructor(input: VerifyBatpak03Input) {
    this.#input = input;
    this.#visible = { ...input.parts.log.index.visible };
    this.#tracker = new BatchTracker({
      accept: (handle) => this.#count(this.#held[handle]),
      drop: () => this.#decided++,
    });
  }

  async run(): Promise<{ events: number; entities: number }> {
    const { disk, parts, problems } = this.#input;
    const { files, log } = parts;
    this.#converted = (await disk.status(join(files.directory, CONVERSION_FILE)))?.type === "file";
    let before: Batpak03Segment | null = null;
    for (const id of await listSegmentIds(disk, files.directory)) {
      if (id > this.#visible.segmentId) break;
      const entry = log.index.segmentWithId(id);
      const isGrowing = id === this.#visible.segmentId && entry !== undefined && !entry.sealed;
      const segment = lookAtSegment(files.file(id), id, isGrowing ? this.#visible.offset : Number.POSITIVE_INFINITY);
      this.#checkPlace(before, segment);
      await this.#segment(segment, entry);
      if (isGrowing) await this.#checkRest(segment);
      before = segment;
    }
    this.#tracker.end();
    await checkBatpak03Checkpoint(disk, parts, problems, () => this.#input.rest(this.#events, this.#visible.segmentId));
    return { events: this.#events, entities: this.#heads.liveEntities };
  }

  /** Behind what is visible of the newest segment: where nobody writes there, a footer that cannot be used. */
  async #checkRest({ id, end, fileBytes }: Batpak03Segment): Promise<void> {
    const { disk, parts, problems } = this.#input;
    if (end >= fileBytes || (await readerView(disk, parts.directory)).writer) return;
    const fault = footerFaultOf(lookAtSegment(parts.files.file(id), id, Number.POSITIVE_INFINITY));
    if (fault !== null) problems.at("INDEX_UNUSABLE", id, fileBytes, fault);
  }

  /** Compaction merges segments into the first of them, without a footer: ids may be missing behind such a one only. */
  #checkPlace(before: Batpak03Segment | null, segment: Batpak03Segment): void {
    const due = (before?.id ?? 0) + 1;
    if (segment.trailer === null && segment.id < this.#visible.segmentId) this.#compacted = true;
    if (segment.id === due) return;
    if (before !== null && before.trailer === null) return;
    const what = segment.id === due + 1 ? `segment ${due} is not there` : `segments ${due} to ${segment.id - 1} are not there`;
    this.#input.problems.at("SEGMENT_MISSING", due, 0, what);
    this.#compacted = true;
  }

  async #segment(segment: Batpak03Segment, entry: SegmentEntry | undefined): Promise<void> {
    const { parts, problems } = this.#input;
    const { id } = segment;
    // Where a header is torn or damaged, the walk tells which.
    if (segment.headerFault !== null && segment.framesOffset > 0) problems.at("HEADER_DAMAGED", id, 0, segment.headerFault);
    this.#damagedHere = false;
    const rows = entry?.index;
    this.#rows = rows instanceof ActiveSegmentIndex ? rows : null;
    this.#row = 0;
    await this.#openFooter(segment);
    if (standsAlone(segment)) this.#tracker.doubt();
    const { files } = parts;
    const file = files.pin(id);
    try {
      // A tail that is torn is none of the log's: it has been told at opening.
      const sink = {
        frame: (frame: Frame, offset: number) => this.#frame(id, frame, offset),
        damage: (offset: number, reason: string) => this.#damaged(id, offset, reason),
        unreadable: (offset: number, reason: string) => this.#damaged(id, offset, reason, "EVENT_UNREADABLE"),
        torn: () => {},
        foreign: ({ reason }: Foreign) => this.#damaged(id, 0, reason),
      };
      const policy = { syncedOffset: -1, claimedEnd: 0 };
      const walk = walkSegment(this.#reader, file, segment, segment.framesOffset, segment.end, policy, sink);
      for (let step = walk.next(); ; step = walk.next()) {
        await this.#input.rest(this.#events, id);
        if (step.done !== true) continue;
        this.#closeFooter(segment, step.value);
        this.#tracker.endSegment(step.value.atFooter);
        break;
      }
    } finally {
      files.unpin(id);
    }
    this.#forgetDecided();
    this.#closeRows(id);
  }

  #damaged(segmentId: number, offset: number, reason: string, code = offset === 0 ? "HEADER_DAMAGED" : "FRAME_DAMAGED"): void {
    this.#damagedHere = true;
    this.#tracker.damage();
    this.#input.problems.at(code, segmentId, offset, reason);
  }

  // Footers.

  async #openFooter(segment: Batpak03Segment): Promise<void> {
    this.#footer = null;
    this.#footerEntry = 0;
    const reason = footerFaultOf(segment);
    this.#footerFault = reason === null ? null : { offset: segment.fileBytes, reason };
    if (segment.trailer === null) return;
    const { files } = this.#input.parts;
    const file = files.pin(segment.id);
    try {
      const footer = await readFooter(file, segment);
      const fault = footer instanceof Footer ? await inSteps(misplacedEntry(footer, segment.framesOffset)) : footer;
      if (fault === null) this.#footer = footer as Footer;
      else this.#footerFault = { offset: segment.trailer.tableOffset, reason: fault.reason };
    } finally {
      files.unpin(segment.id);
    }
  }

  #compareFooter(segmentId: number, frame: Frame, offset: number): void {
    const footer = this.#footer;
    if (footer === null) return;
    const entry = this.#footerEntry;
    const named = entry < footer.entryCount ? footer.frameOffset(entry) : -1;
    // Behind damage the entries of what was lost are passed over.
    if (this.#damagedHere && named >= 0 && named < offset) {
      this.#footerEntry++;
      return this.#compareFooter(segmentId, frame, offset);
    }
    if (named === offset) {
      this.#footerEntry++;
      const mismatch = footerMismatch(footer, entry, frame, offset);
      if (mismatch === null) return;
      this.#input.problems.at("INDEX_MISMATCH", segmentId, offset, `entry ${entry} of the footer differs from its frame: ${mismatch}`);
    } else this.#input.problems.at("INDEX_MISMATCH", segmentId, offset, "no entry of the footer names this event");
    // One wrong entry mostly means many.
    this.#footer = null;
  }

  #closeFooter({ id, end }: Batpak03Segment, { framesEnd, atFooter }: WalkEnd): void {
    const { problems } = this.#input;
    const fault = this.#footerFault;
    if (fault !== null && framesEnd < end) problems.at("INDEX_UNUSABLE", id, fault.offset, fault.reason);
    const footer = this.#footer;
    if (footer === null || this.#damagedHere) return;
    if (!atFooter) problems.at("INDEX_MISMATCH", id, footer.tableOffset, "the footer does not begin where the frames end");
    else if (this.#footerEntry < footer.entryCount)
      problems.at("INDEX_MISMATCH", id, footer.tableOffset, `entry ${this.#footerEntry} of the footer names no event`);
  }

  // Frames.

  #frame(segmentId: number, frame: Frame, offset: number): void {
    if (isBatchMarker(frame)) {
      this.#tracker.push(frame, -1);
      this.#forgetDecided();
      return;
    }
    this.#compareFooter(segmentId, frame, offset);
    this.#checkHash(segmentId, frame, offset);
    const { index } = this.#input.parts.log;
    let met = this.#held[this.#heldCount];
    if (met === undefined) this.#held.push((met = newMet()));
    met.entity = frameEntity(frame);
    met.entityId = index.entities.find(met.entity);
    met.segmentId = segmentId;
    met.offset = offset;
    met.clock = frame.clock;
    met.previousHash.fill(0);
    met.hash.fill(0);
    if (frame.prevHashAt >= 0) expandHash(frame.bytes, frame.prevHashAt, met.previousHash, 0);
    if (frame.eventHashAt >= 0) expandHash(frame.bytes, frame.eventHashAt, met.hash, 0);
    met.inIndex = this.#compareRow(segmentId, frame, offset, met.entityId);
    this.#tracker.event(this.#heldCount++, frame.timestampUs);
    this.#forgetDecided();
  }

  #forgetDecided(): void {
    if (this.#decided === this.#heldCount) this.#heldCount = this.#decided = 0;
  }

  #checkHash(segmentId: number, frame: Frame, offset: number): void {
    const { problems } = this.#input;
    if (frame.eventHashAt < 0) return problems.at("HASH_MISMATCH", segmentId, offset, "the event has no hashes");
    const content = new Uint8Array(HASH_BYTES);
    expandHash(frame.bytes, frame.contentHashAt, content, 0);
    const event = new Uint8Array(HASH_BYTES);
    expandHash(frame.bytes, frame.eventHashAt, event, 0);
    if (!sameBytes(content, 0, event, 0, HASH_BYTES))
      problems.at("HASH_MISMATCH", segmentId, offset, "its content hash and its event hash differ");
    else if (payloadBytes(frame, blake3).integrity === "broken")
      problems.at("HASH_MISMATCH", segmentId, offset, "its payload does not hash to its event hash");
  }

  /** An event that counts: its row, its clock and its link to the event before it. */
  #count(met: Met): void {
    this.#decided++;
    const { problems } = this.#input;
    const heads = this.#heads;
    const id = met.entityId;
    if (!met.inIndex || id < 0) problems.at("INDEX_MISMATCH", met.segmentId, met.offset, "the index has no row for this event", met.entity);
    if (id < 0) return;
    heads.ensure(id);
    const due = heads.clock(id) + 1;
    const { segmentId, offset, clock, entity } = met;
    // A head that was never met has zeros, as the first event's previous hash.
    const isLinked = sameBytes(met.previousHash, 0, heads.hash(id), 0, HASH_BYTES);
    if (clock < due || (clock > due && !this.#compacted && !(this.#converted && isLinked)))
      problems.at(clock > due ? "LOST_EVENTS" : "CLOCK_GAP", segmentId, offset, `its clock is ${clock}, ${due} is due`, entity);
    else if (clock === due && !isLinked)
      problems.at("CHAIN_BROKEN", segmentId, offset, "its previous hash is not that of the event before it", entity);
    heads.accept(id, clock, heads.sequence(id), heads.timeMicros(id));
    heads.setHashBytes(id, met.hash);
    heads.setVisible(id, this.#events++);
  }

  // The index that opening built.

  #compareRow(segmentId: number, frame: Frame, offset: number, entityId: number): boolean {
    const rows = this.#rows;
    if (rows === null) return true;
    while (this.#row < rows.rowCount && rows.offsetAt(this.#row) < offset && this.#damagedHere) this.#row++;
    // An event of a batch that is not whole has no row.
    if (this.#row === rows.rowCount || rows.offsetAt(this.#row) > offset) return false;
    const row = this.#row++;
    const { columns } = rows;
    const { view } = frame;
    const scopeId = this.#input.parts.log.index.scopes.findBytes(frame.bytes, frame.scopeAt, frame.scopeAt + frame.scopeLength);
    const same =
      rows.offsetAt(row) === offset &&
      columns.entity[row] === entityId &&
      columns.scope[row] === scopeId &&
      columns.kind[row] === frame.eventKind &&
      columns.clock[row] === frame.clock &&
      columns.time[row] === frame.wallMs * 1000 &&
      columns.idTag[row] === idTag(view, frame.eventIdAt) &&
      columns.correlationTag[row] === idTag(view, frame.correlationIdAt) &&
      columns.causationTag[row] === (frame.causationIdAt < 0 ? 0 : idTag(view, frame.causationIdAt));
    if (same) return true;
    const code = this.#input.parts.log.route === "checkpoint" ? "CHECKPOINT_MISMATCH" : "INDEX_MISMATCH";
    this.#input.problems.at(code, segmentId, offset, `row ${row} of the index differs from its frame`);
    this.#rows = null;
    return true;
  }

  #closeRows(segmentId: number): void {
    const rows = this.#rows;
    if (rows === null || this.#damagedHere) return;
    if (this.#row < rows.rowAtSequence(this.#visible.sequence))
      this.#input.problems.at("INDEX_MISMATCH", segmentId, rows.offsetAt(this.#row), `row ${this.#row} of the index names no event`);
  }
}

/** Why a footer cannot be used; of a later release's, nothing is said. */
function footerFaultOf({ footerFault }: Batpak03Segment): string | null {
  return footerFault?.includes("later release") === true ? null : footerFault;
}

function newMet(): Met {
  return {
    entityId: -1,
    entity: "",
    segmentId: 0,
    offset: 0,
    clock: 0,
    inIndex: true,
    previousHash: new Uint8Array(HASH_BYTES),
    hash: new Uint8Array(HASH_BYTES),
  };
}
