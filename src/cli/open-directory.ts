/**
 * Opens the store that a verb was given. Reading verbs open read-only: they work beside a living writer and create nothing. What such an
 * opening found wrong is told on standard error.
 */
import { resolve } from "node:path";
import type { Command } from "commander";
import { nodeDisk } from "../disk/node-disk.ts";
import { isStoreError } from "../base/store-error.ts";
import { directoryExists, listDirectory } from "../open-directory.ts";
import { LOCK_WAIT_MS_MAX } from "../store-options.ts";
import { Store } from "../store.ts";
import { UsageError } from "./exit-code.ts";
import { wholeNumber } from "./filters.ts";
import type { Terminal } from "./terminal.ts";

/** Checks that there is a store, with an error that helps. */
export async function assertStoreDirectory(directory: string, hint = "a directory that holds a store is allowed"): Promise<void> {
  const path = resolve(directory);
  const status = await nodeDisk.status(path);
  if (status === null) throw new UsageError(`Cannot open the store: there is nothing at ${path}, ${hint}`);
  if (status.type === "file" || status.type === "other") {
    const inside = /(?:\.fbat|\.ckpt|\.mark|\.lock)$/.test(path) ? "; give the directory that it is in" : "";
    throw new UsageError(`Cannot open the store: ${path} is a ${status.type}, a directory is allowed${inside}`);
  }
  const { segmentIds, orphans } = await listDirectory(nodeDisk, path);
  if (segmentIds.length === 0 && orphans.length === 0) {
    throw new UsageError(`Cannot open the store: the directory ${path} holds no store (no segment files NNNNNN.fbat), ${hint}`);
  }
}

/** Checks that there is nothing yet where something new is to go. */
export async function assertNewDirectory(path: string, what: string): Promise<void> {
  const status = await nodeDisk.status(path);
  if (status === null || (status.type === "directory" && (await nodeDisk.list(path)).length === 0)) return;
  throw new UsageError(`Cannot ${what}: there is something at ${path}, an empty or a new directory is allowed`);
}

/** Opens for reading, and tells of damage and a torn tail. */
export async function openReader(directory: string, terminal: Terminal): Promise<Store> {
  await assertStoreDirectory(directory);
  const store = await Store.open(directory, { readOnly: true });
  const { problems, tornTail, tornTails } = store.openReport;
  for (const problem of problems) terminal.tellProblem(`${problem.message}; what is whole can be read`);
  for (const { segmentId, offset, bytes } of tornTails)
    terminal.tell(`Segment ${segmentId} ends in ${bytes} torn bytes at offset ${offset}; they are passed over`);
  if (tornTail !== null && tornTails.length === 0) {
    const { segmentId, offset, bytes } = tornTail;
    terminal.tell(`The log ends in ${bytes} torn bytes at segment ${segmentId}, offset ${offset}; the next writer removes them`);
  }
  return store;
}

/** The option of verbs that take a lock. */
export interface WaitFlags {
  readonly wait?: string;
}

/** Adds `--wait` to a verb. */
export function addWait(command: Command): Command {
  return command.option("--wait <seconds>", "wait so long for another writer to end: up to a day; default 0");
}

const WAIT_SECONDS_MAX = LOCK_WAIT_MS_MAX / 1000;

/** How long to wait for a lock. */
export function lockWait({ wait }: WaitFlags): { readonly lockWaitMs?: number } {
  if (wait === undefined) return {};
  const seconds = wholeNumber(wait, "--wait");
  if (seconds > WAIT_SECONDS_MAX) throw new UsageError(`Cannot use --wait ${wait}: up to ${WAIT_SECONDS_MAX} seconds, a day, are allowed`);
  return { lockWaitMs: seconds * 1000 };
}

/** Opens for writing; makes a store only where `create` says so: null for a verb that never does. */
export async function openWriter(directory: string, create: boolean | null, flags: WaitFlags): Promise<Store> {
  const waiting = lockWait(flags);
  const path = resolve(directory);
  if (create === null) await assertStoreDirectory(directory);
  else if (!create) await assertStoreDirectory(directory, "--create makes a new store");
  else if ((await nodeDisk.status(path)) !== null) {
    try {
      await directoryExists(nodeDisk, path);
    } catch (error) {
      if (isStoreError(error, "IO") && error.details.errno === "ENOTDIR") throw new UsageError(error.message);
      throw error;
    }
  }
  return await Store.open(directory, waiting);
}

/** Opens for reading, lets `use` look, and closes. */
export async function withReader(directory: string, terminal: Terminal, use: (store: Store) => Promise<void>): Promise<void> {
  const store = await openReader(directory, terminal);
  try {
    await use(store);
  } finally {
    await store.close();
  }
}

/** Opens for writing, lets `use` work, and closes. */
export async function withWriter(
  directory: string,
  create: boolean | null,
  flags: WaitFlags,
  use: (store: Store) => Promise<void>,
): Promise<void> {
  const store = await openWriter(directory, create, flags);
  try {
    await use(store);
  } finally {
    await store.close();
  }
}
