/** A cause that is not looked for when its event is appended. */
import { parseId } from "./id.ts";
import type { StoredEvent } from "./event.ts";

/** Of a batch item: the event of this store that it is caused by. Compaction may remove that one before the item is appended. */
export const seenCause: unique symbol = Symbol("seenCause");

/** What an event names of its cause: 16 bytes each. */
interface Caused {
  correlation: Uint8Array | null;
  causation: Uint8Array | null;
}

/** Lets the event name the cause that its batch item has, if it has one. */
export function takeSeenCause(event: Caused, item: object): void {
  const cause = (item as { readonly [seenCause]?: StoredEvent })[seenCause];
  if (cause === undefined) return;
  event.correlation = parseId(cause.correlationId, "append");
  event.causation = parseId(cause.id, "append");
}
