/** What an open store asks of its writer, whichever layout it writes. */
import type { Appending } from "./appending.ts";
import type { SequenceGate } from "./index/sequence-gate.ts";
import type { MergedRange } from "./log/range-commit.ts";
import type { Acceptance } from "./log/acceptance.ts";
import type { CommitQueue } from "./log/commit-queue.ts";
import type { OpenReport } from "./open-report.ts";

/** What compacting asks of a writer. */
export interface CompactionHost {
  /** The newest id issued for an accepted event: 16 bytes. */
  newestId(): Uint8Array;
  /** Now, in microseconds since the Unix epoch. */
  nowMicros(): number;
  /** Resolves when no index block is being written. */
  blocksWritten(): Promise<void>;
  /** Resolves when every event before this sequence is visible, and all that is visible on stable storage. */
  durableTo(sequence: number): Promise<void>;
  /** Puts a merged segment in the place of its range. */
  commit(range: MergedRange): Promise<void>;
  /** Ranges were committed: there is no checkpoint now. */
  checkpointMissing(): void;
}

export interface StoreWriter {
  readonly appending: Appending;
  readonly acceptance: Acceptance;
  /** Told when more is visible. */
  readonly gate: SequenceGate;
  readonly log: {
    readonly queue: CommitQueue;
    /** Resolves when everything visible now is on stable storage. */
    sync(): Promise<void>;
  };
  readonly checkpointer: {
    /** Checkpoints written so far. */
    readonly written: number;
    readonly lastError: unknown;
  };
  /** Null in a layout that cannot record what was removed. */
  readonly compaction: CompactionHost | null;
  /** What was cut off the log's end at opening. */
  readonly cut: OpenReport["cut"];
  /** Whether what is visible is durable: the store syncs every commit. */
  readonly syncsCommits: boolean;
  /** Writes a checkpoint now. */
  checkpoint(): Promise<void>;
  /** Waits for what is accepted, makes it durable, writes what opening needs, lets go of the files. */
  close(): Promise<void>;
}
