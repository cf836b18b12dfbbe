/** A store that lives in memory, for users' own tests: the real store on a disk that is none. */
import type { AnyDefinition } from "../events/definition.ts";
import { Store } from "../store.ts";
import type { StoreOptions } from "../store-options.ts";
import { createMemoryDisk } from "./memory-disk.ts";

/**
 * Opens a new, empty store in memory. Everything but the disk is the real thing; what it holds is gone when nothing refers to it any more.
 *
 * @param options those of `Store.open`; with a `disk` of your own, the store lies on that
 * @throws like `Store.open`
 *
 * @example
 * const store = await openMemoryStore({ events: [PlayerMoved] });
 * await store.append(alice, PlayerMoved({ x: 1, y: 2 }));
 */
export function openMemoryStore<const Known extends readonly AnyDefinition[] = readonly []>(
  options: StoreOptions<Known> = {},
): Promise<Store<Known>> {
  return Store.open<Known>("/store", { ...options, disk: options.disk ?? createMemoryDisk() });
}
