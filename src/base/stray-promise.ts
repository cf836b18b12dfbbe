/** Promises that come where nobody waits for one: of functions that somebody gave, and that have to answer at once. */
import { isPromise } from "node:util/types";

/** Whether that is one. If it is rejected, that must not end the process: the mistake is told where it was made. */
export function isStrayPromise(value: unknown): boolean {
  // The engine tells objects by their prototypes faster than by asking what they are.
  if (typeof value !== "object" || !(value instanceof Promise || isPromise(value))) return false;
  value.catch(() => {});
  return true;
}
