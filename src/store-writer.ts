/** What an open store asks of its writer, whichever layout it writes. */
import type { Appending } from "./appending.ts";
import type { SequenceGate } from "./index/sequence-gate.ts";
import type { Acceptance } from "./log/acceptance.ts";
import type { CommitQueue } from "./log/commit-queue.ts";
import type { OpenReport } from "./open-report.ts";

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
  /** What was cut off the log's end at opening. */
  readonly cut: OpenReport["cut"];
  /** Whether what is visible is durable: the store syncs every commit. */
  readonly syncsCommits: boolean;
  /** Writes a checkpoint now. */
  checkpoint(): Promise<void>;
  /** Waits for what is accepted, makes it durable, writes what opening needs, lets go of the files. */
  close(): Promise<void>;
}
