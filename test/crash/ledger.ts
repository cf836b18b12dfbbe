/**
 * What a crash scenario tried and what it was promised, and whether a store that was opened later keeps the promises.
 *
 * Each attempt is one append or batch with a number of its own, which its payloads carry, so that every event found tells which attempt
 * it belongs to. Attempts are made in the order of their numbers, and the log keeps that order.
 */
import assert from "node:assert/strict";
import type { Receipt } from "../../src/events/event.ts";
import type { Store } from "../../src/store.ts";

export interface Item {
  readonly entity: string;
  readonly scope: string;
  readonly data: { readonly attempt: number; readonly item: number; readonly pad: string };
}

export interface Attempt {
  readonly number: number;
  readonly items: readonly Item[];
  /** Null until acknowledged. */
  receipts: readonly Receipt[] | null;
  /** Promised to survive a power cut, not the death of the process alone. */
  durable: boolean;
  /** A store that was opened after a kill did not show it: it must never come back. */
  lost: boolean;
  /** Appends it once more, where its items have keys: then it must be answered with the same receipts. */
  again: ((store: Store) => Promise<readonly Receipt[]>) | null;
  /** Items that a compaction may have removed by now. */
  readonly removable: Set<number>;
  /** Items that a compaction has removed: they must never come back. */
  readonly removed: Set<number>;
}

/** What was asked of a consumer, and what it was promised. */
export interface Commits {
  asked: number;
  promised: number;
}

/** An event as the checks compare it: everything that a reader sees. */
export type Seen = Readonly<Record<string, unknown>> & {
  readonly id: string;
  readonly sequence: number;
  readonly clock: number;
  readonly entity: string;
  readonly scope: string;
  readonly hash: string;
  readonly previousHash: string;
  readonly data: Item["data"];
};

/** Of an event that a store shows, what its receipt says too, and what was appended. */
interface Shown {
  readonly id: string;
  readonly sequence: number;
  readonly clock: number;
  readonly hash: string;
  readonly data: unknown;
}

export class Ledger {
  readonly attempts: Attempt[] = [];
  readonly commits = new Map<string, Commits>();
  /** Snapshots that were made, and how many events each has. */
  readonly copies: { readonly directory: string; readonly events: number }[] = [];

  begin(names: readonly { readonly entity: string; readonly scope: string }[], padBytes: number): Attempt {
    const number = this.attempts.length;
    const items = names.map(({ entity, scope }, item) => ({
      entity,
      scope,
      data: { attempt: number, item, pad: String.fromCharCode(97 + (number % 26)).repeat(padBytes) },
    }));
    const attempt: Attempt = {
      number,
      items,
      receipts: null,
      durable: false,
      lost: false,
      again: null,
      removable: new Set(),
      removed: new Set(),
    };
    this.attempts.push(attempt);
    return attempt;
  }

  acknowledge(attempt: Attempt, receipts: readonly Receipt[]): void {
    // A repeated key gives the first receipts, whenever it is asked.
    if (attempt.receipts !== null) {
      assert.deepEqual(receipts.map(lasting), attempt.receipts.map(lasting), "a retry got other receipts than the first time");
    }
    attempt.receipts = receipts;
    if (receipts.every((receipt) => receipt.durable)) attempt.durable = true;
  }

  commitsOf(consumer: string): Commits {
    const known = this.commits.get(consumer);
    if (known !== undefined) return known;
    const commits = { asked: -1, promised: -1 };
    this.commits.set(consumer, commits);
    return commits;
  }

  /** A store that was opened after its writer was killed shows these events: what it shows stays, what it does not show is gone. */
  settle(shown: readonly Shown[]): void {
    const there = new Map<number, Shown[]>();
    for (const event of shown) {
      const { attempt } = dataOf(event);
      there.set(attempt, [...(there.get(attempt) ?? []), event]);
    }
    for (const attempt of this.attempts) {
      const events = there.get(attempt.number) ?? [];
      if (attempt.receipts === null && events.length === 0) attempt.lost = true;
      else if (attempt.receipts === null) {
        assert.equal(events.length, attempt.items.length, `attempt ${attempt.number} is there in part after a kill`);
        // What is shown is as good as a receipt.
        attempt.receipts = events.map(({ id, sequence, clock, hash }) => ({ id, sequence, clock, hash, timestamp: 0, durable: true }));
      } else if (events.length === 0) {
        assert.ok(isExplained(attempt, []), `attempt ${attempt.number} was acknowledged, and is lost by a mere kill`);
      }
      if (!attempt.lost) attempt.durable = true;
    }
    this.settleRemovals(shown);
  }

  /** A compaction begins that may remove what is not to be kept. */
  allowRemovals(keeps: (data: Item["data"]) => boolean): void {
    for (const attempt of this.acknowledged()) {
      for (const { data } of attempt.items) if (!attempt.removed.has(data.item) && !keeps(data)) attempt.removable.add(data.item);
    }
  }

  /** A compaction has ended, one way or the other, and these events are left. Gives how many more are gone for ever. */
  settleRemovals(shown: readonly Shown[]): number {
    const there = new Set(shown.map((event) => `${dataOf(event).attempt} ${dataOf(event).item}`));
    let gone = 0;
    for (const attempt of this.attempts) {
      for (const item of attempt.removable) {
        if (there.has(`${attempt.number} ${item}`)) continue;
        attempt.removed.add(item);
        gone++;
      }
      attempt.removable.clear();
    }
    return gone;
  }

  acknowledged(): Attempt[] {
    return this.attempts.filter((attempt) => attempt.receipts !== null);
  }

  /** Fails unless these events are what a store may hold after this history. `powerCut`: else the process died alone. */
  check(seen: readonly Seen[], powerCut: boolean): void {
    this.#checkNumbers(seen);
    const found = new Map<number, Seen[]>();
    let previous = -1;
    for (const event of seen) {
      const { attempt: number, item } = event.data;
      const attempt = this.attempts[number];
      assert.ok(attempt !== undefined, `event ${event.sequence} was never appended: ${JSON.stringify(event.data)}`);
      assert.ok(number >= previous, `event ${event.sequence} of attempt ${number} follows one of attempt ${previous}`);
      previous = number;
      const { entity, scope, data } = event;
      assert.deepEqual({ entity, scope, data }, attempt.items[item], `event ${event.sequence} is not what was appended`);
      assert.ok(!attempt.removed.has(item), `event ${event.sequence} of attempt ${number} was removed by a compaction, and has come back`);
      const events = found.get(number) ?? [];
      assert.ok(
        item > (events.at(-1)?.data.item ?? -1),
        `event ${event.sequence} of attempt ${number} is there twice or before its predecessor`,
      );
      events.push(event);
      found.set(number, events);
    }
    for (const attempt of this.attempts) this.#checkAttempt(attempt, found.get(attempt.number) ?? [], previous, powerCut);
  }

  #checkAttempt(attempt: Attempt, events: readonly Seen[], last: number, powerCut: boolean): void {
    const { number, items, receipts, durable, again } = attempt;
    if (attempt.lost) {
      assert.equal(events.length, 0, `attempt ${number} was gone after a kill, and has come back`);
      return;
    }
    if (attempt.removable.size + attempt.removed.size > 0) {
      assert.ok(isExplained(attempt, events), `attempt ${number} lost more than a compaction was asked to remove`);
      if (again !== null)
        assert.ok(events.length === 0 || events.length === items.length, `attempt ${number} has keys, and a part is removed`);
    } else {
      assert.ok(
        events.length === 0 || events.length === items.length,
        `attempt ${number} is there in part: ${events.length} of ${items.length}`,
      );
      assert.ok(events.length > 0 || number > last, `attempt ${number} is missing, though attempt ${last} after it is there`);
      if (durable) assert.ok(events.length > 0, `attempt ${number} was promised to stay (acknowledged: ${receipts !== null}) and is lost`);
      if (receipts !== null && !powerCut)
        assert.ok(events.length > 0, `attempt ${number} was acknowledged (durable: ${durable}) and is lost`);
    }
    if (receipts === null) return;
    for (const event of events) {
      assert.deepEqual(
        lasting(event),
        lasting(receipts[event.data.item] as Receipt),
        `event ${event.data.item} of attempt ${number} differs from its receipt`,
      );
    }
  }

  /** Sequences and clocks without gaps but for what compactions removed, and chains that hold, over those gaps too. */
  #checkNumbers(seen: readonly Seen[]): void {
    const removed = new Map<number, { readonly entity: string; readonly receipt: Receipt }>();
    for (const { items, receipts, removable, removed: gone } of this.attempts) {
      for (const item of [...removable, ...gone]) {
        const receipt = receipts?.[item];
        if (receipt !== undefined) removed.set(receipt.sequence, { entity: (items[item] as Item).entity, receipt });
      }
    }
    const heads = new Map<string, { readonly clock: number; readonly hash: string }>();
    let next = 0;
    for (const event of seen) {
      for (; next < event.sequence; next++) {
        const missing = removed.get(next);
        assert.ok(missing !== undefined, `sequences have a gap at ${next}`);
        heads.set(missing.entity, missing.receipt);
      }
      assert.equal(event.sequence, next++, "sequences go backward");
      const before = heads.get(event.entity);
      assert.equal(event.clock, (before?.clock ?? -1) + 1, `clocks of ${event.entity} have a gap at sequence ${event.sequence}`);
      assert.equal(event.previousHash, before?.hash ?? NO_HASH, `the chain of ${event.entity} is broken at sequence ${event.sequence}`);
      heads.set(event.entity, event);
    }
  }
}

/** Whether all that is missing of an attempt is what compactions may have removed. */
function isExplained({ items, removable, removed }: Attempt, events: readonly Seen[]): boolean {
  const there = new Set(events.map(({ data }) => data.item));
  return items.every((_, item) => there.has(item) || removable.has(item) || removed.has(item));
}

function dataOf({ data }: Shown): Item["data"] {
  return data as Item["data"];
}

function lasting({ id, sequence, clock, hash }: Pick<Receipt, "id" | "sequence" | "clock" | "hash">): unknown {
  return { id, sequence, clock, hash };
}

const NO_HASH = "0".repeat(64);

/** Everything that a store shows, by more than one way: each must agree with the plain list of all events. */
export async function look(store: Store): Promise<Seen[]> {
  const seen: Seen[] = [];
  for (const event of await store.read().toArray()) {
    const { id, sequence, entity, scope, kind, type, version, clock, timestamp, correlationId, causationId, hash, previousHash } = event;
    const { metadata, data } = event as { metadata: unknown; data: unknown };
    seen.push({
      id,
      sequence,
      entity,
      scope,
      kind,
      type,
      version,
      clock,
      timestamp,
      correlationId,
      causationId,
      hash,
      previousHash,
      metadata,
      data: data as Item["data"],
    });
  }
  assert.equal(await store.count(), seen.length, "count() disagrees with read()");
  const backward = await store.read(undefined, { direction: "backward" }).toArray();
  assert.deepEqual(
    backward.map(({ id }) => id),
    seen.map(({ id }) => id).reverse(),
    "reading backward disagrees with reading forward",
  );
  const entities = [...new Set(seen.map(({ entity }) => entity))];
  assert.deepEqual((await store.entities().toArray()).sort(), [...entities].sort(), "entities() disagrees with read()");
  for (const entity of entities) {
    const own = seen.filter((event) => event.entity === entity);
    const { id, sequence, clock, hash, timestamp } = own[own.length - 1] as Seen;
    assert.deepEqual(await store.head(entity), { clock, sequence, hash, id, timestamp }, `the head of ${entity} disagrees with read()`);
    assert.deepEqual(
      (await store.read({ entity }).toArray()).map((event) => event.id),
      own.map((event) => event.id),
      `reading ${entity} disagrees with reading all`,
    );
  }
  for (const scope of new Set(seen.map((event) => event.scope))) {
    assert.equal(await store.count({ scope }), seen.filter((event) => event.scope === scope).length, `count of ${scope} disagrees`);
  }
  for (const event of seen) {
    const got = await store.get(event.id);
    assert.equal(got?.hash, event.hash, `get(${event.id}) disagrees with read()`);
  }
  return seen;
}
