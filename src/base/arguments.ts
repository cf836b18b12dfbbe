/** What callers give, checked in one way and refused in the same words. All of these throw TypeError `INVALID_ARGUMENT`. */
import { describeValue } from "./describe-value.ts";
import { invalidArgument } from "./store-error.ts";

/** @param operation what cannot be done otherwise, for the message: "open the store" */
export function assertOptions(options: unknown, members: ReadonlySet<string>, operation: string): asserts options is object {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw invalidArgument(`Cannot ${operation}: the options are ${describeValue(options)}, an object is allowed`);
  }
  const unknown = Object.keys(options).find((member) => !members.has(member));
  if (unknown === undefined) return;
  const are = members.size === 1 ? "is" : "are";
  throw invalidArgument(`Cannot ${operation}: the option ${unknown} is unknown, ${[...members].join(", ")} ${are} allowed`);
}

/** An object that has these members alone. Those of other types have none: they would pass for one that says nothing, which in a query asks for everything. */
export function assertMembers(value: unknown, members: ReadonlySet<string>, what: string, operation: string): asserts value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value) || isContainer(value)) {
    throw invalidArgument(`Cannot ${operation}: ${what} is ${describeValue(value)}, an object is allowed`);
  }
  for (const member in value) {
    if (members.has(member)) continue;
    throw invalidArgument(`Cannot ${operation}: ${what} has the unknown member ${member}, ${[...members].join(", ")} are allowed`);
  }
}

function isContainer(value: object): boolean {
  return value instanceof Date || value instanceof Map || value instanceof Set;
}

/** A path to a directory: text, without the character that ends paths for the system. */
export function assertPath(path: unknown, operation: string): asserts path is string {
  if (typeof path === "string" && path !== "" && !path.includes("\0")) return;
  const found = path instanceof URL ? "a URL, its path (fileURLToPath of node:url)" : `${describeValue(path)}, a path`;
  throw invalidArgument(`Cannot ${operation}: the directory is ${found} is allowed`);
}

export function assertSignal(signal: unknown, operation: string): asserts signal is AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw invalidArgument(`Cannot ${operation}: signal is ${describeValue(signal)}, an AbortSignal is allowed`);
}

/** What is used in place of a part of the store: an object with these functions, or none. */
export function assertPart(part: unknown, functions: readonly string[], name: string, operation: string): void {
  if (part === undefined) return;
  if (functions.every((verb) => typeof (part as Record<string, unknown> | null)?.[verb] === "function")) return;
  const verbs = functions.join(", ");
  throw invalidArgument(`Cannot ${operation}: ${name} is ${describeValue(part)}, an object with the functions ${verbs} is allowed`);
}

/** True, false, or none. */
export function assertBoolean(value: unknown, name: string, operation: string): asserts value is boolean | undefined {
  if (value === undefined || typeof value === "boolean") return;
  throw invalidArgument(`Cannot ${operation}: ${name} is ${describeValue(value)}, true and false are allowed`);
}

/** A function, or none. */
export function assertFunction(value: unknown, name: string, operation: string): void {
  if (value === undefined || typeof value === "function") return;
  throw invalidArgument(`Cannot ${operation}: ${name} is ${describeValue(value)}, a function is allowed`);
}
