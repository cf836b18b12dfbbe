/**
 * Times that an import gives its events. A store's times never run backwards: a given one that would is stored as the last before it, and the
 * event's metadata notes it as `{ import: { wall_ms } }`.
 */
import type { Metadata } from "./events/event.ts";
import type { AppendItem } from "./log/append-request.ts";

/** The most bytes that the note adds to an event's metadata. */
export const NOTE_BYTES_MAX = 64;

/**
 * Gives events the times that they will be stored with. Twice is once, whatever was stored meanwhile.
 *
 * @param items events that follow one another, none of this moment before one with a given time
 * @param lastTimeMicros the time of the event before them
 */
export function clampGivenTimes(items: readonly AppendItem[], lastTimeMicros: number): void {
  // Whole milliseconds: an earlier time within the same one is no change that anybody sees.
  let lastMs = Math.floor(lastTimeMicros / 1000);
  for (const item of items) {
    const { givenMs } = item;
    if (givenMs === null) continue;
    if (givenMs < lastMs) item.metadata = noted(item.metadata, givenMs);
    else lastMs = givenMs;
    item.timeMicros = lastMs * 1000;
  }
}

/** What an earlier import noted stays: that is the time which the event had first. So does what a user keeps under the same name. */
function noted(metadata: Metadata | null, wallMs: number): Metadata {
  const before = metadata?.["import"] ?? {};
  const isObject = typeof before === "object" && Object.getPrototypeOf(before) === Object.prototype;
  return isObject ? { ...metadata, import: { wall_ms: wallMs, ...before } } : (metadata as Metadata);
}
