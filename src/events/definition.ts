/**
 * Definitions: a name, the type of its data, and optionally a schema, a version and a kind. A definition is a function that makes new
 * events. It belongs to no store and is never changed: the kind that a store gives a name is the store's to know (`definition-registry`).
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { assertOptions } from "../base/arguments.ts";
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument, outOfRange, StoreError } from "../base/store-error.ts";
import { assertName } from "./coordinate.ts";
import type { TypedEvent } from "./event.ts";
import { assertPublicKind, publicKindOf } from "./kind.ts";
import type { KindParts } from "./kind.ts";
import { type CheckedChain, compileChain, type UpcastChain, type UpcastStep } from "./upcast.ts";

/** What every definition has, whatever its types. */
export interface AnyDefinition {
  /** The event's type, as `event.type` tells it. */
  readonly name: string;
  /** 1 to 65535. */
  readonly version: number;
  /** The kind it claims; undefined where the store gives the name a free one. */
  readonly kind: number | undefined;
  /** Null where data is not validated. */
  readonly schema: StandardSchemaV1 | null;
  /** How data of older versions is brought up, version 1 first; null where it is read as it was written. */
  readonly upcast: readonly UpcastStep[] | null;
  /** Carries the types of the data; not there at run time. */
  readonly "~types"?: { readonly input: unknown; readonly output: unknown } | undefined;
}

/** A definition: call it with data to make a new event, ask `is` to tell its events from others. */
export interface EventDefinition<Name extends string = string, Input = unknown, Output = Input> extends AnyDefinition {
  (data: Input): NewEvent<Name, Input>;
  readonly name: Name;
  readonly "~types"?: { readonly input: Input; readonly output: Output } | undefined;
  /**
   * Whether `event` is one of this definition's, by its type.
   *
   * @example
   * if (PlayerMoved.is(event)) event.data.x;
   */
  readonly is: (event: { readonly type: string | null }) => event is TypedEvent<Name, Output>;
}

/** An event to be appended, made by calling a definition. Its data is validated when it is appended. */
export interface NewEvent<Name extends string = string, Input = unknown> {
  readonly definition: AnyDefinition & { readonly name: Name };
  readonly data: Input;
}

/** An event to be appended by its kind alone. */
export interface RawEvent<Data = unknown> {
  readonly definition?: undefined;
  readonly type?: undefined;
  /** A kind that users may write. */
  readonly kind: number;
  readonly data: Data;
  /** 1 to 65535; 1 when absent. */
  readonly version?: number | undefined;
}

/** Whatever can be appended. */
export type AnyNewEvent = NewEvent | RawEvent;

/** What a definition is made of besides its name. */
export interface DefinitionOptions<Schema extends StandardSchemaV1, Chain extends UpcastChain = UpcastChain> {
  /** A Standard Schema (Zod, Valibot, ArkType, …), or `type<T>()` for types without validation. */
  readonly schema?: Schema | undefined;
  /** 1 to 65535, default 1. Raise it when the shape of the data changes. */
  readonly version?: number | undefined;
  /** A kind of your own choice; without it the store gives the name a free one. */
  readonly kind?: number | KindParts | undefined;
  /**
   * Brings data of older versions up when it is read: for each version before this one a function from its data to the next version's.
   * Without it, older data is read as it was written.
   */
  readonly upcast?: (Chain & CheckedChain<Chain, StandardSchemaV1.InferOutput<Schema>>) | undefined;
}

const DEFINITION = Symbol.for("batpak.definition");
const VERSION_MAX = 0xffff;
const OPTION_NAMES: ReadonlySet<string> = new Set(["schema", "version", "kind", "upcast"]);

/** Of an event without a definition; the last two are undefined in it. */
const RAW_MEMBERS: ReadonlySet<string> = new Set(["kind", "data", "version", "type", "definition"]);

const passThrough: StandardSchemaV1 = {
  "~standard": { version: 1, vendor: "batpak", validate: (value) => ({ value }) },
};

/** Types of which no value can be stored. */
type Unstorable =
  | undefined
  | void
  | symbol
  | ((...given: never) => unknown)
  | (abstract new (
      ...given: never
    ) => unknown)
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | Promise<unknown>;

/** In place of a schema of one of them: the compiler names it where a definition is to be made with it. */
interface DataThatCannotBeStored {
  readonly instead: "plain objects, lists, text, numbers, Dates and bytes; {} for no data";
}

/**
 * A schema that says what type the data has and validates nothing. Of an event without data that is `{}`.
 *
 * @example
 * const PlayerMoved = defineEvent("PlayerMoved", { schema: type<{ x: number; y: number }>() });
 * const GameOver = defineEvent("GameOver", { schema: type<Record<string, never>>() });
 * await store.append(alice, [PlayerMoved({ x: 1, y: 2 }), GameOver({})]);
 */
export function type<Data extends Unstorable = never>(): TypeOnly<Data>;
export function type<Data>(): StandardSchemaV1<Data, Data>;
export function type(): StandardSchemaV1 {
  return passThrough;
}

/** Of the first of these two: `any` fits whatever is asked of a type, and stands for what can be stored as well; none was given for `never`. */
type TypeOnly<Data> = [Data] extends [never]
  ? StandardSchemaV1
  : unknown extends Data
    ? StandardSchemaV1<Data, Data>
    : DataThatCannotBeStored;

/**
 * Defines an event.
 *
 * @param name the event's type: 1 to 1,024 UTF-8 bytes, unique within a store
 * @returns a function that makes new events of the data it is given
 * @throws TypeError or RangeError `INVALID_ARGUMENT`
 *
 * @example
 * const PlayerJoined = defineEvent("PlayerJoined", { schema: z.object({ nick: z.string() }), version: 2, kind: { category: 0xf, type: 1 } });
 * await store.append(alice, PlayerJoined({ nick: "alice" }));
 *
 * @example
 * const Moved = defineEvent("Moved", { version: 2, schema: type<{ x: number }>(), upcast: { 1: (old: { left: number }) => ({ x: old.left }) } });
 */
export function defineEvent<
  const Name extends string,
  Schema extends StandardSchemaV1 = StandardSchemaV1,
  const Chain extends UpcastChain = Record<never, never>,
>(
  name: Name,
  options: DefinitionOptions<Schema, Chain> = {},
): EventDefinition<Name, StandardSchemaV1.InferInput<Schema>, StandardSchemaV1.InferOutput<Schema>> {
  assertName(name, "name", "define an event");
  const operation = `define the event ${name}`;
  assertOptions(options, OPTION_NAMES, operation);
  const { schema, version = 1, kind, upcast } = options;
  assertVersion(version, operation);
  if (schema !== undefined && !isStandardSchema(schema)) {
    throw invalidArgument(`Cannot ${operation}: the schema does not follow Standard Schema version 1, one that does is allowed`);
  }
  const definition = (data: unknown): NewEvent => ({ definition: made, data });
  const made = Object.defineProperties(definition, {
    name: { value: name, enumerable: true },
    version: { value: version, enumerable: true },
    kind: { value: kind === undefined ? undefined : publicKindOf(kind, operation), enumerable: true },
    schema: { value: schema === undefined || schema === passThrough ? null : schema },
    upcast: { value: compileChain(upcast, version, operation) },
    is: { value: (event: { readonly type: string | null }) => event.type === name },
    [DEFINITION]: { value: true },
  }) as unknown as EventDefinition;
  return made as unknown as EventDefinition<Name, StandardSchemaV1.InferInput<Schema>, StandardSchemaV1.InferOutput<Schema>>;
}

/**
 * An event of a kind without a definition.
 *
 * @param kind a kind that users may write
 * @param version 1 to 65535
 * @throws TypeError or RangeError `INVALID_ARGUMENT`
 *
 * @example
 * await store.append(alice, rawEvent(DATA, { any: "thing" }));
 */
export function rawEvent<Data>(kind: number | KindParts, data: Data, version = 1): RawEvent<Data> {
  assertVersion(version, "make an event");
  return { kind: publicKindOf(kind, "make an event"), data, version };
}

function assertVersion(version: unknown, operation: string): asserts version is number {
  if (typeof version !== "number")
    throw invalidArgument(`Cannot ${operation}: the version is ${describeValue(version)}, 1 to 65535 is allowed`);
  if (!Number.isInteger(version) || version < 1 || version > VERSION_MAX) {
    throw outOfRange(`Cannot ${operation}: the version is ${version}, 1 to ${VERSION_MAX} is allowed`);
  }
}

function isStandardSchema(schema: unknown): schema is StandardSchemaV1 {
  if ((typeof schema !== "object" && typeof schema !== "function") || schema === null) return false;
  const standard = (schema as Partial<StandardSchemaV1>)["~standard"];
  return typeof standard === "object" && standard !== null && standard.version === 1 && typeof standard.validate === "function";
}

/** Whether `value` was made by `defineEvent`, of whichever copy of the package. */
export function isDefinition(value: unknown): value is AnyDefinition {
  return typeof value === "function" && DEFINITION in value;
}

/** An event that somebody wants to append, as it was read once: a getter may answer otherwise the next time. */
export interface CheckedEvent {
  readonly definition: AnyDefinition | null;
  /** Of an event without a definition; -1 where a definition knows it. */
  readonly kind: number;
  readonly version: number;
  readonly data: unknown;
}

/**
 * Checks an event that somebody wants to append: made by a definition, or a raw one of a kind that users may write.
 *
 * @throws TypeError or RangeError `INVALID_ARGUMENT`
 */
export function checkNewEvent(event: unknown, operation: string): CheckedEvent {
  if (typeof event !== "object" || event === null) {
    const found = event === null ? "null" : isDefinition(event) ? `the definition ${event.name} itself` : typeof event;
    throw invalidArgument(`Cannot ${operation}: the event is ${found}, what a definition makes of data or { kind, data } is allowed`);
  }
  const { definition, data } = event as { readonly definition?: unknown; readonly data?: unknown };
  if (isDefinition(definition)) {
    for (const member in event)
      if (member !== "definition" && member !== "data") throw unknownMember(member, "definition and data", operation);
    return { definition, kind: -1, version: definition.version, data };
  }
  if (definition !== undefined && definition !== null) {
    throw invalidArgument(`Cannot ${operation}: the event's definition was not made by defineEvent, such a one is allowed`);
  }
  const { kind, version = 1 } = event as { readonly kind?: unknown; readonly version?: unknown };
  if (kind === undefined) {
    throw invalidArgument(
      `Cannot ${operation}: the event has no definition and no kind, what a definition makes of data or { kind, data } is allowed`,
    );
  }
  assertPublicKind(kind, operation);
  assertVersion(version, operation);
  for (const member in event) if (!RAW_MEMBERS.has(member)) throw unknownMember(member, "kind, data and version", operation);
  return { definition: null, kind, version, data };
}

function unknownMember(member: string, allowed: string, operation: string): TypeError {
  const options = "keys, causes and metadata are options of the append";
  return invalidArgument(`Cannot ${operation}: the event has the unknown member ${member}, ${allowed} are allowed; ${options}`);
}

/** Data whose schema answers asynchronously. */
export class PendingData {
  /** Resolves with what is to be stored; rejects with `INVALID_EVENT`. */
  readonly output: Promise<unknown>;

  constructor(output: Promise<unknown>) {
    this.output = output;
  }
}

/**
 * What is stored for `data`: the output of the definition's schema; a `PendingData` where the schema answers asynchronously.
 *
 * @throws StoreError `INVALID_EVENT` with the schema's issues; whatever the schema throws
 */
export function validateData(definition: AnyDefinition, data: unknown): unknown {
  const schema = definition.schema;
  if (schema === null) return data;
  const result = schema["~standard"].validate(data);
  if (typeof result === "object" && result !== null && "then" in result)
    return new PendingData(Promise.resolve(result).then((answer) => outputOf(definition, answer)));
  return outputOf(definition, result);
}

function outputOf(definition: AnyDefinition, result: StandardSchemaV1.Result<unknown>): unknown {
  if (typeof result !== "object" || result === null) {
    throw invalidArgument(
      `Cannot append ${definition.name}: its schema answered ${describeValue(result)}, { value } and { issues } are allowed`,
    );
  }
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map(({ message, path }) =>
    path === undefined ? { message } : { message, path: path.map((step) => (typeof step === "object" ? step.key : step)) },
  );
  const first = issues[0]?.message ?? "the schema gives no reason";
  const message = `Cannot append ${definition.name}: its data does not fit its schema (${first}), data that fits is allowed`;
  throw new StoreError("INVALID_EVENT", message, { type: definition.name, issues });
}
