/**
 * What a store should answer, kept the simple way: a list of events, and plain loops over it. It is asked in the order in which the appends
 * are made, which is the order in which the store judges them.
 */
import type { Filter } from "../../src/events/query.ts";

export interface ModelEvent {
  readonly entity: string;
  readonly scope: string;
  readonly kind: number;
  readonly data: unknown;
  readonly sequence: number;
  readonly clock: number;
  /** Index in the list of the event that caused it; -1 for none. */
  readonly cause: number;
  /** Of the event itself, once a receipt or a read has told them. */
  id: string;
  hash: string;
  timestamp: number;
}

export type Expected = "none" | "exists" | { readonly clock: number } | { readonly noneMatching: Filter; readonly after?: number };

export interface ModelItem {
  readonly entity: string;
  readonly scope: string;
  readonly kind: number;
  readonly data: unknown;
  readonly key?: string;
  readonly expect?: Expected;
  readonly cause?: number;
}

export type Outcome =
  | { readonly code: "CONFLICT" | "IDEMPOTENCY_MISMATCH" }
  | { readonly code: null; readonly events: readonly ModelEvent[] };

interface Batch {
  readonly items: readonly ModelItem[];
  readonly events: readonly ModelEvent[];
}

export class StoreModel {
  events: ModelEvent[] = [];
  #batches: Batch[] = [];

  /** Sequences at which a batch ends. */
  get boundaries(): number[] {
    return [0, ...this.#batches.map(({ events }) => (events[events.length - 1]?.sequence ?? -1) + 1)];
  }

  clockOf(entity: string): number {
    return this.events.filter((event) => event.entity === entity).length - 1;
  }

  append(items: readonly ModelItem[]): Outcome {
    const repeated = this.#batches.find((batch) => items.some((item) => batch.items.some((old) => isSameKey(item, old))));
    if (repeated !== undefined) {
      const same = repeated.items.length === items.length && items.every((item, i) => isSameItem(item, repeated.items[i]));
      return same ? { code: null, events: repeated.events } : { code: "IDEMPOTENCY_MISMATCH" };
    }
    const added: ModelEvent[] = [];
    for (const item of items) {
      const clock = this.clockOf(item.entity) + added.filter((event) => event.entity === item.entity).length;
      if (item.expect !== undefined && !this.#holds(item.expect, clock)) return { code: "CONFLICT" };
      const { entity, scope, kind, data, cause = -1 } = item;
      const sequence = this.events.length + added.length;
      added.push({ entity, scope, kind, data, sequence, clock: clock + 1, cause, id: "", hash: "", timestamp: 0 });
    }
    this.events.push(...added);
    this.#batches.push({ items, events: added });
    return { code: null, events: added };
  }

  #holds(expected: Expected, clock: number): boolean {
    if (expected === "none") return clock < 0;
    if (expected === "exists") return clock >= 0;
    if ("clock" in expected) return clock === expected.clock;
    const { noneMatching, after = -1 } = expected;
    return !this.events.some((event) => event.sequence > after && this.matches(event, noneMatching));
  }

  matches(event: ModelEvent, filter: Filter): boolean {
    const { entity, entityPrefix, scope, kind, category, correlation, causedBy, clock, sequence, time } = filter;
    const kinds = kind === undefined ? null : ((Array.isArray(kind) ? kind : [kind]) as number[]);
    return (
      (entity === undefined || event.entity === entity) &&
      (entityPrefix === undefined || event.entity.startsWith(entityPrefix)) &&
      (scope === undefined || event.scope === scope) &&
      (kinds === null || kinds.includes(event.kind)) &&
      (category === undefined || event.kind >> 12 === category) &&
      (correlation === undefined || this.rootOf(event).id === correlation) &&
      (causedBy === undefined || (event.cause >= 0 && this.events[event.cause]?.id === causedBy)) &&
      isWithin(event.clock, clock) &&
      isWithin(event.sequence, sequence) &&
      isWithin(event.timestamp, time as NumberRange | undefined)
    );
  }

  rootOf(event: ModelEvent): ModelEvent {
    const cause = this.events[event.cause];
    return cause === undefined ? event : this.rootOf(cause);
  }

  /** What a power cut or a kill took away was never there. */
  cutTo(sequence: number): void {
    this.events.length = sequence;
    this.#batches = this.#batches.filter(({ events }) => (events[0]?.sequence ?? 0) < sequence);
  }
}

interface NumberRange {
  readonly from?: number;
  readonly after?: number;
  readonly to?: number;
  readonly before?: number;
}

function isWithin(value: number, range: NumberRange | undefined): boolean {
  const { from = -Infinity, after = -Infinity, to = Infinity, before = Infinity } = range ?? {};
  return value >= from && value > after && value <= to && value < before;
}

function isSameKey(a: ModelItem, b: ModelItem): boolean {
  return a.key !== undefined && a.key === b.key && a.entity === b.entity;
}

function isSameItem(a: ModelItem, b: ModelItem | undefined): boolean {
  return (
    a.entity === b?.entity &&
    a.scope === b.scope &&
    a.kind === b.kind &&
    a.key === b.key &&
    JSON.stringify(a.data) === JSON.stringify(b.data)
  );
}
