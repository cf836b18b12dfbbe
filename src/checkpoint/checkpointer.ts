/**
 * Writes checkpoints: on close, after a rotation, and every so many events, one at a time and beside appending. The picture is taken between
 * two commits; it is written only after the log is synced up to it. Commit point: the rename in `replaceFile`.
 *
 * A checkpoint that cannot be written costs the next opening time and nothing else: the failure is kept for whoever asks.
 */
import { traced } from "../base/diagnostics.ts";
import { besideOthers } from "../base/rest.ts";
import type { Disk } from "../disk/disk.ts";
import { replaceFile } from "../disk/replace-file.ts";
import { CHECKPOINT_FILE, encodeCheckpointInSteps } from "../format/native/checkpoint.ts";
import { developSnapshot, type Snapshot } from "./snapshot.ts";

export interface CheckpointerParts {
  readonly disk: Disk;
  readonly directory: string;
  /** Takes the picture; synchronous, to be called between two commits. */
  picture(): Snapshot;
  /** Resolves when everything visible when it was called is on stable storage. */
  sync(): Promise<void>;
  /** A checkpoint failed. */
  failed(error: unknown): void;
}

export class Checkpointer {
  readonly #parts: CheckpointerParts;
  #writing: Promise<void> | null = null;
  #excludes = false;
  /** Checkpoints written so far. */
  written = 0;
  lastError: unknown = null;

  constructor(parts: CheckpointerParts) {
    this.#parts = parts;
  }

  /** Whether none may be begun: one is being written, or other work excludes them. */
  get isBusy(): boolean {
    return this.#writing !== null;
  }

  get isWriting(): boolean {
    return this.isBusy && !this.#excludes;
  }

  /** Takes the picture now and writes it; must be called between two commits, while none is being written. */
  begin(): Promise<void> {
    const snapshot = this.#parts.picture();
    this.#writing = traced(
      "checkpoint",
      () => ({ directory: this.#parts.directory }),
      () => this.#write(snapshot),
    )
      .catch((error: unknown) => {
        this.lastError = error;
        throw error;
      })
      .finally(() => {
        this.#writing = null;
      });
    return this.#writing;
  }

  /** The same in the background: a failure is reported and forgiven. */
  beginInBackground(): void {
    this.begin().catch((error: unknown) => this.#parts.failed(error));
  }

  /** Does other work for which none may be under way: the log is changed behind what a checkpoint pictures. */
  async exclude(work: () => Promise<void>): Promise<void> {
    while (this.#writing !== null) await this.idle();
    this.#excludes = true;
    this.#writing = work().finally(() => {
      this.#writing = null;
      this.#excludes = false;
    });
    await this.#writing;
  }

  async #write(snapshot: Snapshot): Promise<void> {
    const { disk, directory } = this.#parts;
    try {
      await this.#parts.sync();
      await besideOthers(developSnapshot(snapshot));
    } finally {
      snapshot.heads.end();
    }
    const pieces = await besideOthers(encodeCheckpointInSteps(snapshot.content));
    await replaceFile(disk, directory, CHECKPOINT_FILE, pieces);
    this.written++;
    this.lastError = null;
  }

  /** Resolves when none is being written. */
  async idle(): Promise<void> {
    while (this.#writing !== null) await this.#writing.catch(() => {});
  }
}
