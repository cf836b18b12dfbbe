/** Names of entities or scopes, listed a step at a time. */
import { assertOptions } from "./base/arguments.ts";
import { PrefixSet } from "./base/prefix-set.ts";
import { inSteps, rest } from "./base/rest.ts";
import { invalidArgument } from "./base/store-error.ts";
import { isWellFormed } from "./events/utf8.ts";
import type { Interner } from "./index/interner.ts";
import type { NameOrder } from "./index/name-order.ts";
import type { StoreAccess } from "./store-access.ts";

const NAMES_PER_STEP = 4096;
/** More names are not taken from the order of names: they are to be listed by their ids, and sorted at once. */
const FOUND_MAX = 16_384;

const OPTION_NAMES: ReadonlySet<string> = new Set(["prefix"]);

interface ListingOptions {
  readonly prefix?: string | undefined;
}

/** What `store.entities` and `store.scopes` return: an async iterable of names. */
export class NameListing implements AsyncIterable<string> {
  readonly #names: Interner;
  readonly #order: NameOrder;
  readonly #bound: number;
  readonly #prefix: string;
  readonly #shows: (id: number) => boolean;

  /** Of the names with ids below `bound`, those that `shows` lets through. */
  constructor(names: Interner, order: NameOrder, bound: number, options: ListingOptions, shows: (id: number) => boolean) {
    assertOptions(options, OPTION_NAMES, "list names");
    if (options.prefix !== undefined && typeof options.prefix !== "string")
      throw invalidArgument("Cannot list names: prefix is no text, text is allowed");
    this.#names = names;
    this.#order = order;
    this.#bound = bound;
    this.#prefix = options.prefix ?? "";
    this.#shows = shows;
  }

  /** The names in lists: some thousands at a time. */
  async *batches(): AsyncGenerator<readonly string[], undefined> {
    // Half a surrogate pair is no text in UTF-8, but may be where a name is cut.
    const prefixes = isWellFormed(this.#prefix) ? new PrefixSet([this.#prefix]) : null;
    const found = prefixes === null || this.#prefix === "" ? null : await this.#find(prefixes);
    const count = found?.length ?? this.#bound;
    for (let from = 0; from < count; from += NAMES_PER_STEP) {
      const names: string[] = [];
      for (let at = from; at < Math.min(from + NAMES_PER_STEP, count); at++) {
        const id = found === null ? at : found[at];
        if (found === null && prefixes !== null && !this.#names.beginsOne(id, prefixes)) continue;
        if (!this.#shows(id)) continue;
        const name = this.#names.name(id);
        if (prefixes !== null || name.startsWith(this.#prefix)) names.push(name);
      }
      if (names.length > 0) yield names;
      await rest();
    }
  }

  /** The ids of names that begin so, ascending; null where all names are to be looked through. */
  async #find(prefixes: PrefixSet): Promise<Uint32Array | null> {
    await inSteps(this.#order.help());
    const found = this.#order.find(prefixes, FOUND_MAX);
    return found === null ? null : Uint32Array.from(found.filter((id) => id < this.#bound)).sort();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, undefined> {
    for await (const names of this.batches()) yield* names;
  }

  /** All names in one list. */
  async toArray(): Promise<string[]> {
    const all: string[] = [];
    for await (const names of this.batches()) for (const name of names) all.push(name);
    return all;
  }
}

/** The entities with a visible event. */
export function listEntities(access: StoreAccess, options: ListingOptions): NameListing {
  access.assertReadable();
  const { index } = access.parts.log;
  return new NameListing(index.entities, index.entityOrder, index.heads.count, options, (id) => index.isVisible(id));
}

/** The scopes with a visible event. */
export function listScopes(access: StoreAccess, options: ListingOptions): NameListing {
  access.assertReadable();
  const { index } = access.parts.log;
  const bound = index.visible.sequence;
  return new NameListing(index.scopes, index.scopeOrder, index.scopes.size, options, (id) => index.scopeFirstSequence[id] < bound);
}
