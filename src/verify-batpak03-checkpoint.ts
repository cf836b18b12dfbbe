/** Verifying the version 2 checkpoint of a batpak 0.3 store: every entry against the index, which is held against the frames elsewhere. */
import { join } from "node:path";
import type { Disk } from "./disk/disk.ts";
import type { CheckpointEntry } from "./format/batpak03/checkpoint.ts";
import { CHECKPOINT_FILE } from "./format/native/checkpoint.ts";
import { ActiveSegmentIndex } from "./index/active-segment-index.ts";
import { idTag } from "./index/id-tag.ts";
import type { NativeStoreParts } from "./native-engine.ts";
import { decodeInPieces } from "./open-batpak03-checkpoint.ts";
import type { ProblemList } from "./verify-problems.ts";

/** Tells what the checkpoint says otherwise than the log; nothing where there is none, or one of a later release. */
export async function checkBatpak03Checkpoint(
  disk: Disk,
  parts: NativeStoreParts,
  problems: ProblemList,
  rest: () => Promise<void>,
): Promise<void> {
  const path = join(parts.directory, CHECKPOINT_FILE);
  if ((await disk.status(path))?.type !== "file") return;
  const file = await disk.open(path, "read");
  try {
    const comparison = new EntryComparison(parts);
    const decoded = await decodeInPieces(file, await file.size(), comparison, rest);
    const tell = (reason: string): void =>
      problems.tell({ code: "CHECKPOINT_MISMATCH", message: `The checkpoint does not fit the log: ${reason}` });
    if (decoded.kind !== "ok") {
      if (!decoded.reason.includes("later release")) tell(decoded.reason);
      return;
    }
    if (comparison.mismatch !== null) tell(comparison.mismatch);
  } finally {
    await file.close();
  }
}

class EntryComparison {
  mismatch: string | null = null;
  readonly #parts: NativeStoreParts;
  readonly #strings: string[] = [];
  #rows: ActiveSegmentIndex | null = null;
  #segmentId = -1;
  #row = 0;

  constructor(parts: NativeStoreParts) {
    this.#parts = parts;
  }

  string(text: string): void {
    this.#strings.push(text);
  }

  entries(): void {}

  entry(entry: CheckpointEntry): undefined {
    if (this.mismatch !== null) return undefined;
    const { index } = this.#parts.log;
    // One that a writer has written since is looked at the next time.
    if (entry.globalSequence >= index.visible.sequence) return undefined;
    if (entry.segmentId !== this.#segmentId) {
      const rows = index.segmentWithId(entry.segmentId)?.index;
      this.#rows = rows instanceof ActiveSegmentIndex ? rows : null;
      this.#segmentId = entry.segmentId;
      this.#row = this.#rows?.rowAtSequence(entry.globalSequence) ?? 0;
    }
    this.#compare(entry);
    return undefined;
  }

  #compare(entry: CheckpointEntry): void {
    const rows = this.#rows;
    const row = this.#row++;
    const place = `the event at segment ${entry.segmentId}, offset ${entry.offset}`;
    if (rows === null || row >= rows.rowCount || rows.offsetAt(row) !== entry.offset) {
      this.mismatch = `an entry names ${place}, which is not there`;
      return;
    }
    const { columns } = rows;
    const { entities, scopes } = this.#parts.log.index;
    const { view } = entry;
    const same =
      rows.sequenceAt(row) === entry.globalSequence &&
      columns.kind[row] === entry.eventKind &&
      columns.clock[row] === entry.clock &&
      columns.time[row] === entry.wallMs * 1000 &&
      columns.idTag[row] === idTag(view, entry.eventIdAt) &&
      columns.correlationTag[row] === idTag(view, entry.correlationIdAt) &&
      columns.causationTag[row] === (entry.causationIdAt < 0 ? 0 : idTag(view, entry.causationIdAt)) &&
      entities.name(columns.entity[row]) === this.#strings[entry.entityId] &&
      scopes.name(columns.scope[row]) === this.#strings[entry.scopeId];
    if (!same) this.mismatch = `an entry says otherwise than ${place}`;
  }
}
