/**
 * Group commit: while writes are in flight, appends collect in the next group; then one write commits them all.
 *
 *   open group --launch--> sealed, in flight --written, and all before it--> visible, waiters told, group reused
 *                                            --failed----------------------> poisoned: begun COMMIT_UNKNOWN, the rest POISONED, for ever
 *
 * Invariants:
 * 1. At most one group is open. Those in flight are sealed and launched in the order of the log, and become visible in it, whichever is
 *    written first: nothing is acknowledged before everything before it is as durable as itself.
 * 2. Writes overlap only where the surroundings allow it (`mayOverlap`): small synced ones, into room laid out beforehand. Any other group is
 *    written alone, after all before it have completed; it may be sealed before, and waits.
 * 3. Waiters are told in order, and only after `complete` and `publish` have made their group visible.
 * 4. After a failure nothing is ever written again: a sync is not retried, since the kernel may have dropped the dirty pages. Groups behind the one
 *    that failed count as failed, even where they were written.
 *
 * What a crash can leave: any part of any group in flight, so a hole with whole groups behind it. Their frames say up to where the log was
 * synced when they were sealed, which is before the hole; so recovery cuts there, and nothing behind it was ever acknowledged
 * (docs/decisions/0012).
 *
 * A group that is small waits while more comes, step by step of the microtask queue, so that appends made together, and those made when their
 * predecessors resolve, share one write. From some size on it starts at once, within the call that made it so, beside those in flight: the
 * next events are encoded while the disk is at work. How large depends on the disk: on one that takes long to sync, many small syncs would
 * cost more than they save. So do large ones: where the disk is done before the next events are encoded, a group ends at `CLOSING_BYTES`, so that
 * it always has something to write and nobody is told of many batches at once, who would make as many more in one turn of the event loop.
 */
import { StoreError } from "../base/store-error.ts";
import { CommitGroup } from "./commit-group.ts";

/** What the queue needs from its surroundings; tests bring their own. */
export interface CommitEnvironment {
  /** Writes what is known at the launch, hashes and CRCs; synchronous. */
  seal(group: CommitGroup): void;
  /** Whether the group's write may overlap with others. */
  mayOverlap(group: CommitGroup): boolean;
  /** Makes the group as durable as was asked. */
  write(group: CommitGroup): Promise<void>;
  /** The group and all before it are written: makes it visible; synchronous, in order. */
  complete(group: CommitGroup): void;
  /** Tells the world what was completed, before any waiter is told; synchronous. `isQuiet`: nothing else is in flight. */
  publish(isQuiet: boolean): void;
  /** There is room in the open group again. */
  roomMade(): void;
  /** The queue is poisoned. */
  poisoned(error: unknown): void;
  /** Milliseconds from any origin, never running backwards. */
  monotonicMs(): number;
}

/** From this size on a group does not wait for more. */
const EAGER_BYTES = 32 * 1024;
/** Nor from so many frames on, at the least. */
const EAGER_FRAMES_MIN = 32;
/** About as many frames are encoded in a millisecond's eighth: a group that took less than an eighth of a write to gather is not worth one. */
const EAGER_FRAMES_PER_WRITE_MS = 60;
/** How much longer than the quickest write the next one may be taken to be: so a disk that has become slower is noticed. */
const QUICKEST_DRIFT = 1.02;
/** A small group is written when nothing came to it between so many steps of the microtask queue. The tick behind all of them costs many times as much. */
const QUIET_LOOKS = 4;
/** Its `then` takes a step of the microtask queue, and less than `queueMicrotask`, which makes an asynchronous resource each time. */
const SETTLED = Promise.resolve();
/** So many groups are in flight at the most. */
const FLYING_MAX = 4;
/** A group of this size is sealed while another is written, where encoding takes longer than writing. Greater than any that overlaps. */
const CLOSING_BYTES = 128 * 1024;

export class CommitQueue {
  readonly #environment: CommitEnvironment;
  #open: CommitGroup | null = null;
  /** In the order of the log. */
  #flying: CommitGroup[] = [];
  #flyingBytes = 0;
  /** How many frames the open group had when it was last looked at; 0 where nobody is to look at it. */
  #gathered = 0;
  /** How often in a row nothing had come. */
  #quietLooks = 0;
  /** Nothing is launched beside others until nothing is in flight. */
  #drains = false;
  #poison: { readonly cause: unknown } | null = null;
  #idleWaiters: (() => void)[] = [];
  /** Writes that were begun and have not ended, those of a poisoned queue as well. */
  #writes = 0;
  #writtenWaiters: (() => void)[] = [];
  #quickestMs = 0;
  #eagerFrames = EAGER_FRAMES_MIN;
  /** When the write that is alone was begun, and when something was last accepted beside it. */
  #aloneSinceMs = 0;
  #acceptedMs = 0;
  /** The last write that was alone took less time than encoding what came beside it. */
  #isDiskQuick = false;
  /** Groups committed so far. */
  commits = 0;

  constructor(environment: CommitEnvironment) {
    this.#environment = environment;
  }

  /** The group that is open for appends; null where none has been begun. */
  get open(): CommitGroup | null {
    return this.#open;
  }

  /** The groups in flight, in the order of the log. */
  get flying(): readonly CommitGroup[] {
    return this.#flying;
  }

  get isIdle(): boolean {
    return this.#open === null && this.#flying.length === 0;
  }

  /** Bytes accepted and not yet settled. */
  get queuedBytes(): number {
    return this.#flyingBytes + (this.#open === null ? 0 : this.#open.position);
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
    this.#open = CommitGroup.take();
    return this.#open;
  }

  /** Takes back a group that was begun and has nothing in it. */
  abandonEmpty(): void {
    const group = this.#open;
    if (group === null || group.frames > 0 || group.waiters.length > 0) return;
    this.#open = null;
    group.giveBack();
    // Whoever closes the store may wait for it since it was begun.
    if (this.#flying.length === 0) this.#tellIdle();
  }

  /** Sees to it that soon nothing is in flight, for one call of `publish`: what is accepted meanwhile waits for that. */
  drain(): void {
    this.#drains = this.#flying.length > 0;
  }

  /** Something was accepted into the open group: sees to it that it is written. */
  schedule(): void {
    const group = this.#open;
    if (group === null) return;
    if (this.#flying.length > 0) {
      const isLarge = group.position >= CLOSING_BYTES;
      if (isLarge) this.#acceptedMs = this.#environment.monotonicMs();
      const mayEnd = (isLarge && this.#isDiskQuick) || (group.frames >= this.#eagerFrames && this.#mayOverlap(group));
      if (mayEnd && !this.#drains && this.#flying.length < FLYING_MAX && this.#poison === null) this.#launch(group);
      return;
    }
    if (this.#isEager(group)) return this.#launch(group);
    if (this.#gathered > 0) return;
    this.#gathered = group.frames;
    this.#quietLooks = 0;
    void SETTLED.then(this.#gather);
  }

  #isEager(group: CommitGroup): boolean {
    return group.position >= EAGER_BYTES || group.frames >= this.#eagerFrames;
  }

  /** Whether the group may be written beside those in flight. */
  #mayOverlap(group: CommitGroup): boolean {
    return this.#flying.every(({ overlaps }) => overlaps) && this.#environment.mayOverlap(group);
  }

  /** Looks again until nothing has come between some looks: whoever was told of the commit before may take a few steps to append again. */
  readonly #gather = (): void => {
    const frames = this.#open?.frames ?? 0;
    if (frames > this.#gathered) this.#quietLooks = 0;
    // A group that was launched meanwhile needs nobody to look at it: whatever comes behind it is seen to by itself.
    if (frames > 0 && this.#quietLooks++ < QUIET_LOOKS) {
      this.#gathered = frames;
      return void SETTLED.then(this.#gather);
    }
    this.#gathered = 0;
    this.#flush();
  };

  #flush(): void {
    const group = this.#open;
    if (group === null || this.#flying.length > 0 || this.#poison !== null) return;
    this.#launch(group);
    this.#environment.roomMade();
  }

  /** Seals the open group and begins to write it, or has it wait. Tells nobody of the room that it makes: whoever accepts is at it already. */
  #launch(group: CommitGroup): void {
    this.#open = null;
    group.overlaps = this.#mayOverlap(group);
    const begins = group.overlaps || this.#flying.length === 0;
    this.#environment.seal(group);
    this.#flying.push(group);
    this.#flyingBytes += group.position;
    if (begins) void this.#commit(group);
  }

  async #commit(group: CommitGroup): Promise<void> {
    try {
      this.#writes++;
      const launchedMs = this.#environment.monotonicMs();
      group.isBegun = true;
      if (!group.overlaps) this.#aloneSinceMs = this.#acceptedMs = launchedMs;
      await this.#environment.write(group);
      if (this.#poison !== null) return;
      group.isWritten = true;
      this.#noteWrite(group, this.#environment.monotonicMs() - launchedMs);
      if (this.#flying[0] === group) this.#settle();
    } catch (error) {
      this.poison(error);
    } finally {
      this.#writes--;
      if (this.#writes === 0) for (const resolve of this.#writtenWaiters.splice(0)) resolve();
    }
  }

  #noteWrite(group: CommitGroup, milliseconds: number): void {
    if (!group.overlaps) {
      // What was accepted last had been encoded for about half of the time at the least: the disk did not keep it waiting.
      this.#isDiskQuick = this.#acceptedMs - this.#aloneSinceMs > milliseconds / 2;
      return;
    }
    this.#quickestMs = this.#quickestMs === 0 ? milliseconds : Math.min(milliseconds, this.#quickestMs * QUICKEST_DRIFT);
    this.#eagerFrames = Math.max(EAGER_FRAMES_MIN, Math.floor(this.#quickestMs * EAGER_FRAMES_PER_WRITE_MS));
  }

  /** The first group in flight is written: completes it and those behind it that are written too. */
  #settle(): void {
    let count = 0;
    while (count < this.#flying.length && this.#flying[count].isWritten) this.#environment.complete(this.#flying[count++]);
    const isQuiet = count === this.#flying.length;
    this.#environment.publish(isQuiet);
    if (isQuiet) this.#drains = false;
    const settled = this.#flying.splice(0, count);
    for (const { position } of settled) this.#flyingBytes -= position;
    // Before anybody is told: the disk is at work while they make more.
    if (this.#flying.length > 0 && !this.#flying[0].isBegun) void this.#commit(this.#flying[0]);
    for (const group of settled) {
      this.commits++;
      for (const waiter of group.waiters) waiter.committed(group);
      group.giveBack();
    }
    this.#environment.roomMade();
    // Read again: completing may have accepted more.
    if (this.isIdle) this.#tellIdle();
    else if (this.#flying.length === 0 && this.#open !== null && this.#isEager(this.#open)) this.#flush();
    else this.schedule();
  }

  /** Stops everything for ever. Also called when a background sync fails. */
  poison(cause: unknown): void {
    if (this.#poison !== null) return;
    this.#poison = { cause };
    const flying = this.#flying;
    const open = this.#open;
    this.#flying = [];
    this.#flyingBytes = 0;
    this.#open = null;
    for (const group of flying) {
      for (const waiter of group.waiters) waiter.failed(group.isBegun ? unknownError(cause, group) : poisonedError(cause));
    }
    for (const waiter of open?.waiters ?? []) waiter.failed(poisonedError(cause));
    this.#environment.poisoned(cause);
    this.#tellIdle();
  }

  /** Resolves when nothing is accepted that is not settled. */
  async idle(): Promise<void> {
    while (!this.isIdle) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Resolves when nothing is being written: a failed write, or one behind it, may still be under way when the queue is poisoned. */
  async written(): Promise<void> {
    while (this.#writes > 0) await new Promise<void>((resolve) => this.#writtenWaiters.push(resolve));
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

function unknownError(cause: unknown, group: CommitGroup): StoreError<"COMMIT_UNKNOWN"> {
  const details = { firstSequence: group.firstSequence, lastSequence: group.nextSequence - 1 };
  return new StoreError(
    "COMMIT_UNKNOWN",
    "Cannot say whether the events were stored: the write that held them failed; open the store again and look",
    details,
    { cause },
  );
}
