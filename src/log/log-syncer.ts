/**
 * Brings a log to stable storage: when somebody asks, and in the background where commits are not synced one by one. Both layouts' writers have
 * one.
 *
 * Invariants:
 * 1. One sync is under way at a time; whoever asks meanwhile gets one that began after the question.
 * 2. A failure poisons the queue and is never tried again.
 */
import { clearTimeout, setTimeout } from "../base/timers.ts";
import type { CommitQueue } from "./commit-queue.ts";

/** When a background sync is due. */
export interface SyncInterval {
  readonly everyMs: number;
  readonly everyEvents: number;
}

export class LogSyncer {
  readonly #queue: CommitQueue;
  readonly #interval: SyncInterval | null;
  readonly #sync: () => Promise<void>;
  #events = 0;
  /** Something is visible that no sync was begun for: events, or records alone. */
  #isBehind = false;
  #timer: NodeJS.Timeout | null = null;
  #syncing: Promise<void> | null = null;
  /** The one behind it, for all who ask meanwhile. */
  #next: Promise<void> | null = null;

  /** @param interval null: only when asked. @param sync syncs the segment and notes it in the mark */
  constructor(queue: CommitQueue, interval: SyncInterval | null, sync: () => Promise<void>) {
    this.#queue = queue;
    this.#interval = interval;
    this.#sync = sync;
  }

  /** So many events more are visible. */
  note(events: number): void {
    this.#events += events;
    this.#isBehind = true;
  }

  /** Begins a background sync where one is due, or plans it. */
  plan(): void {
    const interval = this.#interval;
    if (interval === null) return;
    if (this.#events >= interval.everyEvents) this.#syncInBackground();
    else if (this.#timer === null && this.#isBehind) {
      this.#timer = setTimeout(() => this.#syncInBackground(), interval.everyMs).unref();
    }
  }

  #syncInBackground(): void {
    this.stop();
    // A failure poisons the store, which tells everybody; there is nobody here to tell.
    this.sync().catch(() => {});
  }

  /** Resolves when everything visible now is on stable storage. A failure poisons the store. */
  async sync(): Promise<void> {
    this.#queue.assertSound();
    // Between the end of one and the beginning of the next nothing is under way, and still somebody comes first.
    const before = this.#next ?? this.#syncing;
    if (before === null) return this.#begin();
    this.#next ??= before.then(() => {
      this.#next = null;
      this.#queue.assertSound();
      return this.#begin();
    });
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#events = 0;
    this.#isBehind = false;
    this.#syncing = this.#syncOnce().finally(() => {
      this.#syncing = null;
    });
    return this.#syncing;
  }

  async #syncOnce(): Promise<void> {
    try {
      await this.#sync();
    } catch (error) {
      // A mark that cannot be written poisons here as it does after a commit: readers beside would follow a mark that stands still.
      this.#queue.poison(error);
      this.#queue.assertSound();
    }
  }

  /** The sync that is under way; null where there is none. */
  get underWay(): Promise<void> | null {
    return this.#syncing;
  }

  /** Nothing is planned any more. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
