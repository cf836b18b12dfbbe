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

export class Ledger {
  readonly attempts: Attempt[] = [];

  begin(names: readonly { readonly entity: string; readonly scope: string }[], padBytes: number): Attempt {
    const number = this.attempts.length;
    const items = names.map(({ entity, scope }, item) => ({
      entity,
      scope,
      data: { attempt: number, item, pad: String.fromCharCode(97 + (number % 26)).repeat(padBytes) },
    }));
    const attempt: Attempt = { number, items, receipts: null, durable: false, lost: false };
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

  /** A store that was opened after its writer was killed shows these events: what it shows stays, what it does not show is gone. */
  settle(shown: readonly { readonly data: unknown }[]): void {
    const there = new Set(shown.map(({ data }) => (data as Item["data"]).attempt));
    for (const attempt of this.attempts) {
      if (there.has(attempt.number)) attempt.durable = true;
      else {
        assert.equal(attempt.receipts, null, `attempt ${attempt.number} was acknowledged, and is lost by a mere kill`);
        attempt.lost = true;
      }
    }
  }

  acknowledged(): Attempt[] {
    return this.attempts.filter((attempt) => attempt.receipts !== null);
  }

  /** Fails unless these events are what a store may hold after this history. `powerCut`: else the process died alone. */
  check(seen: readonly Seen[], powerCut: boolean): void {
    checkNumbers(seen);
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
      const events = found.get(number) ?? [];
      assert.equal(item, events.length, `event ${event.sequence} of attempt ${number} is there twice or before its predecessor`);
      events.push(event);
      found.set(number, events);
    }
    for (const attempt of this.attempts) this.#checkAttempt(attempt, found.get(attempt.number) ?? [], previous, powerCut);
  }

  #checkAttempt(attempt: Attempt, events: readonly Seen[], last: number, powerCut: boolean): void {
    const { number, items, receipts, durable } = attempt;
    assert.ok(
      events.length === 0 || events.length === items.length,
      `attempt ${number} is there in part: ${events.length} of ${items.length}`,
    );
    if (attempt.lost) {
      assert.equal(events.length, 0, `attempt ${number} was gone after a kill, and has come back`);
      return;
    }
    assert.ok(events.length > 0 || number > last, `attempt ${number} is missing, though attempt ${last} after it is there`);
    if (durable) assert.ok(events.length > 0, `attempt ${number} was promised to stay (acknowledged: ${receipts !== null}) and is lost`);
    if (receipts === null) return;
    if (!powerCut) assert.ok(events.length > 0, `attempt ${number} was acknowledged (durable: ${durable}) and is lost`);
    for (let i = 0; i < events.length; i++) {
      const { id, sequence, clock, hash } = receipts[i] as Receipt;
      assert.deepEqual(
        { id: events[i]?.id, sequence: events[i]?.sequence, clock: events[i]?.clock, hash: events[i]?.hash },
        { id, sequence, clock, hash },
        `event ${i} of attempt ${number} differs from its receipt`,
      );
    }
  }
}

function lasting({ id, sequence, clock, hash }: Receipt): unknown {
  return { id, sequence, clock, hash };
}

const NO_HASH = "0".repeat(64);

/** Sequences and clocks without gaps, ids that ascend, chains that hold. */
function checkNumbers(seen: readonly Seen[]): void {
  const heads = new Map<string, Seen>();
  seen.forEach((event, sequence) => {
    assert.equal(event.sequence, sequence, "sequences have a gap");
    const before = heads.get(event.entity);
    assert.equal(event.clock, (before?.clock ?? -1) + 1, `clocks of ${event.entity} have a gap at sequence ${sequence}`);
    assert.equal(event.previousHash, before?.hash ?? NO_HASH, `the chain of ${event.entity} is broken at sequence ${sequence}`);
    heads.set(event.entity, event);
  });
}

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
