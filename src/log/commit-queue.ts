/**
 * Group commit: while one write-and-sync is in flight, appends collect in the next group; then one write commits them all.
 *
 *   open group --flush--> sealed, in flight --committed--> visible, waiters told, group reused
 *                                           --failed-----> poisoned: in flight COMMIT_UNKNOWN, the rest POISONED, for ever
 *
 * Invariants:
 * 1. At most one group is open and one in flight; a group is written only after the one before it has completed.
 * 2. Waiters are told in order, and only after `complete` has made their group visible.
 * 3. After a failure nothing is ever written again: a sync is not retried, since the kernel may have dropped the dirty pages.
 *
 * A group that is small waits for the end of the current turn of the event loop, so that appends made together, and those made when their
 * predecessors resolve, share one write (measured: 64 callers in a loop all meet in one group). A group that is large starts at once, within
 * the call that made it so, and what comes after it is encoded while the disk is at work.
 */
import { StoreError } from "../base/store-error.ts";
import { CommitGroup } from "./commit-group.ts";

/** What the queue needs from its surroundings; tests bring their own. */
export interface CommitEnvironment {
  /** Writes hashes and CRCs; synchronous. */
  seal(group: CommitGroup): void;
  /** Makes the group as durable as was asked. */
  write(group: CommitGroup): Promise<void>;
  /** Makes the group visible; synchronous, before any waiter is told. */
  complete(group: CommitGroup): void;
  /** There is room in the open group again. */
  roomMade(): void;
  /** The queue is poisoned. */
  poisoned(error: unknown): void;
}

/** From this size on a group does not wait for the turn of the event loop to end. */
const EAGER_BYTES = 32 * 1024;

export class CommitQueue {
  readonly #environment: CommitEnvironment;
  readonly #spare: CommitGroup[] = [];
  #open: CommitGroup | null = null;
  #flying: CommitGroup | null = null;
  #scheduled = false;
  #poison: { readonly cause: unknown } | null = null;
  #idleWaiters: (() => void)[] = [];
  /** Groups committed so far. */
  commits = 0;

  constructor(environment: CommitEnvironment) {
    this.#environment = environment;
  }

  /** The group that is open for appends; null where none has been begun. */
  get open(): CommitGroup | null {
    return this.#open;
  }

  get flying(): CommitGroup | null {
    return this.#flying;
  }

  /** Bytes accepted and not yet settled. */
  get queuedBytes(): number {
    return (this.#open?.position ?? 0) + (this.#flying?.position ?? 0);
  }

  get isPoisoned(): boolean {
    return this.#poison !== null;
  }

  /** Throws `POISONED` after a failed commit. */
  assertSound(): void {
    if (this.#poison !== null) throw poisonedError(this.#poison.cause);
  }

  /** Begins a group; there must be none open. The caller gives it its place. */
  begin(): CommitGroup {
    this.#open = this.#spare.pop() ?? new CommitGroup();
    return this.#open;
  }

  /** Takes back a group that was begun and has nothing in it. */
  abandonEmpty(): void {
    const group = this.#open;
    if (group === null || group.frames > 0 || group.waiters.length > 0) return;
    this.#open = null;
    group.reset();
    this.#spare.push(group);
    // Whoever closes the store may wait for it since it was begun.
    if (this.#flying === null) this.#tellIdle();
  }

  /** Something was accepted into the open group: sees to it that it is written. */
  schedule(): void {
    if (this.#flying !== null || this.#open === null) return;
    if (this.#open.position >= EAGER_BYTES) return this.#launch(this.#open);
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(this.#flushScheduled);
  }

  readonly #flushScheduled = (): void => {
    this.#scheduled = false;
    this.#flush();
  };

  #flush(): void {
    const group = this.#open;
    if (group === null || this.#flying !== null || this.#poison !== null) return;
    this.#launch(group);
    this.#environment.roomMade();
  }

  /** Begins to write the open group. Tells nobody of the room that it makes: whoever accepts is at it already. */
  #launch(group: CommitGroup): void {
    this.#open = null;
    this.#flying = group;
    this.#environment.seal(group);
    void this.#commit(group);
  }

  async #commit(group: CommitGroup): Promise<void> {
    try {
      await this.#environment.write(group);
      if (this.#poison !== null) return;
      this.#environment.complete(group);
    } catch (error) {
      this.poison(error);
      return;
    }
    this.#flying = null;
    this.commits++;
    for (const waiter of group.waiters) waiter.committed(group);
    group.reset();
    if (this.#spare.length < 2) this.#spare.push(group);
    this.#environment.roomMade();
    // Read again: completing may have accepted more.
    const next: CommitGroup | null = this.#open;
    if (next === null) this.#tellIdle();
    else if (next.position >= EAGER_BYTES) this.#flush();
    else this.schedule();
  }

  /** Stops everything for ever. Also called when a background sync fails. */
  poison(cause: unknown): void {
    if (this.#poison !== null) return;
    this.#poison = { cause };
    const flying = this.#flying;
    const open = this.#open;
    this.#flying = null;
    this.#open = null;
    for (const waiter of flying?.waiters ?? []) waiter.failed(unknownError(cause, flying));
    for (const waiter of open?.waiters ?? []) waiter.failed(poisonedError(cause));
    this.#environment.poisoned(cause);
    this.#tellIdle();
  }

  /** Resolves when nothing is accepted that is not settled. */
  async idle(): Promise<void> {
    while (this.#open !== null || this.#flying !== null) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  #tellIdle(): void {
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }
}

export function poisonedError(cause: unknown): StoreError<"POISONED"> {
  return new StoreError(
    "POISONED",
    "Cannot append: an earlier write failed, so this store accepts nothing more; close it, see to the disk and open it again",
    {},
    { cause },
  );
}

function unknownError(cause: unknown, group: CommitGroup | null): StoreError<"COMMIT_UNKNOWN"> {
  const details = group === null ? {} : { firstSequence: group.firstSequence, lastSequence: group.nextSequence - 1 };
  return new StoreError(
    "COMMIT_UNKNOWN",
    "Cannot say whether the events were stored: the write that held them failed; open the store again and look",
    details,
    { cause },
  );
}
