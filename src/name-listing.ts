/** Names of entities or scopes, listed a step at a time. */
import { assertOptions } from "./base/arguments.ts";
import type { Interner } from "./index/interner.ts";
import { invalidArgument } from "./base/store-error.ts";
import { rest } from "./base/rest.ts";

const NAMES_PER_STEP = 4096;

const OPTION_NAMES: ReadonlySet<string> = new Set(["prefix"]);

/** What `store.entities` and `store.scopes` return: an async iterable of names. */
export class NameListing implements AsyncIterable<string> {
  readonly #names: Interner;
  readonly #bound: number;
  readonly #prefix: string;
  readonly #shows: (id: number) => boolean;

  constructor(names: Interner, bound: number, options: { readonly prefix?: string | undefined }, shows: (id: number) => boolean) {
    assertOptions(options, OPTION_NAMES, "list names");
    if (options.prefix !== undefined && typeof options.prefix !== "string")
      throw invalidArgument("Cannot list names: prefix is no text, text is allowed");
    this.#names = names;
    this.#bound = bound;
    this.#prefix = options.prefix ?? "";
    this.#shows = shows;
  }

  async *batches(): AsyncGenerator<readonly string[], undefined> {
    for (let from = 0; from < this.#bound; from += NAMES_PER_STEP) {
      const names: string[] = [];
      for (let id = from; id < Math.min(from + NAMES_PER_STEP, this.#bound); id++) {
        if (!this.#shows(id)) continue;
        const name = this.#names.name(id);
        if (name.startsWith(this.#prefix)) names.push(name);
      }
      if (names.length > 0) yield names;
      await rest();
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, undefined> {
    for await (const names of this.batches()) yield* names;
  }

  async toArray(): Promise<string[]> {
    const all: string[] = [];
    for await (const names of this.batches()) for (const name of names) all.push(name);
    return all;
  }
}
