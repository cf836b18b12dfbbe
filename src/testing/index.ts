/** For tests: a store in memory, a disk that can be crashed, the contract that every disk keeps. */
export { createMemoryDisk } from "./memory-disk.ts";
export { openMemoryStore } from "./memory-store.ts";
export { type PossibleDisksOptions, SimulatedDisk, type SimulatedDiskOptions } from "./sim-disk.ts";
export { type DiskCheck, diskContract } from "./disk-contract.ts";
export type { ChangeKind, DiskOperation, Fault, FaultPolicy, OperationKind } from "./simulated-machine.ts";
export type { CrashPiece } from "./simulated-storage.ts";
