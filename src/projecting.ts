/** Projections of an open store: what is folded, of which query, up to where. Folding itself is in `projections/`. */
import { assertFunction, assertOptions, assertSignal } from "./base/arguments.ts";
import { describeValue } from "./base/describe-value.ts";
import { traced } from "./base/diagnostics.ts";
import { turnShare } from "./base/rest.ts";
import { invalidArgument, outOfRange } from "./base/store-error.ts";
import { assertName } from "./events/coordinate.ts";
import { formatHex } from "./events/id.ts";
import { categoryOf } from "./events/kind.ts";
import { type CompiledFilter, copyQuery, type Query } from "./events/query.ts";
import type { EventType } from "./events/upcast.ts";
import { Fold, type Projected, type ProjectProgress } from "./projections/fold.ts";
import { assertProjection, type Projection } from "./projections/projection.ts";
import { SnapshotFolder } from "./projections/snapshot-folder.ts";
import type { SnapshotOrigin } from "./projections/snapshot-format.ts";
import { watch, type WatchSource } from "./projections/watch.ts";
import { countMatches } from "./counting.ts";
import { searchFilter, StoredReading } from "./reading.ts";
import type { StoreAccess } from "./store-access.ts";

/** What to fold: the stream of an entity, the events that match a query, or, where it is left out, the whole store. */
export type ProjectionTarget = string | { readonly query: Query };

/** Until when to fold, and how. */
export interface ProjectOptions {
  /** The state as it was behind the event of this sequence, or at this time. */
  readonly at?: number | Date | undefined;
  /** Told after each batch of events; the events are counted beforehand. */
  readonly onProgress?: ((progress: ProjectProgress) => void) | undefined;
  /** Stops the fold with its reason. What was folded so far is kept on disk, so that the next call goes on there. */
  readonly signal?: AbortSignal | undefined;
}

/** When to end watching. */
export interface WatchOptions {
  /** Ends the watching with its reason. */
  readonly signal?: AbortSignal | undefined;
}

const PROJECT_MEMBERS: ReadonlySet<string> = new Set(["at", "onProgress", "signal"]);
const WATCH_MEMBERS: ReadonlySet<string> = new Set(["signal"]);
const TARGET_MEMBERS: ReadonlySet<string> = new Set(["query"]);
const MICROS_PER_MS = 1000;
/** Compiling what is asked for takes as much of a turn as so many events that are read. */
const PROJECT_SHARE = 16;

export class Projecting {
  readonly #access: StoreAccess;
  readonly #snapshots: SnapshotFolder;

  constructor(access: StoreAccess) {
    this.#access = access;
    this.#snapshots = new SnapshotFolder(access.disk, access.directory);
  }

  async project<State>(
    projection: Projection<State>,
    target: ProjectionTarget | undefined,
    options: ProjectOptions = {},
  ): Promise<Projected<State>> {
    this.#access.assertReadable();
    assertProjection(projection, "project");
    const { at, onProgress, signal } = options;
    assertOptions(options, PROJECT_MEMBERS, "project");
    assertSignal(signal, "project");
    assertFunction(onProgress, "onProgress", "project");
    signal?.throwIfAborted();
    const { sequenceMax, timestampMax } = compileAt(at);
    const query = queryOf(target, "project");
    const bound = Math.min(this.#access.visibleSequence, sequenceMax + 1);
    // What is asked for side by side is compiled with rests between.
    const turn = turnShare.wait();
    if (turn !== null) await turn;
    turnShare.spend(PROJECT_SHARE);
    const source = this.source(projection, query, "project", timestampMax);
    const { directory } = this.#access;
    return await traced(
      "project",
      () => ({ directory, projection: projection.name, target: query }),
      async () => {
        const fold = new Fold(projection, source);
        await fold.restore(sequenceMax, timestampMax);
        // Of what was once, nothing is kept: what is on disk is newer.
        await fold.advance(bound, { signal, onProgress, keep: at === undefined });
        return fold.result;
      },
    );
  }

  watch<State>(
    projection: Projection<State>,
    target: ProjectionTarget | undefined,
    options: WatchOptions = {},
  ): AsyncGenerator<Projected<State>, undefined> {
    this.#access.assertReadable();
    assertProjection(projection, "watch");
    assertOptions(options, WATCH_MEMBERS, "watch");
    assertSignal(options.signal, "watch");
    return watch(projection, this.source(projection, queryOf(target, "watch"), "watch"), options.signal);
  }

  /** The events of a projection that match a query. A query that is refused is refused now. */
  source(projection: Projection, query: Query, operation: string, timestampMax = Number.POSITIVE_INFINITY): WatchSource {
    const access = this.#access;
    const types = (): Map<number, EventType> => this.#typesOf(projection);
    const filters = (known: Map<number, EventType>): CompiledFilter[] =>
      withKinds(access.compile(query, operation), [...known.keys()], timestampMax);
    const compiled = access.registry.untilLearnt(() => {
      const known = types();
      const typeOf = (kind: number): EventType | null => known.get(kind) ?? access.registry.typeOf(kind);
      const reading = Object.create(access.reading, { typeOf: { value: typeOf } }) as typeof access.reading;
      return { known, reading, searched: filters(known).map(searchFilter) };
    });
    return {
      visible: () => access.visibleSequence,
      batches: (after, bound, signal) => {
        const { reading, searched } = compiled();
        const how = { direction: "forward" as const, limit: Number.POSITIVE_INFINITY, signal, after };
        return new StoredReading(reading, searched, how, bound).batches();
      },
      typeOf: (kind) => compiled().known.get(kind) ?? null,
      count: async (after, bound, kinds) => {
        const known = types();
        if (kinds !== undefined) for (const kind of known.keys()) if (!kinds.includes(kind)) known.delete(kind);
        return await countMatches(access.reading, filters(known).map(searchFilter), bound, after);
      },
      hashAt: (sequence) => access.renewing(() => access.at(sequence)?.hash ?? null),
      origin: () => this.#originOf(projection, query, operation),
      snapshots: this.#snapshots,
      writable: access.writer !== null,
      onChange: (callback, after) => access.onChange(callback, query, () => compiled().searched, after),
      isClosed: () => access.state === "closed",
      isClosing: () => access.state !== "open",
    };
  }

  /** The kinds of the projection's events, with the projection's own definitions: it need not have been given to `open`. */
  #typesOf(projection: Projection): Map<number, EventType> {
    const types = new Map<number, EventType>();
    for (const definition of projection.events) {
      const { name } = definition;
      for (const kind of this.#access.registry.kindsOf(definition)) types.set(kind, { name, definition });
    }
    return types;
  }

  #originOf(projection: Projection, query: Query, operation: string): SnapshotOrigin | null {
    const { storeId, generation } = this.#access.parts.log;
    const { name, version, events } = projection;
    if (name === null || storeId === null || this.#access.parts.layout !== "native") return null;
    return {
      store: formatHex(storeId, 0, storeId.length),
      generation,
      projection: name,
      version,
      events: events.map((definition) => `${definition.name}@${definition.version}`),
      kinds: [...this.#typesOf(projection).keys()].sort((a, b) => a - b),
      target: targetOf(this.#access.compile(query, operation)),
    };
  }
}

function queryOf(target: ProjectionTarget | undefined, operation: string): Query {
  if (target === undefined) return {};
  if (typeof target !== "object" || target === null) {
    assertName(target, "entity", operation);
    return { entity: target };
  }
  assertOptions(target, TARGET_MEMBERS, operation);
  if (target.query === undefined) throw invalidArgument(`Cannot ${operation}: query is undefined, a query is allowed`);
  return copyQuery(target.query);
}

function compileAt(at: unknown): { sequenceMax: number; timestampMax: number } {
  const everything = { sequenceMax: Number.MAX_SAFE_INTEGER - 1, timestampMax: Number.POSITIVE_INFINITY };
  if (at === undefined) return everything;
  if (at instanceof Date) {
    const timestampMax = at.getTime();
    if (Number.isNaN(timestampMax)) throw outOfRange("Cannot project: at is an invalid Date, a valid one or a sequence is allowed");
    return { ...everything, timestampMax };
  }
  if (typeof at !== "number") throw invalidArgument(`Cannot project: at is ${describeValue(at)}, a sequence or a Date is allowed`);
  if (!Number.isSafeInteger(at) || at < -1) throw outOfRange(`Cannot project: at is ${at}, whole numbers from -1 or a Date are allowed`);
  return { ...everything, sequenceMax: Math.min(at, everything.sequenceMax) };
}

/** The filters narrowed to these kinds and times; those that cannot match any more are left out. */
function withKinds(filters: readonly CompiledFilter[], known: readonly number[], timestampMax: number): CompiledFilter[] {
  const narrowed: CompiledFilter[] = [];
  for (const { category, kinds: asked, ...filter } of filters) {
    const kinds = known
      .filter((kind) => (category === undefined || categoryOf(kind) === category) && (asked === undefined || asked.includes(kind)))
      .sort((a, b) => a - b);
    if (kinds.length === 0) continue;
    const narrow: CompiledFilter = { ...filter, kinds };
    if (timestampMax !== Number.POSITIVE_INFINITY) {
      narrow.timeTo = Math.min(filter.timeTo ?? Number.POSITIVE_INFINITY, (timestampMax + 1) * MICROS_PER_MS - 1);
      if (narrow.timeTo < 0) continue;
    }
    narrowed.push(narrow);
  }
  return narrowed;
}

/** A query as text, the same for the same question: what a snapshot is told by. */
function targetOf(filters: readonly CompiledFilter[]): string {
  const texts = filters.map((filter) => {
    const members = Object.entries(filter).sort(([one], [other]) => (one < other ? -1 : 1));
    return JSON.stringify(members, (_, value: unknown) => (value instanceof Uint8Array ? formatHex(value, 0, value.length) : value));
  });
  return JSON.stringify(texts.sort());
}
