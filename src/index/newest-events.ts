/**
 * What has become visible since somebody first waited for events of his: by scope and by kind the sequence of the newest, and which of those who
 * wait for events of one entity, of entities by a prefix, of one scope, of one correlation or cause, are to be asked. So a commit costs those nothing
 * whom it does not concern, however many they are.
 */
import { startedWith } from "../base/column-bytes.ts";
import { type Awaited, AwaitedNames, AwaitedPrefixes, AwaitedTags } from "./awaited.ts";
import type { RowFilter } from "./segment-index.ts";
import type { Concerns, Waiter, WaitingPlace } from "./sequence-gate.ts";
import type { StoreIndex } from "./store-index.ts";

/** Kinds are 16 bits: as many pages as a page has kinds, and few stores have kinds in more than two. */
const KIND_PAGE_SHIFT = 8;
const KIND_PAGE_MASK = (1 << KIND_PAGE_SHIFT) - 1;
const CATEGORIES = 16;
const CATEGORY_SHIFT = 12;
const SCOPES_MIN = 64;
/** Who has more filters is asked at each commit: he would have to come to as many places whenever he waits. */
const PLACES_MAX = 64;

export class NewestEvents {
  /** Of events before this sequence nothing is noted. */
  readonly from: number;
  /** The sequence after the newest that is noted: ahead of what is visible while a reader takes events up. */
  notedTo = 0;
  readonly entities: AwaitedNames;
  readonly prefixes: AwaitedPrefixes;
  readonly scopes: AwaitedNames;
  readonly correlations = new AwaitedTags();
  readonly causes = new AwaitedTags();
  // The sequence and one, 0 where there is none.
  #nextByScope = new Float64Array(SCOPES_MIN);
  readonly #nextByKind: (Float64Array | undefined)[] = new Array<undefined>(1 << KIND_PAGE_SHIFT).fill(undefined);
  readonly #nextByCategory = new Float64Array(CATEGORIES);
  readonly #touched = new Set<Awaited>();

  /** Of this index, from its next accepted event on: what is not visible by now may have been passed already. */
  constructor({ acceptedSequence, entities, scopes }: Pick<StoreIndex, "acceptedSequence" | "entities" | "scopes">) {
    this.from = acceptedSequence;
    this.entities = new AwaitedNames(entities);
    this.prefixes = new AwaitedPrefixes(entities);
    this.scopes = new AwaitedNames(scopes);
  }

  note(entityId: number, scopeId: number, kind: number, sequence: number): void {
    this.notedTo = sequence + 1;
    if (scopeId >= this.#nextByScope.length) this.#grow(scopeId + 1);
    this.#nextByScope[scopeId] = sequence + 1;
    const page = (this.#nextByKind[kind >>> KIND_PAGE_SHIFT] ??= new Float64Array(1 << KIND_PAGE_SHIFT));
    page[kind & KIND_PAGE_MASK] = sequence + 1;
    this.#nextByCategory[kind >>> CATEGORY_SHIFT] = sequence + 1;
    const ofEntity = this.entities.find(entityId);
    if (ofEntity !== undefined) this.#touched.add(ofEntity);
    const inScope = this.scopes.find(scopeId);
    if (inScope !== undefined) this.#touched.add(inScope);
    this.prefixes.addTo(this.#touched, entityId);
  }

  /** Whether `noteLinks` is to be called as well. */
  get awaitsLinks(): boolean {
    return this.correlations.areAwaited || this.causes.areAwaited;
  }

  /** What else is to be noted of an event: the tags of its correlation and cause, 0 where it has none. */
  noteLinks(correlationTag: number, causationTag: number): void {
    const correlated = this.correlations.find(correlationTag);
    if (correlated !== undefined) this.#touched.add(correlated);
    const caused = this.causes.find(causationTag);
    if (caused !== undefined) this.#touched.add(caused);
  }

  #grow(scopes: number): void {
    this.#nextByScope = startedWith(new Float64Array(Math.max(scopes, this.#nextByScope.length * 2)), this.#nextByScope);
  }

  /** -1 where there is none. */
  ofScope(scopeId: number): number {
    return scopeId < this.#nextByScope.length ? this.#nextByScope[scopeId]! - 1 : -1;
  }

  ofCategory(category: number): number {
    return this.#nextByCategory[category]! - 1;
  }

  ofKind(kind: number): number {
    return (this.#nextByKind[kind >>> KIND_PAGE_SHIFT]?.[kind & KIND_PAGE_MASK] ?? 0) - 1;
  }

  /** Those who wait for events of what some were noted of since this was last asked. */
  takeTouched(): Waiter[] {
    // Once each, in however many places he waits.
    const waiters = new Set<Waiter>();
    for (const awaited of this.#touched) for (const waiter of awaited.waiters) waiters.add(waiter);
    this.#touched.clear();
    return Array.from(waiters);
  }
}

/** Asks whether an event behind the sequence `after` that one of the filters names may have become visible. True where only looking can tell. */
export function concernOf(index: StoreIndex, filters: () => readonly RowFilter[], after: number): Concerns {
  const { entities, heads, scopes } = index;
  const newest = index.noteNewest();
  const met = ({ entity, scope, kinds, category }: RowFilter): boolean => {
    if (entity !== undefined) {
      const id = entities.find(entity);
      if (id < 0 || heads.visibleSequence(id) <= after) return false;
    }
    if (scope !== undefined) {
      const id = scopes.find(scope);
      if (id < 0 || newest.ofScope(id) <= after) return false;
    }
    if (category !== undefined) return newest.ofCategory(category) > after;
    return kinds === undefined || kinds.some((kind) => newest.ofKind(kind) > after);
  };
  return () => after + 1 < newest.from || filters().some(met);
}

/**
 * Where somebody may wait for what these filters name: null where it takes asking at each commit. None for who stands before what is noted, and none
 * while more is noted than is visible: nobody waited for what came to be noted before him, and he is to be asked once that is visible.
 *
 * @param asked how many filters there are with those that nothing can match yet, of a kind that nobody has used: somebody may, while he waits
 */
export function waitingPlaceOf(index: StoreIndex, filters: readonly RowFilter[], asked: number, after: number): WaitingPlace | null {
  const newest = index.noteNewest();
  if (asked !== filters.length || asked === 0 || asked > PLACES_MAX) return null;
  if (after + 1 < newest.from || newest.notedTo > index.visible.sequence) return null;
  const places: WaitingPlace[] = [];
  for (const filter of filters) {
    const place = placeOf(newest, filter);
    if (place === null) return null;
    places.push(place);
  }
  return places.length === 1 ? places[0]! : allOf(places);
}

function allOf(places: readonly WaitingPlace[]): WaitingPlace {
  return {
    add: (waiter) => {
      const leave = places.map((place) => place.add(waiter));
      return () => {
        for (const leaveOne of leave) leaveOne();
      };
    },
  };
}

function placeOf(newest: NewestEvents, { entity, entityPrefix, scope, correlationTag, causationTag }: RowFilter): WaitingPlace | null {
  if (entity !== undefined) return newest.entities.place(entity);
  if (correlationTag !== undefined) return newest.correlations.place(correlationTag);
  if (causationTag !== undefined) return newest.causes.place(causationTag);
  if (entityPrefix !== undefined) return newest.prefixes.place(entityPrefix);
  return scope === undefined ? null : newest.scopes.place(scope);
}
