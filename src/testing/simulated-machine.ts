/**
 * The computer around a simulated disk: processes that can be killed, kernel locks that die with them, the power that can fail, and the
 * faults that a test scripts. It decides for each operation whether and when it takes effect.
 *
 *   operation:  begun ──effect on what processes see, at once──> (waiting, when a fault says so) ──> done   sync: now durable
 *                  └── error scripted, no or part of the effect ──> failed       crash or kill meanwhile ──> failed, never durable
 *
 * Invariants:
 * 1. Operations that change the disk are numbered from 1 in the order in which they begin.
 * 2. After a crash every operation of every process fails with `ESIMCRASH`; after a kill those of that process do.
 * 3. A promise never settles within the call that made it.
 */
import { assert } from "../base/assert.ts";
import type { DiskFile, ProcessIdentity } from "../disk/disk.ts";
import { systemError } from "../disk/system-error.ts";
import type { FileNode } from "./disk-tree.ts";
import type { SimulatedStorage } from "./simulated-storage.ts";

/** Operations that change the disk. */
export type ChangeKind = "create" | "write" | "sync" | "truncate" | "makeDirectory" | "rename" | "link" | "remove" | "syncDirectory";
/** Operations of a disk. */
export type OperationKind = ChangeKind | "open" | "read" | "size" | "list" | "status" | "lock";

const changeKinds: ReadonlySet<OperationKind> = new Set<OperationKind>([
  "create",
  "write",
  "sync",
  "truncate",
  "makeDirectory",
  "rename",
  "link",
  "remove",
  "syncDirectory",
]);

/** One operation, as the log records it and as the fault policy is asked about it. */
export interface DiskOperation {
  /** Among the operations that change the disk, from 1; 0 for one that changes nothing. */
  readonly number: number;
  readonly kind: OperationKind;
  readonly path: string;
  /** Of a rename or link: the new name. */
  readonly to?: string;
  /** Position in the file, in bytes. */
  readonly offset?: number;
  /** In bytes. */
  readonly length?: number;
  /** Of a write: whether it resolves only when durable. */
  readonly durable?: boolean;
  /** Process that asked. */
  readonly pid: number;
  state: "begun" | "done" | "failed";
}

/** What is to go wrong with an operation. Members may be combined; `delayMs` and `until` delay blocking calls by nothing. */
export interface Fault {
  /** Fails with this code ("EIO", "ENOSPC", "EMFILE", …). What a failing sync or durable write covered is never made durable by a later sync. */
  readonly error?: string | undefined;
  /** Of a failing write: how many bytes reach the file before it fails. Default 0. */
  readonly afterBytes?: number | undefined;
  /** Completes only after this many milliseconds. */
  readonly delayMs?: number | undefined;
  /** Completes only after this has resolved: a stalled sync is one that the test resolves. A crash or kill ends the waiting. */
  readonly until?: Promise<unknown> | undefined;
}

/** Asked before each operation how it is to fail; undefined: it does not. */
export type FaultPolicy = (operation: DiskOperation) => Fault | undefined;

/** How an operation does its work. */
export interface Steps<Result> {
  /** Has its effect on what processes see. */
  begin(): Result;
  /** The part of the effect that a failing one has. */
  beginFailing?(afterBytes: number): Result;
  /** What completing adds: being durable. Not called after a crash or kill. */
  end?(result: Result, succeeded: boolean): void;
}

export interface SimulatedProcess {
  readonly identity: ProcessIdentity;
  running: boolean;
  /** Resolves when the process is killed or the power fails. */
  readonly ended: Promise<void>;
  readonly end: () => void;
}

export type Planned = Omit<DiskOperation, "number" | "pid" | "state">;

export class SimulatedMachine {
  readonly storage: SimulatedStorage;
  readonly bootNumber: number;
  readonly log: DiskOperation[] = [];
  /** Who holds the kernel lock on a file, by the handle it was taken on. */
  readonly locks = new Map<FileNode, { handle: DiskFile; process: SimulatedProcess }>();
  readonly openFiles = new Map<DiskFile, SimulatedProcess>();
  faults: FaultPolicy | undefined;
  operationCount = 0;
  crashed = false;
  crashAfterNumber = Number.POSITIVE_INFINITY;
  crashDuringNumber = Number.POSITIVE_INFINITY;
  readonly #processes = new Map<number, SimulatedProcess>();
  #startCount = 0;

  constructor(storage: SimulatedStorage, bootNumber: number) {
    this.storage = storage;
    this.bootNumber = bootNumber;
  }

  /** The running process of this number, or a new one. */
  process(pid: number): SimulatedProcess {
    const known = this.#processes.get(pid);
    if (known?.running === true) return known;
    this.#startCount += 1;
    const identity = { pid, startTime: String(this.#startCount), bootId: `simulated-boot-${this.bootNumber}` };
    let end = (): void => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const process: SimulatedProcess = { identity, running: true, ended, end };
    this.#processes.set(pid, process);
    return process;
  }

  isAlive(identity: ProcessIdentity): boolean {
    const process = this.#processes.get(identity.pid);
    if (process === undefined || !process.running) return false;
    const { startTime, bootId } = process.identity;
    return (identity.startTime === "" || identity.startTime === startTime) && (identity.bootId === "" || identity.bootId === bootId);
  }

  kill(process: SimulatedProcess): void {
    process.running = false;
    for (const [node, holder] of this.locks) if (holder.process === process) this.locks.delete(node);
    for (const [file, owner] of this.openFiles) if (owner === process) this.openFiles.delete(file);
    // Its calls are over: what they changed is there, and whoever syncs from now on syncs it.
    this.storage.endCalls();
    process.end();
  }

  crash(): void {
    this.crashed = true;
    for (const process of this.#processes.values()) this.kill(process);
  }

  /** Throws unless the process still runs on a machine that has power. */
  check(process: SimulatedProcess, kind: OperationKind, path: string): void {
    if (!process.running) {
      const reason = this.crashed ? "the simulated machine has crashed" : "the simulated process was killed";
      throw Object.assign(new Error(`ESIMCRASH: ${reason}, ${kind} '${path}'`), { code: "ESIMCRASH" });
    }
  }

  async run<Result>(process: SimulatedProcess, planned: Planned, steps: Steps<Result>): Promise<Result> {
    const operation = this.#begin(process, planned);
    try {
      const fault = this.faults?.(operation);
      const failing = fault?.error !== undefined;
      const result = failing ? steps.beginFailing?.(fault.afterBytes ?? 0) : steps.begin();
      if (operation.number === this.crashDuringNumber) this.crash();
      await (fault === undefined ? undefined : this.#wait(process, fault));
      this.check(process, planned.kind, planned.path);
      if (failing) {
        if (result !== undefined) steps.end?.(result, false);
        throw systemError(fault.error, planned.kind, planned.path);
      }
      steps.end?.(result as Result, true);
      operation.state = "done";
      if (operation.number === this.crashAfterNumber) this.crash();
      return result as Result;
    } catch (error) {
      operation.state = "failed";
      throw error;
    }
  }

  runSync<Result>(process: SimulatedProcess, planned: Planned, steps: Steps<Result>): Result {
    const operation = this.#begin(process, planned);
    try {
      const fault = this.faults?.(operation);
      if (fault?.error !== undefined) {
        const result = steps.beginFailing?.(fault.afterBytes ?? 0);
        if (result !== undefined) steps.end?.(result, false);
        throw systemError(fault.error, planned.kind, planned.path);
      }
      const result = steps.begin();
      if (operation.number === this.crashDuringNumber) {
        this.crash();
        this.check(process, planned.kind, planned.path);
      }
      steps.end?.(result, true);
      operation.state = "done";
      if (operation.number === this.crashAfterNumber) this.crash();
      return result;
    } catch (error) {
      operation.state = "failed";
      throw error;
    }
  }

  #begin(process: SimulatedProcess, planned: Planned): DiskOperation {
    this.check(process, planned.kind, planned.path);
    const changes = changeKinds.has(planned.kind);
    if (changes) this.operationCount += 1;
    // In the object that the caller made for it: copying each would take more time than all else here.
    const added = { number: changes ? this.operationCount : 0, pid: process.identity.pid, state: "begun" } as const;
    const operation: DiskOperation = Object.assign(planned, added);
    this.log.push(operation);
    return operation;
  }

  async #wait(process: SimulatedProcess, fault: Fault): Promise<void> {
    const waits: Promise<unknown>[] = [];
    if (fault.delayMs !== undefined) {
      assert(fault.delayMs >= 0, "a delay is not negative");
      waits.push(new Promise((resolve) => setTimeout(resolve, fault.delayMs)));
    }
    if (fault.until !== undefined) waits.push(fault.until);
    if (waits.length > 0) await Promise.race([Promise.all(waits), process.ended]);
  }
}
