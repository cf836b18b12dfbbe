/**
 * What is waited for, by names, by the beginnings of names, and by tags: who is to be asked is found by what an event has, whatever the number of those
 * who wait. Who leaves last takes what he waited at with him.
 */
import type { Interner } from "./interner.ts";
import type { Waiter, WaitingPlace } from "./sequence-gate.ts";

/** What is waited for, and by whom. */
export interface Awaited {
  readonly waiters: Set<Waiter>;
}

/** @param find what is waited for, made where nobody waits for it yet; `forget`: nobody waits for it any more */
function placeAt<Sort extends Awaited>(find: () => Sort, forget: (awaited: Sort) => void): WaitingPlace {
  return {
    add: (waiter) => {
      const awaited = find();
      awaited.waiters.add(waiter);
      return () => {
        awaited.waiters.delete(waiter);
        if (awaited.waiters.size === 0) forget(awaited);
      };
    },
  };
}

/** The tags of ids that are waited for: each as good as the id, since whoever is asked looks for himself. */
export class AwaitedTags {
  readonly #byTag = new Map<number, Awaited>();

  get areAwaited(): boolean {
    return this.#byTag.size > 0;
  }

  place(tag: number): WaitingPlace {
    return placeAt(
      () => {
        const awaited = this.#byTag.get(tag) ?? { waiters: new Set() };
        this.#byTag.set(tag, awaited);
        return awaited;
      },
      (awaited) => {
        if (this.#byTag.get(tag) === awaited) this.#byTag.delete(tag);
      },
    );
  }

  find(tag: number): Awaited | undefined {
    return this.#byTag.get(tag);
  }
}

/** The beginnings of names that are waited for, by their hashes: each as good as the beginning. */
export class AwaitedPrefixes {
  readonly #names: Interner;
  /** By their lengths in bytes, ascending: a name is hashed once for all of them. */
  readonly #lengths: { readonly byteLength: number; readonly tags: AwaitedTags }[] = [];

  constructor(names: Interner) {
    this.#names = names;
  }

  /** Where those wait who wait for events of names that begin so. */
  place(prefix: string): WaitingPlace {
    const bytes = Buffer.from(prefix);
    const hash = bytes.reduce(hashedWith, HASH_BASIS);
    return {
      add: (waiter) => {
        const tags = this.#tagsOf(bytes.length);
        const leave = tags.place(hash).add(waiter);
        return () => {
          leave();
          if (!tags.areAwaited) this.#forget(tags);
        };
      },
    };
  }

  #tagsOf(byteLength: number): AwaitedTags {
    const at = this.#lengths.findIndex((one) => one.byteLength >= byteLength);
    if (this.#lengths[at]?.byteLength === byteLength) return this.#lengths[at].tags;
    const tags = new AwaitedTags();
    this.#lengths.splice(at < 0 ? this.#lengths.length : at, 0, { byteLength, tags });
    return tags;
  }

  #forget(tags: AwaitedTags): void {
    const at = this.#lengths.findIndex((one) => one.tags === tags);
    if (at >= 0) this.#lengths.splice(at, 1);
  }

  /** Adds what the name with this id begins with. */
  addTo(touched: Set<Awaited>, id: number): void {
    if (this.#lengths.length === 0) return;
    const { bytes, offsets } = this.#names.text;
    const start = offsets[id]!;
    const end = offsets[id + 1]!;
    let hash = HASH_BASIS;
    let at = start;
    for (const { byteLength, tags } of this.#lengths) {
      if (start + byteLength > end) return;
      while (at < start + byteLength) hash = hashedWith(hash, bytes[at++]!);
      const awaited = tags.find(hash);
      if (awaited !== undefined) touched.add(awaited);
    }
  }
}

// FNV-1a: what a hash is of grows byte by byte. Source: http://www.isthe.com/chongo/tech/comp/fnv/
const HASH_BASIS = 0x811c9dc5 | 0;

function hashedWith(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

/** A name that is waited for. */
interface AwaitedName extends Awaited {
  readonly name: string;
  /** -1 while no event has the name. */
  id: number;
}

/** The names of one sort that are waited for. */
export class AwaitedNames {
  readonly #names: Interner;
  readonly #byId = new Map<number, AwaitedName>();
  readonly #withoutId = new Map<string, AwaitedName>();
  /** Ids from here on may be of names that had none when they were asked for. */
  #newFrom = 0;

  constructor(names: Interner) {
    this.#names = names;
  }

  /** Where those wait who wait for events of this name. */
  place(name: string): WaitingPlace {
    return placeAt(
      () => this.#awaitedOf(name),
      ({ id }) => {
        if (id < 0) this.#withoutId.delete(name);
        else this.#byId.delete(id);
      },
    );
  }

  #awaitedOf(name: string): AwaitedName {
    const id = this.#names.find(name);
    if (id >= 0) {
      // It may have waited for its id until now.
      const known = this.#byId.get(id) ?? this.#take(name) ?? { name, id, waiters: new Set() };
      known.id = id;
      this.#byId.set(id, known);
      return known;
    }
    if (this.#withoutId.size === 0) this.#newFrom = this.#names.size;
    const known = this.#withoutId.get(name) ?? { name, id, waiters: new Set() };
    this.#withoutId.set(name, known);
    return known;
  }

  #take(name: string): AwaitedName | undefined {
    const awaited = this.#withoutId.get(name);
    this.#withoutId.delete(name);
    return awaited;
  }

  /** Who waits for events of the name with this id. */
  find(id: number): AwaitedName | undefined {
    const awaited = this.#byId.get(id);
    if (awaited !== undefined || id < this.#newFrom || this.#withoutId.size === 0) return awaited;
    const found = this.#take(this.#names.name(id));
    if (found === undefined) return undefined;
    found.id = id;
    this.#byId.set(id, found);
    return found;
  }
}
