/** Expectations: what must be so for an append to be accepted. It is judged against everything accepted before it. */
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument, outOfRange } from "../base/store-error.ts";
import type { Query } from "./query.ts";

/**
 * - `"none"`: the entity has no event yet
 * - `"exists"`: it has one
 * - `{ clock }`: its newest event has this clock (as a receipt tells it)
 * - `{ noneMatching, after }`: no event matches the query, among those after this sequence; without `after`, among all
 */
export type Expectation =
  | "none"
  | "exists"
  | { readonly clock: number }
  | { readonly noneMatching: Query; readonly after?: number | undefined };

/** An expectation, checked but for its query. `expected` is what was asked, for the details of a `CONFLICT`. */
export type CompiledExpectation =
  | { readonly kind: "none" }
  | { readonly kind: "exists" }
  | { readonly kind: "clock"; readonly clock: number }
  | {
      readonly kind: "noneMatching";
      readonly query: Query;
      /** Only events of a greater sequence count; -1: all. */
      readonly after: number;
      readonly expected: Expectation;
    };

const NONE: CompiledExpectation = { kind: "none" };
const EXISTS: CompiledExpectation = { kind: "exists" };

/**
 * Checks an expectation; null where there is none.
 *
 * @param operation what cannot be done otherwise, for messages: "append"
 * @throws TypeError or RangeError `INVALID_ARGUMENT`
 */
export function compileExpectation(expectation: Expectation | undefined, operation: string): CompiledExpectation | null {
  if (expectation === undefined) return null;
  if (expectation === "none") return NONE;
  if (expectation === "exists") return EXISTS;
  if (typeof expectation === "object" && expectation !== null) {
    const members = Object.keys(expectation);
    if ("clock" in expectation && members.length === 1) {
      return { kind: "clock", clock: wholeNumber(expectation.clock, 0, "expect.clock", operation) };
    }
    if ("noneMatching" in expectation && members.every((member) => member === "noneMatching" || member === "after")) {
      const { noneMatching, after } = expectation;
      if (noneMatching === undefined) throw invalidArgument(`Cannot ${operation}: expect.noneMatching is undefined, a query is allowed`);
      return {
        kind: "noneMatching",
        query: noneMatching,
        after: after === undefined ? -1 : wholeNumber(after, -1, "expect.after", operation),
        expected: expectation,
      };
    }
  }
  throw invalidArgument(
    `Cannot ${operation}: expect is ${describeValue(expectation)}, "none", "exists", { clock } and { noneMatching, after } are allowed`,
  );
}

function wholeNumber(value: unknown, least: number, what: string, operation: string): number {
  if (typeof value !== "number")
    throw invalidArgument(`Cannot ${operation}: ${what} is ${describeValue(value)}, whole numbers from ${least} are allowed`);
  if (!Number.isSafeInteger(value) || value < least) {
    throw outOfRange(`Cannot ${operation}: ${what} is ${value}, whole numbers from ${least} are allowed`);
  }
  return value;
}
