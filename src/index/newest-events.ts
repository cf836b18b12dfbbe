/**
 * By scope and by kind, the sequence of the newest event that became visible since somebody first asked: so that of those who wait for events of
 * theirs only these are woken. Entities have theirs in `heads.ts`.
 */
import type { Interner } from "./interner.ts";
import type { RowFilter } from "./segment-index.ts";
import type { Concerns } from "./sequence-gate.ts";
import type { StoreIndex } from "./store-index.ts";

const KINDS = 0x1_0000;
const SCOPES_MIN = 64;

export class NewestEvents {
  /** Of events before this sequence nothing is noted. */
  readonly from: number;
  // The sequence and one, 0 where there is none.
  #nextByScope = new Float64Array(SCOPES_MIN);
  readonly #nextByKind = new Float64Array(KINDS);

  /** @param from the next accepted event's sequence: what is not visible by now may have been passed already */
  constructor(from: number) {
    this.from = from;
  }

  note(scopeId: number, kind: number, sequence: number): void {
    if (scopeId >= this.#nextByScope.length) this.#grow(scopeId + 1);
    this.#nextByScope[scopeId] = sequence + 1;
    this.#nextByKind[kind] = sequence + 1;
  }

  #grow(scopes: number): void {
    const grown = new Float64Array(Math.max(scopes, this.#nextByScope.length * 2));
    grown.set(this.#nextByScope);
    this.#nextByScope = grown;
  }

  /** -1 where there is none. */
  ofScope(scopeId: number): number {
    return scopeId < this.#nextByScope.length ? this.#nextByScope[scopeId]! - 1 : -1;
  }

  ofKind(kind: number): number {
    return this.#nextByKind[kind]! - 1;
  }
}

/** A name that is waited for, and its id once it has one. */
class Awaited {
  readonly #names: Interner;
  readonly #name: string;
  #id = -1;
  /** How many names there were when it was looked for. */
  #lookedAmong = -1;

  constructor(names: Interner, name: string) {
    this.#names = names;
    this.#name = name;
  }

  /** -1 where no event has it. */
  id(): number {
    if (this.#id < 0 && this.#lookedAmong !== this.#names.size) {
      this.#lookedAmong = this.#names.size;
      this.#id = this.#names.find(this.#name);
    }
    return this.#id;
  }
}

/** Asks whether an event behind the sequence `after` that one of the filters names may have become visible. True where only looking can tell. */
export function concernOf(index: StoreIndex, filters: () => readonly RowFilter[], after: number): Concerns {
  const { entities, heads, scopes } = index;
  const newest = index.noteNewest();
  const met = ({ entity, scope, kinds }: RowFilter): Concerns => {
    const ofEntity = entity === undefined ? null : new Awaited(entities, entity);
    const inScope = scope === undefined ? null : new Awaited(scopes, scope);
    return () => {
      if (ofEntity !== null && (ofEntity.id() < 0 || heads.visibleSequence(ofEntity.id()) <= after)) return false;
      if (inScope !== null && (inScope.id() < 0 || newest.ofScope(inScope.id()) <= after)) return false;
      return kinds === undefined || kinds.some((kind) => newest.ofKind(kind) > after);
    };
  };
  let known: readonly RowFilter[] | null = null;
  let concerns: Concerns[] = [];
  return () => {
    if (after + 1 < newest.from) return true;
    const named = filters();
    if (named !== known) {
      known = named;
      concerns = named.map(met);
    }
    return concerns.some((concern) => concern());
  };
}
