/**
 * Writes checkpoints: on close, after a rotation, and every so many events, one at a time and beside appending. The picture is taken between
 * two commits; it is written only after the log is synced up to it. Commit point: the rename in `replaceFile`.
 *
 * A checkpoint that cannot be written costs the next opening time and nothing else: the failure is kept for whoever asks.
 */
import type { Disk } from "../disk/disk.ts";
import { replaceFile } from "../disk/replace-file.ts";
import { CHECKPOINT_FILE, encodeCheckpoint, type CheckpointContent } from "../format/native/checkpoint.ts";

export interface CheckpointerParts {
  readonly disk: Disk;
  readonly directory: string;
  /** Takes the picture; synchronous, to be called between two commits. */
  picture(): CheckpointContent;
  /** Resolves when everything visible when it was called is on stable storage. */
  sync(): Promise<void>;
  /** A checkpoint failed. */
  failed(error: unknown): void;
}

export class Checkpointer {
  readonly #parts: CheckpointerParts;
  #writing: Promise<void> | null = null;
  /** Checkpoints written so far. */
  written = 0;
  lastError: unknown = null;

  constructor(parts: CheckpointerParts) {
    this.#parts = parts;
  }

  get isWriting(): boolean {
    return this.#writing !== null;
  }

  /** Takes the picture now and writes it; must be called between two commits, while none is being written. */
  begin(): Promise<void> {
    const content = this.#parts.picture();
    this.#writing = this.#write(content).finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  /** The same in the background: a failure is reported and forgiven. */
  beginInBackground(): void {
    this.begin().catch((error: unknown) => {
      this.lastError = error;
      this.#parts.failed(error);
    });
  }

  async #write(content: CheckpointContent): Promise<void> {
    const { disk, directory } = this.#parts;
    await this.#parts.sync();
    await replaceFile(disk, directory, CHECKPOINT_FILE, encodeCheckpoint(content));
    this.written++;
    this.lastError = null;
  }

  /** Resolves when none is being written. */
  async idle(): Promise<void> {
    while (this.#writing !== null) await this.#writing.catch(() => {});
  }
}
