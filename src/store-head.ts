/** The latest event of an entity, in short. */
import { assertName } from "./events/coordinate.ts";
import type { StoreAccess } from "./store-access.ts";

/** The latest event of an entity. */
export interface Head {
  /** Its number within the entity, from 0. */
  readonly clock: number;
  /** Its number within the store, from 0. */
  readonly sequence: number;
  /** 64 hex digits. */
  readonly hash: string;
  /** UUID text. */
  readonly id: string;
  /** Milliseconds since the Unix epoch. */
  readonly timestamp: number;
}

/** The head of an entity, as it is visible; null when it has no event. */
export function headOf(access: StoreAccess, entity: string): Promise<Head | null> {
  return access.renewing(() => {
    access.assertReadable();
    assertName(entity, "entity", "head");
    const event = access.latest(entity);
    if (event === null) return null;
    const { clock, sequence, hash, id, timestamp } = event;
    return { clock, sequence, hash, id, timestamp };
  });
}
