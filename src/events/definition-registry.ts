/**
 * What one store knows of names and kinds: the definitions it was given or has learnt, and the records in the store that say which name a
 * kind has. Never shared between stores.
 *
 * Learning takes two steps, so that an append that fails teaches nothing: `resolve` says what an append would use and changes nothing;
 * `commit` is called when the append (with its record, where one is needed) is accepted.
 *
 * Invariants:
 * 1. A kind has one name. A name may have several kinds over time (its definition was given another); its newest is the one in use.
 * 2. A name has one definition at a time, and a kind one definition.
 * 3. Whatever `nameOf` and `kindsOf` answer is recorded in the store, or was claimed by a definition that `open` was given.
 */
import { assert } from "../base/assert.ts";
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument } from "../base/store-error.ts";
import { isDefinition } from "./definition.ts";
import type { AnyDefinition } from "./definition.ts";
import { DATA } from "./kind.ts";
import type { EventType } from "./upcast.ts";

/** What a system record says: this kind has this name, and events of it were written from this version of the definition. */
export interface DefinitionRecord {
  readonly name: string;
  readonly kind: number;
  readonly version: number;
}

/** What an append of a definition's event uses, or an import of an event that has a name. */
export interface Resolution extends DefinitionRecord {
  /** Null where only the name is known, of an import. */
  readonly definition: AnyDefinition | null;
  /** Whether the append has to carry a record of it. */
  readonly mustRecord: boolean;
}

const FIRST_AUTOMATIC_KIND = DATA + 1;
const EFFECT_CATEGORY = 0xd;
const NONE: readonly Resolution[] = [];

/** Whether a store may have given the kind to a definition that names none. */
export function isAutomaticKind(kind: number): boolean {
  return kind >= FIRST_AUTOMATIC_KIND && kind >>> 12 !== EFFECT_CATEGORY;
}

export class DefinitionRegistry {
  readonly #definitionByName = new Map<string, AnyDefinition>();
  /** Kinds claimed by definitions that name them. */
  readonly #claimByKind = new Map<number, AnyDefinition>();
  readonly #nameByKind = new Map<number, string>();
  /** Kinds of each name, the one in use last. */
  readonly #kindsByName = new Map<string, number[]>();
  /** Records in force by kind and version. */
  readonly #records = new Map<number, DefinitionRecord>();
  /** Answers of `typeOf`, until something is learnt. */
  readonly #typeByKind = new Map<number, EventType | null>();
  /** What needs no record any more. */
  readonly #settled = new Map<AnyDefinition, Resolution>();
  #revision = 0;
  readonly #isKindInUse: (kind: number) => boolean;
  /** No automatic kind before this one is free: what is taken stays so. */
  #freeFrom = FIRST_AUTOMATIC_KIND;
  readonly #isRecorded: boolean;

  /**
   * @param definitions what `open` was given
   * @param isKindInUse whether the store holds events of a kind; automatic kinds avoid them
   * @param isRecorded whether the store has records of names; else they are known here only, for as long as it is open
   * @throws TypeError `INVALID_ARGUMENT` when two of them claim one name or one kind
   */
  constructor(definitions: readonly AnyDefinition[] = [], isKindInUse: (kind: number) => boolean = () => false, isRecorded = true) {
    this.#isKindInUse = isKindInUse;
    this.#isRecorded = isRecorded;
    for (const definition of definitions) {
      if (!isDefinition(definition))
        throw invalidArgument(`Cannot open the store: events holds ${describeValue(definition)}, definitions are allowed`);
      this.#assertClaim(definition, "open the store", NONE);
      this.#definitionByName.set(definition.name, definition);
      if (definition.kind !== undefined) this.#claimByKind.set(definition.kind, definition);
    }
  }

  /**
   * Takes up a record that the store holds. Records may come in any order but the order of writing, oldest first, decides which kind of a
   * name is in use.
   *
   * @param operation what cannot be done otherwise
   * @throws TypeError `INVALID_ARGUMENT` when a definition that `open` was given claims its kind under another name
   */
  restore(record: DefinitionRecord, operation = "open the store"): void {
    const claim = this.#claimByKind.get(record.kind);
    if (claim !== undefined && claim.name !== record.name) {
      throw invalidArgument(
        `Cannot ${operation}: the definition ${claim.name} claims the kind ${hex(record.kind)}, which the store has recorded as ${record.name}, a kind of its own is allowed`,
      );
    }
    this.#note(record);
  }

  /**
   * What an append of this definition's event would use. Changes nothing.
   *
   * @param pending what was resolved before and is neither committed nor given up: their kinds are taken, and a name keeps its kind
   * @param isTaken of which kinds there are events that the store does not hold yet
   * @throws TypeError `INVALID_ARGUMENT` when its name or kind belongs to another definition, or no kind is free
   */
  resolve(definition: AnyDefinition, pending: readonly Resolution[] = NONE, isTaken: (kind: number) => boolean = () => false): Resolution {
    const settled = this.#settled.get(definition);
    if (settled !== undefined) return settled;
    const { name, version } = definition;
    const operation = `append ${name}`;
    this.#assertClaim(definition, operation, pending);
    const kind = definition.kind ?? this.#kindInUse(name, pending) ?? this.#freeKind(operation, pending, isTaken);
    this.#assertName(kind, name, operation, pending);
    return { definition, name, kind, version, mustRecord: this.#isRecorded && !this.#isInForce(name, kind, version) };
  }

  /**
   * What an import of an event uses that has this name in another store: the kind that the name has here; where it has none, the one that it has
   * there if that is free here, and any free one if not. Changes nothing.
   *
   * @param kindElsewhere its kind in the other store. A store without records of names keeps it, and the name is not learnt
   * @param pending as for `resolve`
   * @param isTaken as for `resolve`
   * @throws TypeError `INVALID_ARGUMENT` when the name's kind belongs to another name, or no kind is free
   */
  resolveName(
    name: string,
    version: number,
    kindElsewhere: number,
    pending: readonly Resolution[] = NONE,
    isTaken: (kind: number) => boolean = () => false,
  ): Resolution {
    const operation = `import ${name}`;
    const kind =
      this.#definitionByName.get(name)?.kind ?? this.#kindInUse(name, pending) ?? this.#newKind(kindElsewhere, operation, pending, isTaken);
    this.#assertName(kind, name, operation, pending);
    const mustRecord = this.#isRecorded && !this.#isInForce(name, kind, version);
    return { definition: null, name, kind, version, mustRecord };
  }

  /** Learns a resolution whose append is accepted. Twice is once. */
  commit(resolution: Resolution): void {
    const { definition, name, kind, version } = resolution;
    if (this.isRecorded(resolution)) return;
    const other = this.#nameByKind.get(kind);
    assert(other === undefined || other === name, "a kind is committed under one name only: pass pending resolutions to resolve");
    this.#note(resolution);
    if (definition === null) return;
    this.#definitionByName.set(name, definition);
    if (definition.kind !== undefined) this.#claimByKind.set(definition.kind, definition);
    this.#settled.set(definition, { definition, name, kind, version, mustRecord: false });
  }

  /** Whether there is nothing to learn from this resolution, or no more: another append taught it that was accepted meanwhile. */
  isRecorded({ definition, name, kind, version }: Resolution): boolean {
    if (definition !== null) return this.#settled.has(definition);
    return !this.#isRecorded || this.#isInForce(name, kind, version);
  }

  /** The name of a kind: recorded, or claimed by a known definition; null when it has none. */
  nameOf(kind: number): string | null {
    return this.#nameByKind.get(kind) ?? this.#claimByKind.get(kind)?.name ?? null;
  }

  /** What a kind is called and the definition of that name, if one is known; null when it has no name. */
  typeOf(kind: number): EventType | null {
    let type = this.#typeByKind.get(kind);
    if (type === undefined) {
      const name = this.nameOf(kind);
      type = name === null ? null : { name, definition: this.#definitionByName.get(name) ?? null };
      this.#typeByKind.set(kind, type);
    }
    return type;
  }

  /** The kinds under which events of a definition or name may be stored, ascending; none when it is unknown here. */
  kindsOf(definition: AnyDefinition | string): number[] {
    const name = typeof definition === "string" ? definition : definition.name;
    const kinds = new Set(this.#kindsByName.get(name));
    const claimed = (typeof definition === "string" ? this.#definitionByName.get(name) : definition)?.kind;
    // A kind that was claimed but never recorded may have been written by number.
    if (claimed !== undefined && (this.nameOf(claimed) ?? name) === name) kinds.add(claimed);
    return [...kinds].sort((a, b) => a - b);
  }

  /** The newest version recorded for a name; 0 when there is none. */
  versionOf(name: string): number {
    let version = 0;
    for (const record of this.#records.values()) if (record.name === name) version = Math.max(version, record.version);
    return version;
  }

  /** All records in force, in the order in which they were written. Restoring them in this order makes the same registry. */
  records(): DefinitionRecord[] {
    return [...this.#records.values()];
  }

  /** Gives what `make` gives, which is made anew where something was learnt since: what depends on the kinds of definitions. */
  untilLearnt<Value>(make: () => Value): () => Value {
    let value = make();
    let revision = this.#revision;
    return () => {
      if (revision !== this.#revision) {
        revision = this.#revision;
        value = make();
      }
      return value;
    };
  }

  #note({ name, kind, version }: DefinitionRecord): void {
    this.#revision++;
    this.#typeByKind.clear();
    const kinds = this.#kindsByName.get(name)?.filter((other) => other !== kind) ?? [];
    kinds.push(kind);
    this.#kindsByName.set(name, kinds);
    this.#nameByKind.set(kind, name);
    const key = recordKey(kind, version);
    this.#records.delete(key); // written anew, it is the newest
    this.#records.set(key, { name, kind, version });
  }

  /** Whether the store has a record that says so, and the kind is the one that the name has in use. */
  #isInForce(name: string, kind: number, version: number): boolean {
    return this.#records.has(recordKey(kind, version)) && this.#kindsByName.get(name)?.at(-1) === kind;
  }

  #assertName(kind: number, name: string, operation: string, pending: readonly Resolution[]): void {
    const owner = this.nameOf(kind) ?? pending.find((other) => other.kind === kind)?.name;
    if (owner === undefined || owner === name) return;
    throw invalidArgument(`Cannot ${operation}: the kind ${hex(kind)} belongs to ${owner}, a kind of its own is allowed`);
  }

  #assertClaim(definition: AnyDefinition, operation: string, pending: readonly Resolution[]): void {
    const { name, kind } = definition;
    const isNamesake = (other: Resolution): boolean => other.name === name && other.definition !== null;
    const namesake = this.#definitionByName.get(name) ?? pending.find(isNamesake)?.definition ?? definition;
    if (namesake !== definition) {
      throw invalidArgument(`Cannot ${operation}: two definitions claim the name ${name}, one is allowed`);
    }
    const rival = kind === undefined ? undefined : this.#claimByKind.get(kind);
    if (rival !== undefined && rival !== definition) {
      throw invalidArgument(
        `Cannot ${operation}: the definitions ${rival.name} and ${name} claim the kind ${hex(kind as number)}, one is allowed`,
      );
    }
  }

  #kindInUse(name: string, pending: readonly Resolution[]): number | undefined {
    return this.#kindsByName.get(name)?.at(-1) ?? pending.find((other) => other.name === name)?.kind;
  }

  /** For a name that is new here, with another store's kind. */
  #newKind(kindElsewhere: number, operation: string, pending: readonly Resolution[], isTaken: (kind: number) => boolean): number {
    if (!this.#isRecorded) return kindElsewhere;
    const isNamed = this.nameOf(kindElsewhere) !== null || pending.some((other) => other.kind === kindElsewhere);
    const isFree = !isNamed && !this.#isKindInUse(kindElsewhere) && !isTaken(kindElsewhere);
    return isFree ? kindElsewhere : this.#freeKind(operation, pending, isTaken);
  }

  #freeKind(operation: string, pending: readonly Resolution[], isTaken: (kind: number) => boolean): number {
    while (this.#freeFrom <= 0xffff && this.#isTaken(this.#freeFrom)) this.#freeFrom++;
    // Those that were given to others of the same batch ascend.
    const given = pending.reduce((last, { definition, kind }) => (definition?.kind === undefined ? Math.max(last, kind) : last), -1);
    const isFree = (kind: number): boolean => !this.#isTaken(kind) && !pending.some((other) => other.kind === kind) && !isTaken(kind);
    const kind = firstOf(Math.max(this.#freeFrom, given + 1), 0xffff, isFree) ?? firstOf(this.#freeFrom, given, isFree);
    if (kind !== null) return kind;
    throw invalidArgument(`Cannot ${operation}: all kinds are taken, a definition that names its kind is allowed`);
  }

  #isTaken(kind: number): boolean {
    return kind >>> 12 === EFFECT_CATEGORY || this.#nameByKind.has(kind) || this.#claimByKind.has(kind) || this.#isKindInUse(kind);
  }
}

function firstOf(from: number, to: number, isFree: (kind: number) => boolean): number | null {
  for (let kind = from; kind <= to; kind++) if (isFree(kind)) return kind;
  return null;
}

function recordKey(kind: number, version: number): number {
  return kind * 0x1_0000 + version;
}

function hex(kind: number): string {
  return `0x${kind.toString(16).padStart(4, "0")}`;
}
