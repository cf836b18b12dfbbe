/** The chain of causes of an event, followed from event to event by their ids. */
import type { StoredEvent } from "./events/event.ts";
import { parseId } from "./events/id.ts";
import { notFound } from "./open-store.ts";
import type { StoreAccess } from "./store-access.ts";

/** The causes of the event with this id, nearest first. A chain that leads back into itself ends there. */
export async function* ancestorsOf(access: StoreAccess, id: string): AsyncGenerator<StoredEvent, undefined> {
  const find = (one: string): Promise<StoredEvent | null> =>
    access.renewing(() => {
      access.assertReadable();
      return access.find(parseId(one, "read ancestors"));
    });
  let event = await find(id);
  if (event === null) throw notFound(`event ${id}`);
  const seen = new Set<string>([event.id]);
  while (event.causationId !== null && !seen.has(event.causationId)) {
    const cause = event.causationId;
    seen.add(cause);
    event = await find(cause);
    if (event === null) throw notFound(`event ${cause}, a cause on the way,`);
    yield event;
  }
}
