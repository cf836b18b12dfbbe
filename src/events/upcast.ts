/**
 * Upcasting: payloads that were written from an older version of a definition, brought up when they are read. What is stored, and its hash,
 * stays as it is.
 */
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument, StoreError } from "../base/store-error.ts";
import { isStrayPromise } from "../base/stray-promise.ts";
import type { AnyDefinition } from "./definition.ts";

/** One step of a chain: data of one version in, of the next one out. Its argument is freshly decoded: it may be changed and returned. */
// oxlint-disable-next-line typescript/no-explicit-any -- whoever writes a step says what the old data was; nobody else knows it.
export type UpcastStep = (old: any) => unknown;

/** Steps by the version that they take. */
export type UpcastChain = Readonly<Record<number, UpcastStep>>;

/** `Next[1]` is 2. Chains longer than this are not checked by the compiler. */
type Next = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24];

/** A chain whose steps fit: each gives what the next one takes, the last what the schema puts out. */
export type CheckedChain<Chain, Output> = {
  readonly [Version in keyof Chain]: Chain[Version] extends (old: infer Old) => unknown
    ? (
        old: Old,
      ) => Version extends keyof Next & number
        ? Next[Version] extends keyof Chain
          ? Chain[Next[Version]] extends (old: infer NextOld) => unknown
            ? NextOld
            : never
          : Output
        : unknown
    : never;
};

/** What a kind is called, and how data of it is brought up. */
export interface EventType {
  readonly name: string;
  /** Null where the store has only the name. */
  readonly definition: AnyDefinition | null;
}

/**
 * Checks a chain: one function for each version before the definition's.
 *
 * @returns the steps, the first at index 0; null where there is no chain
 * @throws TypeError `INVALID_ARGUMENT`
 */
export function compileChain(chain: unknown, version: number, operation: string): readonly UpcastStep[] | null {
  if (chain === undefined) return null;
  if (typeof chain !== "object" || chain === null) {
    throw invalidArgument(`Cannot ${operation}: upcast is ${describeValue(chain)}, an object of functions is allowed`);
  }
  const steps: UpcastStep[] = [];
  for (let from = 1; from < version; from++) {
    const step: unknown = (chain as Record<number, unknown>)[from];
    if (typeof step !== "function") {
      throw invalidArgument(
        `Cannot ${operation}: upcast has no function for version ${from}, one for each of 1 to ${version - 1} is allowed`,
      );
    }
    steps.push(step as UpcastStep);
  }
  const beyond = Object.keys(chain).find((key) => !(Number(key) >= 1 && Number(key) < version && String(Number(key)) === key));
  if (beyond !== undefined) {
    throw invalidArgument(`Cannot ${operation}: upcast has a function for version ${beyond}, versions 1 to ${version - 1} are allowed`);
  }
  return steps;
}

/** The version that data of this stored version has once it was brought up. */
export function versionOfData(definition: AnyDefinition | null, storedVersion: number): number {
  return definition === null || definition.upcast === null ? storedVersion : Math.max(definition.version, storedVersion);
}

/**
 * Data as its definition has it now.
 *
 * @param stored as it was decoded; the chain's to change
 * @throws StoreError `NEWER_EVENT_VERSION` when it was written from a newer version of the definition; TypeError `INVALID_ARGUMENT` for a step that
 * gives a promise; whatever a step throws
 */
export function upcast(definition: AnyDefinition, storedVersion: number, stored: unknown): unknown {
  const { name, version, upcast: steps } = definition;
  if (storedVersion > version) {
    throw new StoreError(
      "NEWER_EVENT_VERSION",
      `Cannot read the data of ${name}: it was written from version ${storedVersion} of the definition, this program has version ${version}; run the program that knows it`,
      { type: name, storedVersion, knownVersion: version },
    );
  }
  let data = stored;
  if (steps === null) return data;
  for (let from = storedVersion; from < version; from++) {
    data = steps[from - 1](data);
    if (isStrayPromise(data)) {
      throw invalidArgument(`Cannot read the data of ${name}: its upcast from version ${from} returned a promise, data is allowed`);
    }
  }
  return data;
}
