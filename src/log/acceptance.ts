/**
 * The order of appends. Each passes through here:
 *
 *   waiting (no room: not yet encoded) -> staged (encoded, has its place in the order) -> judged -> accepted into the open group
 *
 * Invariants:
 * 1. Requests are judged in the order in which they were staged, each against everything accepted before it.
 * 2. Between a judgement and its acceptance nothing else happens: both are synchronous.
 * 3. Bytes staged and accepted stay within `queuedBytesMax`, but for one larger request that is let in when there is nothing else.
 * 4. A request leaves by its signal only before it is accepted.
 *
 * The common case takes no detour: with nothing before it and nothing to look up, a request is staged right where it will be written.
 */
import { type ByteSink, GrowingSink } from "../base/byte-sink.ts";
import { Fifo, type Queued } from "../base/fifo.ts";
import { onAbort } from "../base/on-abort.ts";
import { turnShare } from "../base/rest.ts";
import { StoreError } from "../base/store-error.ts";
import { ioError } from "../disk/io-error.ts";
import { errorCode } from "../disk/system-error.ts";
import type { StoreIndex } from "../index/store-index.ts";
import { type AppendItem, type AppendRequest, leaveOutRecords } from "./append-request.ts";
import type { CommitGroup, Waiter } from "./commit-group.ts";
import type { CommitQueue } from "./commit-queue.ts";
import type { FramePlacer } from "./frame-placer.ts";
import type { FrameSource } from "./frame-source.ts";
import { ACCEPT, judge, type Verdict } from "./judge.ts";
import { removedReceipts, repeatedReceipts, PromisedReceipts } from "./receipts.ts";

export interface AcceptanceParts {
  readonly index: StoreIndex;
  readonly frames: FrameSource;
  readonly queue: CommitQueue;
  readonly placer: FramePlacer;
  readonly queuedBytesMax: number;
  /** Whether receipts are durable when they are given. */
  readonly durable: boolean;
  /** Gives the open group its place: a group of `bytes` more, in the segment that it fits. False: not while the open group is what it is. */
  makeRoom(bytes: number): boolean;
  /** Called before frames are placed in the group. */
  beginPlacing(group: CommitGroup): void;
}

/** A place in the order, kept for an append that is yet to be made. Whatever is called later waits behind it. */
export interface KeptPlace {
  /** Everything before it is visible, and nothing more is accepted while it is kept; or it is left, as where the store is closing or poisoned. */
  readonly reached: Promise<void>;
  /** Whether it is: the append that it is kept for goes by those who wait behind it. */
  readonly isKept: boolean;
  /** Lets in who waits behind it. Idempotent. */
  leave(): void;
}

/** An append that waits for room before it is encoded, or a place that is kept. */
interface Waiting extends Queued {
  /** Stages it; false when there is still too little room, or the place is kept on. */
  readonly start: () => boolean;
  readonly receipts: Pick<PromisedReceipts, "reject">;
  /** Not to be told of its signal any more. */
  keepOn: () => void;
}

interface Staged extends Queued {
  readonly request: AppendRequest;
  ready: boolean;
  keepOn: () => void;
}

/** Why a request adds nothing. */
type Refusal = Exclude<Verdict, { kind: "accept" }>;

const NO_SIGNAL = (): void => {};

/** An answer takes as much of a turn as so many events that are read. */
const ANSWER_SHARE = 4;
/**
 * Memory for requests beside the open group: taken so much at a time, grown by a request that is larger than what is left, and not used again
 * past the most.
 */
const BESIDES_BYTES = 64 * 1024;
const BESIDES_LEFT_MIN = 4096;
const BESIDES_BYTES_MAX = 1024 * 1024;

export class Acceptance {
  readonly #parts: AcceptanceParts;
  readonly #waiting = new Fifo<Waiting>();
  readonly #staged = new Fifo<Staged>();
  #stagedBytes = 0;
  #draining = false;
  /** A request is being encoded at the end of the open group. Its payload may be a getter's, which may append as well: that waits its turn. */
  #stagingInPlace = false;
  /** Where requests are staged that the open group cannot take, one after the other. */
  #besides = new GrowingSink(0);
  /** One is being encoded at its end. */
  #stagingBeside = false;
  /** Those who wait for room are being let in. */
  #admitting = false;
  /** Leaves each place that is kept. */
  readonly #placesKept = new Set<() => void>();
  /** The most bytes that were ever queued at once. */
  queuedBytesPeak = 0;

  constructor(parts: AcceptanceParts) {
    this.#parts = parts;
  }

  /** Bytes staged or accepted, and not yet settled. */
  get queuedBytes(): number {
    return this.#stagedBytes + this.#parts.queue.queuedBytes;
  }

  /** Whether receipts are durable when they are given. */
  get durable(): boolean {
    return this.#parts.durable;
  }

  /** Whether anything is staged and not yet accepted. */
  get hasStaged(): boolean {
    return this.#staged.length > 0;
  }

  /** Whether an event of this kind is staged and not yet accepted. */
  hasStagedKind(kind: number): boolean {
    return this.#staged.some(({ request }) => request.items.some((item) => item.kind === kind));
  }

  /** Whether everything that has its place in the order is accepted: nothing comes between what is staged now and its acceptance. */
  get isCaughtUp(): boolean {
    return this.#staged.length === 0 && !this.#stagingInPlace && !this.#draining;
  }

  /** Whether a request must wait for room before it may be staged at all. */
  get mustWait(): boolean {
    return this.#waiting.length > 0 || (this.queuedBytes >= this.#parts.queuedBytesMax && this.queuedBytes > 0);
  }

  /** Whether `bytes` more may be queued, beside the bytes queued before they were staged. */
  admits(bytes: number, queuedBytes = this.queuedBytes): boolean {
    return queuedBytes === 0 || queuedBytes + bytes <= this.#parts.queuedBytesMax;
  }

  /** Waits for room; `start` is called in turn. */
  wait(start: () => boolean, receipts: PromisedReceipts, signal: AbortSignal | null): void {
    const waiting: Waiting = { start, receipts, keepOn: NO_SIGNAL, isGone: false };
    if (signal !== null) {
      waiting.keepOn = onAbort(signal, () => {
        this.#waiting.remove(waiting);
        receipts.reject(signal.reason);
      });
    }
    this.#waiting.push(waiting);
  }

  /**
   * Keeps the next place in the order, so that what is to be appended can be decided on what is accepted before it. All other appends stand still
   * meanwhile: not to be kept while anybody else's code is waited for.
   */
  keepPlace(): KeptPlace {
    const { queue } = this.#parts;
    let tellReached = (): void => {};
    const reached = new Promise<void>((resolve) => {
      tellReached = resolve;
    });
    const start = (): boolean => {
      if (queue.isIdle) tellReached();
      return false;
    };
    const waiting: Waiting = { start, receipts: { reject: tellReached }, keepOn: NO_SIGNAL, isGone: false };
    const leave = (): void => {
      this.#placesKept.delete(leave);
      // It may be taken away from who waits for it.
      tellReached();
      if (this.#waiting.remove(waiting)) this.drain();
    };
    this.#placesKept.add(leave);
    this.#waiting.push(waiting);
    this.drain();
    return {
      reached,
      leave,
      get isKept() {
        return !waiting.isGone;
      },
    };
  }

  /**
   * Where to stage a request: the open group itself where nothing stands before it, else memory beside it.
   * Either way the caller hands it to `submit`, or gives it back with `unstage`.
   *
   * @param beside in any case: it has lookups to wait for, or records that may have to be left out
   */
  beginStaging(beside: boolean): ByteSink {
    const { queue } = this.#parts;
    queue.assertSound();
    if (beside || this.#staged.length > 0 || this.#draining || this.#stagingInPlace) return this.#beginBeside();
    if (queue.open === null && !this.#parts.makeRoom(0)) return this.#beginBeside();
    if (queue.open === null) return this.#beginBeside();
    this.#stagingInPlace = true;
    return queue.open;
  }

  #beginBeside(): GrowingSink {
    // A getter's append, in the middle of another.
    if (this.#stagingBeside) return new GrowingSink();
    this.#stagingBeside = true;
    // Nobody's bytes are there any more: what is accepted was copied.
    if (this.#staged.length === 0) this.#besides.position = 0;
    const { capacity, position } = this.#besides;
    if (capacity > BESIDES_BYTES_MAX || capacity - position < BESIDES_LEFT_MIN) this.#besides = new GrowingSink(BESIDES_BYTES);
    return this.#besides;
  }

  /** Forgets what was staged in the sink from `start` on. */
  unstage(sink: ByteSink, start: number): void {
    if (sink === this.#besides) {
      // Once it is submitted its bytes stay, whatever fails then.
      if (!this.#stagingBeside) return;
      this.#stagingBeside = false;
    }
    sink.position = start;
    if (sink === this.#parts.queue.open) {
      this.#stagingInPlace = false;
      this.#parts.queue.open.limit = Number.POSITIVE_INFINITY;
      this.#parts.queue.abandonEmpty();
      // Whoever came meanwhile may wait for the room that this took, with nothing in flight that would make some.
      this.drain();
    }
  }

  /**
   * Accepts events as one batch and judges nothing: a conversion's, which keep the places that they have. Nobody else may append meanwhile. Throws where a
   * write has failed.
   */
  async take(items: readonly AppendItem[], recordCount: number): Promise<void> {
    // What is staged behind that is accepted never, and told nothing.
    this.#parts.queue.assertSound();
    const receipts = new PromisedReceipts(false);
    const sink = new GrowingSink();
    for (const item of items) this.#parts.placer.stage(sink, item);
    const { position: bytes } = sink;
    const request = { items, sink, bytes, isPlain: true, conditions: [], ready: null, signal: null, recordCount, learn: null, receipts };
    this.submit(request, sink, 0);
    await receipts.promise;
  }

  /** Gives a staged request its place in the order. Its bytes lie at the end of `sink`, from `start`. */
  submit(request: AppendRequest, sink: ByteSink, start: number): void {
    const group = this.#parts.queue.open;
    if (sink === this.#besides) this.#stagingBeside = false;
    if (group !== null && sink === group) {
      this.#stagingInPlace = false;
      group.limit = Number.POSITIVE_INFINITY;
      // The room that was there before staging may not do for what it became.
      group.position = start;
      const verdict = this.#judge(request, group.bytes);
      if (verdict.kind === "accept" && this.#fits(group, request)) {
        group.position = start + request.bytes;
        this.#accept(request, group, true);
        if (this.#staged.length > 0) this.drain();
        return;
      }
      if (verdict.kind !== "accept") {
        this.#parts.queue.abandonEmpty();
        this.#deliver(request, verdict);
        this.drain();
        return;
      }
      moveOut(request, group, start);
      this.#parts.queue.abandonEmpty();
    }
    this.#enqueue(request);
    this.drain();
  }

  #enqueue(request: AppendRequest): void {
    const staged: Staged = { request, ready: request.ready === null, keepOn: NO_SIGNAL, isGone: false };
    this.#staged.push(staged);
    this.#stagedBytes += request.bytes;
    const { signal, ready } = request;
    if (signal !== null) staged.keepOn = onAbort(signal, () => this.#withdraw(staged, signal.reason));
    ready?.then(
      () => {
        staged.ready = true;
        this.drain();
      },
      (error) => this.#withdraw(staged, error),
    );
  }

  #withdraw(staged: Staged, reason: unknown): void {
    if (!this.#staged.remove(staged)) return;
    this.#stagedBytes -= staged.request.bytes;
    staged.keepOn();
    giveUp(staged.request, reason);
    this.drain();
  }

  /** Judges and accepts what is staged, in order, as far as there is room; then lets in what waits. */
  drain(): void {
    if (this.#draining || this.#stagingInPlace) return;
    this.#draining = true;
    try {
      while (this.#staged.first?.ready === true && this.#judgeFirst(this.#staged.first));
    } finally {
      this.#draining = false;
    }
    if (this.#admitting) return;
    this.#admitting = true;
    try {
      for (let { first } = this.#waiting; first !== undefined && this.#staged.length === 0; { first } = this.#waiting) {
        if (!first.start()) break;
        // Encoding it may have run code that aborted its signal: then it is gone.
        this.#waiting.remove(first);
        first.keepOn();
      }
    } finally {
      this.#admitting = false;
    }
  }

  #judgeFirst(staged: Staged): boolean {
    const { request } = staged;
    const { queue } = this.#parts;
    if (queue.isPoisoned) return false;
    let verdict: Verdict;
    try {
      verdict = this.#judge(request, request.sink?.bytes ?? new Uint8Array());
    } catch (error) {
      // The disk would not say what the judge asked. That is this request's failure, not that of whoever made room for it.
      this.#unqueue(staged);
      giveUp(request, error);
      return true;
    }
    if (verdict.kind === "accept") {
      const group = this.#roomFor(request);
      if (group === null) return false;
      this.#unqueue(staged);
      leaveOutRecords(request);
      if (request.items.length > 0) this.#accept(request, group, false);
      else this.#answerWithLast(request);
      return true;
    }
    this.#unqueue(staged);
    this.#deliver(request, verdict);
    return true;
  }

  #judge(request: AppendRequest, staged: Uint8Array): Verdict {
    const { index, frames, placer } = this.#parts;
    let verdict: Verdict = ACCEPT;
    try {
      if (!request.isPlain) verdict = index.withSoundIndex(() => judge(request, staged, index, frames));
    } catch (error) {
      throw readFailure(error);
    }
    const error = verdict.kind === "accept" ? (placer.refusal?.(request) ?? null) : null;
    return error === null ? verdict : { kind: "refuse", error, metSequence: -1 };
  }

  #unqueue(staged: Staged): void {
    this.#staged.remove(staged);
    this.#stagedBytes -= staged.request.bytes;
    staged.keepOn();
  }

  #fits(group: CommitGroup, request: AppendRequest): boolean {
    return this.#parts.makeRoom(this.#parts.placer.placedBytesMax(request)) && this.#parts.queue.open === group;
  }

  #roomFor(request: AppendRequest): CommitGroup | null {
    return this.#parts.makeRoom(this.#parts.placer.placedBytesMax(request)) ? this.#parts.queue.open : null;
  }

  #accept(request: AppendRequest, group: CommitGroup, inPlace: boolean): void {
    const firstFrame = group.frames + request.recordCount;
    this.#parts.beginPlacing(group);
    try {
      this.#parts.placer.place(group, request, inPlace);
    } catch (error) {
      // A broken invariant: part of it is placed, and whatever came behind would be written where nobody finds it.
      this.#parts.queue.poison(error);
      return giveUp(request, error);
    }
    request.learn?.(true);
    const count = request.items.length - request.recordCount;
    group.waiters.push(request.receipts.placed(firstFrame, count, this.#parts.frames.format, this.#parts.durable));
    const { queuedBytes } = this;
    if (queuedBytes > this.queuedBytesPeak) this.queuedBytesPeak = queuedBytes;
    this.#parts.queue.schedule();
  }

  /** Answers a request that adds nothing, once the event that it met is visible. */
  #deliver(request: AppendRequest, verdict: Refusal): void {
    const met = verdict.kind === "refuse" ? verdict.metSequence : verdict.lastSequence;
    request.learn?.(false);
    const group = this.#groupOf(met);
    if (group !== null) {
      group.waiters.push(waiterFor(() => this.#answerTo(request, verdict)(), request.receipts));
      return;
    }
    // Worked out at once: the store may be closed before it is told.
    const answer = this.#answerTo(request, verdict);
    const answerNow = (): void => {
      turnShare.spend(ANSWER_SHARE);
      answer();
    };
    // Who retries what is there in a loop waits for no disk.
    const turn = turnShare.wait();
    if (turn === null) answerNow();
    else void turn.then(answerNow);
  }

  /** Nothing of it is left: what it says is accepted already, so it is answered when that is visible. */
  #answerWithLast({ receipts }: AppendRequest): void {
    const { queue, frames, durable } = this.#parts;
    queue.abandonEmpty();
    const group = queue.open ?? queue.flying.at(-1);
    if (group === undefined) receipts.resolve([]);
    else group.waiters.push(receipts.placed(0, 0, frames.format, durable));
  }

  /** Works out what the request is answered. */
  #answerTo({ items, recordCount, receipts }: AppendRequest, verdict: Refusal): () => void {
    const { index, frames, durable } = this.#parts;
    if (verdict.kind === "refuse") return () => receipts.reject(verdict.error);
    try {
      const given =
        verdict.kind === "removed"
          ? removedReceipts(verdict.rows, durable)
          : index.withSoundIndex(() => repeatedReceipts(verdict.first, items.length - recordCount, index, frames, durable));
      return () => receipts.resolve(given);
    } catch (error) {
      // Answers are given while a group settles: a frame that cannot be read must not stop the others.
      return () => receipts.reject(readFailure(error));
    }
  }

  /** The unsettled group that holds the event; null when it is visible, or none is meant. */
  #groupOf(sequence: number): CommitGroup | null {
    if (sequence < this.#parts.index.visible.sequence) return null;
    const { flying, open } = this.#parts.queue;
    return flying.find((group) => sequence < group.nextSequence) ?? open;
  }

  /** Rejects what has no place in the order yet. */
  rejectWaiting(error: () => StoreError): void {
    // Who waits behind a place that is kept, and not for room, gets one.
    for (const leave of this.#placesKept) leave();
    for (const one of this.#waiting.takeAll()) {
      one.keepOn();
      one.receipts.reject(error());
    }
  }

  /** Rejects everything that is not accepted. */
  rejectAll(error: () => StoreError): void {
    this.#stagedBytes = 0;
    for (const one of this.#staged.takeAll()) {
      one.keepOn();
      giveUp(one.request, error());
    }
    this.rejectWaiting(error);
  }
}

/** What the disk threw as the store's own error; anything else as it is. */
function readFailure(error: unknown): unknown {
  if (error instanceof StoreError || errorCode(error) === undefined) return error;
  const { path } = error as { readonly path?: unknown };
  return ioError("read", typeof path === "string" ? path : "the log", error);
}

/** Copies a request's staged bytes out of the group into a sink of its own. */
function moveOut(request: AppendRequest, group: CommitGroup, start: number): void {
  const sink = new GrowingSink(request.bytes);
  sink.bytes.set(group.bytes.subarray(start, start + request.bytes));
  sink.position = request.bytes;
  for (const item of request.items) {
    item.at -= start;
    item.payloadAt -= start;
  }
  request.sink = sink;
}

/** Rejects a request that was not accepted. */
function giveUp(request: AppendRequest, error: unknown): void {
  request.learn?.(false);
  request.receipts.reject(error);
}

function waiterFor(answer: () => void, receipts: PromisedReceipts): Waiter {
  return { firstFrame: 0, frames: 0, committed: answer, failed: (error) => receipts.reject(error) };
}
