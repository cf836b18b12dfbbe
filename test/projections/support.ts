/** An account, its events and its projection, for the tests of projections and deciders. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { defineEvent, defineProjection, type Projection, Store, type } from "../../src/index.ts";
import type { StoreOptions } from "../../src/store-options.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";

export const Deposited = defineEvent("Deposited", { schema: type<{ cents: number }>() });
export const Withdrawn = defineEvent("Withdrawn", { schema: type<{ cents: number }>() });
export const Noted = defineEvent("Noted", { schema: type<{ text: string }>() });
export const events = [Deposited, Withdrawn, Noted] as const;

export interface Account {
  readonly cents: number;
  /** Depends on the order of the events. */
  readonly trace: string;
}

export const at = (entity: string): { entity: string; scope: string } => ({ entity, scope: "bank" });

export function accountProjection(
  options: { version?: number; snapshot?: { everyEvents: number } | false; name?: string; deposited?: typeof Deposited } = {},
): Projection<Account> {
  const { deposited = Deposited, ...rest } = options;
  return defineProjection({
    name: "account",
    ...rest,
    events: [deposited, Withdrawn],
    initial: { cents: 0, trace: "" },
    on: {
      Deposited: (state, { data }) => ({ cents: state.cents + data.cents, trace: `${state.trace.slice(-20)}+${data.cents}` }),
      Withdrawn: (state, { data }) => ({ cents: state.cents - data.cents, trace: `${state.trace.slice(-20)}-${data.cents}` }),
    },
  });
}

export function openAccounts(disk: SimulatedDisk, options: StoreOptions = {}): Promise<Store<typeof events>> {
  return Store.open("/store", { durability: "os", ...options, disk, events });
}

/** The snapshot files on a disk. */
export function snapshotPaths(disk: SimulatedDisk): string[] {
  return disk.paths().filter((path) => path.endsWith(".snapshot"));
}

interface SnapshotMessage {
  readonly outcome: string;
  readonly reason: string;
}

/** What is told of snapshots while `work` is done. */
export async function snapshotsTold(work: () => Promise<unknown>): Promise<string[]> {
  const told: string[] = [];
  const listen = (message: unknown): void => {
    const { outcome, reason } = message as SnapshotMessage;
    told.push(`${outcome}: ${reason}`);
  };
  subscribe("batpak:projection-snapshot", listen);
  try {
    await work();
  } finally {
    unsubscribe("batpak:projection-snapshot", listen);
  }
  return told;
}

export function only<Item>(items: readonly Item[]): Item {
  assert.equal(items.length, 1);
  return items[0];
}
