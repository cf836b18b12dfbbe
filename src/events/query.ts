/**
 * Queries: which events. How to read them (direction, limit, …) is `ReadOptions`, never part of the query. A query is checked and compiled
 * once into plain numbers, texts and bytes, which is what the index below understands.
 */
import { assertMembers, assertSignal } from "../base/arguments.ts";
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument, outOfRange } from "../base/store-error.ts";
import { assertName } from "./coordinate.ts";
import { isDefinition } from "./definition.ts";
import type { AnyDefinition } from "./definition.ts";
import type { Event, EventOf } from "./event-union.ts";
import { parseId } from "./id.ts";
import { assertCategory, assertKind, categoryOf } from "./kind.ts";

/** A range. `from` and `to` are in it, `after` and `before` are not; at most one bound a side. An empty range matches nothing. */
export interface Range<Value> {
  readonly from?: Value;
  readonly after?: Value;
  readonly to?: Value;
  readonly before?: Value;
}

/** What an event must be to match: all that is said. */
export interface Filter {
  /** Exactly this entity. */
  readonly entity?: string;
  /** Entities whose name begins with this text. */
  readonly entityPrefix?: string;
  readonly scope?: string;
  /** Events of this definition or kind, or of any in the list. */
  readonly kind?: AnyDefinition | number | readonly (AnyDefinition | number)[];
  /** 0 to 15. */
  readonly category?: number;
  /** Id of the root event of a chain of work: the whole chain. */
  readonly correlation?: string;
  /** Id of the event that directly caused it. */
  readonly causedBy?: string;
  /** Numbers within the entity. */
  readonly clock?: Range<number>;
  /** Numbers within the store. */
  readonly sequence?: Range<number>;
  /** Times as Date or milliseconds since the Unix epoch; a millisecond is in the range whole or not at all. */
  readonly time?: Range<Date | number>;
}

/** One filter, or any of several. No filter in the list matches nothing. */
export type Query = Filter | readonly Filter[];

/** How to read. */
export interface ReadOptions {
  /** In sequence order from the oldest ("forward", the default) or from the newest. */
  readonly direction?: "forward" | "backward" | undefined;
  /** At most this many events: 0 or more. */
  readonly limit?: number | undefined;
  /** Ends the read with its reason when aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Goes on behind the event of this sequence, in the direction of reading. */
  readonly after?: number | undefined;
}

/** Where to begin to follow, and when to end. */
export interface SubscribeOptions {
  /** Begins behind the event of this sequence; `"start"` (default): with what is there; `"end"`: behind what is visible at the call. */
  readonly after?: number | "start" | "end" | undefined;
  /** Ends the subscription with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Read options, checked. */
export interface CompiledReadOptions {
  readonly direction: "forward" | "backward";
  /** Infinity when there is none. */
  readonly limit: number;
  readonly signal: AbortSignal | undefined;
  readonly after: number | undefined;
}

/** A filter in plain values: what is absent does not constrain. Ranges are inclusive and not empty, times in microseconds. */
export interface CompiledFilter {
  entity?: string;
  entityPrefix?: string;
  scope?: string;
  /** Ascending, distinct, at least one. Never together with `category`. */
  kinds?: readonly number[];
  category?: number;
  /** 16 bytes. */
  correlationId?: Uint8Array;
  /** 16 bytes. */
  causationId?: Uint8Array;
  clockFrom?: number;
  clockTo?: number;
  sequenceFrom?: number;
  sequenceTo?: number;
  timeFrom?: number;
  timeTo?: number;
}

/** The kinds under which a definition's events may be stored, ascending: `DefinitionRegistry.kindsOf`. */
export type KindsOf = (definition: AnyDefinition) => readonly number[];

type KindEvents<Kind, Definitions extends readonly AnyDefinition[]> = Kind extends AnyDefinition
  ? EventOf<Kind>
  : Kind extends readonly (infer Item)[]
    ? [Item] extends [AnyDefinition]
      ? EventOf<Item>
      : Event<Definitions>
    : Event<Definitions>;

type FilterEvents<Asked, Definitions extends readonly AnyDefinition[]> = Asked extends { readonly kind: infer Kind }
  ? KindEvents<Kind, Definitions>
  : Event<Definitions>;

/**
 * What a query yields from a store with these definitions: where it names definitions, the union of their events; otherwise whatever the
 * store reads.
 */
export type QueryEvents<Asked, Definitions extends readonly AnyDefinition[] = readonly []> = Asked extends readonly (infer Item)[]
  ? FilterEvents<Item, Definitions>
  : FilterEvents<Asked, Definitions>;

/** In place of a member that no query has: the compiler names it where it is given. */
interface NoMemberOfAQuery<Member> {
  readonly "no member of a query": Member;
}

/** In place of a member that says how to read. */
interface OptionBesideTheQuery<Member> {
  readonly "an option, beside the query": Member;
}

/** In place of a member that no range has. */
interface NoMemberOfARange<Member> {
  readonly "no member of a range": Member;
}

type RangeMember = "clock" | "sequence" | "time";
type FilterIn<Asked> = Asked extends readonly (infer Item)[] ? Item : Asked;
type UnknownMember<Given> = Given extends object ? Exclude<keyof Given, keyof Filter> : never;
type UnknownBoundIn<Bounds> = Bounds extends object ? Exclude<keyof Bounds, keyof Range<unknown>> : never;
type UnknownBound<Given> = Given extends object
  ? { [Member in RangeMember & keyof Given]: UnknownBoundIn<Given[Member]> }[RangeMember & keyof Given]
  : never;

/** What a filter with unknown members would have to be: what such a member can never be is there in its place. */
type Refused<Given> = {
  readonly [Member in UnknownMember<Given>]?: Member extends keyof ReadOptions ? OptionBesideTheQuery<Member> : NoMemberOfAQuery<Member>;
} & { readonly [Member in RangeMember]?: { readonly [Bound in UnknownBound<Given> & PropertyKey]?: NoMemberOfARange<Bound> } };

/**
 * A query with the members of one, and no other: `store.read` refuses any other, and so do its types, in whatever way the query is written. A
 * function of your own that passes on what it is asked, and tells the events' types, takes this.
 *
 * @example
 * function newest<const Asked extends Query>(query: KnownQuery<Asked>): Promise<QueryEvents<Asked> | null> {
 *   return store.read(query, { direction: "backward", limit: 1 }).first();
 * }
 */
export type KnownQuery<Asked> = Asked &
  ([UnknownMember<FilterIn<Asked>> | UnknownBound<FilterIn<Asked>>] extends [never]
    ? unknown
    : Asked extends readonly unknown[]
      ? { readonly [Place in keyof Asked]: Refused<FilterIn<Asked>> }
      : Refused<Asked>);

const FILTER_MEMBERS: ReadonlySet<string> = new Set([
  "entity",
  "entityPrefix",
  "scope",
  "kind",
  "category",
  "correlation",
  "causedBy",
  "clock",
  "sequence",
  "time",
]);
const RANGE_MEMBERS: ReadonlySet<string> = new Set(["from", "after", "to", "before"]);
const OPTION_MEMBERS: ReadonlySet<string> = new Set(["direction", "limit", "signal", "after"]);
const SUBSCRIBE_MEMBERS: ReadonlySet<string> = new Set(["signal", "after"]);

/**
 * Checks a query and compiles it. Filters that cannot match anything are left out: an empty result matches nothing.
 *
 * @param query undefined stands for everything
 * @param operation what cannot be done otherwise, for messages: "read"
 * @throws TypeError or RangeError `INVALID_ARGUMENT`
 */
export function compileQuery(query: Query | undefined, kindsOf: KindsOf, operation: string): CompiledFilter[] {
  if (query === undefined) return [{}];
  const filters: readonly unknown[] = Array.isArray(query) ? query : [query];
  const compiled: CompiledFilter[] = [];
  for (const filter of filters) {
    const result = compileFilter(filter, kindsOf, operation);
    if (result !== null) compiled.push(result);
  }
  return compiled;
}

/** How many filters a query has: `compileQuery` leaves out those that nothing can match yet. */
export function filterCount(query: Query | undefined): number {
  return Array.isArray(query) ? query.length : 1;
}

/**
 * Checks read options.
 *
 * @throws TypeError or RangeError `INVALID_ARGUMENT`
 */
export function compileReadOptions(options: ReadOptions | undefined, operation: string): CompiledReadOptions {
  const given = options ?? {};
  assertMembers(given, OPTION_MEMBERS, "the options", operation);
  const { direction = "forward", limit, signal, after } = given;
  if (direction !== "forward" && direction !== "backward") {
    throw invalidArgument(`Cannot ${operation}: direction is ${describeValue(direction)}, "forward" and "backward" are allowed`);
  }
  assertSignal(signal, operation);
  if (limit !== undefined && limit !== Number.POSITIVE_INFINITY) assertCount(limit, "limit", operation);
  if (after !== undefined) assertBound(after, "after", operation);
  return { direction, limit: limit ?? Number.POSITIVE_INFINITY, signal, after };
}

/**
 * Checks what a subscription is given, and gives its beginning as a sequence: with `"end"` it is behind what is `visible`.
 *
 * @throws TypeError or RangeError `INVALID_ARGUMENT`
 */
export function compileSubscribeOptions(
  options: SubscribeOptions,
  visible: number,
): { readonly after: number; readonly signal: AbortSignal | undefined } {
  assertMembers(options, SUBSCRIBE_MEMBERS, "the options", "subscribe");
  const { after = "start", ...rest } = options;
  const { signal } = compileReadOptions(rest, "subscribe");
  if (after === "start") return { after: -1, signal };
  if (after === "end") return { after: visible - 1, signal };
  assertBound(after, "after", "subscribe", 'whole numbers, "start" and "end"');
  return { after, signal };
}

/** The query as it is now, for whoever looks at it later: the caller may change it by then, and ask with it again. What is wrong with it stays so. */
export function copyQuery<Given extends Query | undefined>(query: Given): Given;
export function copyQuery(query: Query | undefined): Query | undefined {
  if (query === undefined) return undefined;
  return Array.isArray(query) ? query.map(copyFilter) : copyFilter(query as Filter);
}

function copyFilter(filter: Filter): Filter {
  if (typeof filter !== "object" || filter === null || Array.isArray(filter)) return filter;
  const members = Object.entries(filter).map(([member, value]: [string, unknown]) => {
    if (Array.isArray(value)) return [member, value.slice()];
    return [member, isPlainObject(value) ? copyBounds(value) : value];
  });
  return Object.fromEntries(members) as Filter;
}

function copyBounds(bounds: object): object {
  return Object.fromEntries(
    Object.entries(bounds).map(([name, end]: [string, unknown]) => [name, end instanceof Date ? new Date(end) : end]),
  );
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Members of what is asked. What has gone missing on the way is not taken for "any": more would match than was meant, or than somebody may see. */
function assertAsked(value: unknown, allowed: ReadonlySet<string>, what: string, operation: string): asserts value is object {
  assertMembers(value, allowed, what, operation);
  for (const [member, asked] of Object.entries(value)) {
    if (asked !== undefined) continue;
    throw invalidArgument(
      `Cannot ${operation}: ${member} of ${what} is there and undefined, a value is allowed; leave it out where any will do`,
    );
  }
}

function assertCount(value: unknown, what: string, operation: string): asserts value is number {
  if (typeof value !== "number")
    throw invalidArgument(`Cannot ${operation}: ${what} is ${describeValue(value)}, 0 and whole numbers above are allowed`);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw outOfRange(`Cannot ${operation}: ${what} is ${value}, 0 and whole numbers above are allowed`);
  }
}

/** A bound may lie outside what can exist (-1: before the first). */
function assertBound(value: unknown, what: string, operation: string, allowed = "whole numbers"): asserts value is number {
  if (typeof value !== "number") throw invalidArgument(`Cannot ${operation}: ${what} is ${describeValue(value)}, ${allowed} are allowed`);
  if (!Number.isSafeInteger(value)) throw outOfRange(`Cannot ${operation}: ${what} is ${value}, ${allowed} are allowed`);
}

/** Null where nothing can match. */
function compileFilter(filter: unknown, kindsOf: KindsOf, operation: string): CompiledFilter | null {
  assertAsked(filter, FILTER_MEMBERS, "the query", operation);
  const { entity, entityPrefix, scope, correlation, causedBy, kind, category, clock, sequence, time } = filter as Filter;
  const compiled: CompiledFilter = {};
  if (entity !== undefined) {
    assertName(entity, "entity", operation);
    compiled.entity = entity;
  }
  if (entityPrefix !== undefined && (entityPrefix as unknown) !== "") {
    assertName(entityPrefix, "entityPrefix", operation);
    compiled.entityPrefix = entityPrefix;
  }
  if (scope !== undefined) {
    assertName(scope, "scope", operation);
    compiled.scope = scope;
  }
  if (correlation !== undefined) compiled.correlationId = parseId(correlation, `${operation} by correlation`);
  if (causedBy !== undefined) compiled.causationId = parseId(causedBy, `${operation} by causedBy`);
  const kindsMatch = compileKinds(compiled, kind, category, kindsOf, operation);
  const clocks = compileRange(clock, "clock", 1, (bound, what) => numberBound(bound, what, operation), operation);
  const sequences = compileRange(sequence, "sequence", 1, (bound, what) => numberBound(bound, what, operation), operation);
  const times = compileRange(time, "time", 1000, (bound, what) => timeBound(bound, what, operation), operation);
  if (clocks.from !== undefined) compiled.clockFrom = clocks.from;
  if (clocks.to !== undefined) compiled.clockTo = clocks.to;
  if (sequences.from !== undefined) compiled.sequenceFrom = sequences.from;
  if (sequences.to !== undefined) compiled.sequenceTo = sequences.to;
  if (times.from !== undefined) compiled.timeFrom = times.from;
  if (times.to !== undefined) compiled.timeTo = times.to;
  const nameMatches = entity === undefined || entityPrefix === undefined || entity.startsWith(entityPrefix);
  return kindsMatch && nameMatches && !isEmpty(clocks) && !isEmpty(sequences) && !isEmpty(times) ? compiled : null;
}

/** Sets `kinds` or `category`; false where no kind can match. */
function compileKinds(compiled: CompiledFilter, kind: unknown, category: unknown, kindsOf: KindsOf, operation: string): boolean {
  if (category !== undefined) assertCategory(category, operation);
  if (kind === undefined) {
    if (category !== undefined) compiled.category = category;
    return true;
  }
  const asked: readonly unknown[] = Array.isArray(kind) ? kind : [kind];
  const kinds = new Set<number>();
  for (const item of asked) {
    if (isDefinition(item)) {
      for (const number of kindsOf(item)) kinds.add(number);
      continue;
    }
    if (typeof item !== "number") {
      throw invalidArgument(`Cannot ${operation}: kind is ${describeValue(item)}, a definition, a number or a list of such is allowed`);
    }
    assertKind(item, operation);
    kinds.add(item);
  }
  const matching = category === undefined ? [...kinds] : [...kinds].filter((number) => categoryOf(number) === category);
  compiled.kinds = matching.sort((a, b) => a - b);
  return matching.length > 0;
}

interface Bounds {
  readonly from: number | undefined;
  readonly to: number | undefined;
}

function isEmpty({ from, to }: Bounds): boolean {
  return (from !== undefined && to !== undefined && from > to) || (to !== undefined && to < 0);
}

/** Inclusive bounds. `unit` is how many of the index's steps one step of the bound is: a bound stands for all of them. */
function compileRange(
  range: unknown,
  name: string,
  unit: number,
  boundOf: (bound: unknown, what: string) => number,
  operation: string,
): Bounds {
  if (range === undefined) return { from: undefined, to: undefined };
  assertAsked(range, RANGE_MEMBERS, name, operation);
  const { from, after, to, before } = range as Range<unknown>;
  if (from !== undefined && after !== undefined) {
    throw invalidArgument(`Cannot ${operation}: ${name} has both from and after, one of them is allowed`);
  }
  if (to !== undefined && before !== undefined) {
    throw invalidArgument(`Cannot ${operation}: ${name} has both to and before, one of them is allowed`);
  }
  let lower: number | undefined;
  let upper: number | undefined;
  if (from !== undefined) lower = boundOf(from, `${name}.from`) * unit;
  if (after !== undefined) lower = (boundOf(after, `${name}.after`) + 1) * unit;
  if (to !== undefined) upper = (boundOf(to, `${name}.to`) + 1) * unit - 1;
  if (before !== undefined) upper = boundOf(before, `${name}.before`) * unit - 1;
  return { from: lower, to: upper };
}

function numberBound(bound: unknown, what: string, operation: string): number {
  assertBound(bound, what, operation);
  return bound;
}

function timeBound(bound: unknown, what: string, operation: string): number {
  if (!(bound instanceof Date)) {
    assertBound(bound, what, operation, "Dates and whole numbers of milliseconds");
    return bound;
  }
  const timeMs = bound.getTime();
  if (Number.isNaN(timeMs)) throw outOfRange(`Cannot ${operation}: ${what} is an invalid Date, a valid one is allowed`);
  return timeMs;
}
