import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Disk } from "../disk/disk.ts";
import { createNodeDisk } from "../disk/node-disk.ts";
import { diskContract } from "./disk-contract.ts";
import { createMemoryDisk } from "./memory-disk.ts";
import { SimulatedDisk } from "./sim-disk.ts";

async function inMemory(disk: Disk, run: (disk: Disk, directory: string) => Promise<void>): Promise<void> {
  await disk.makeDirectory("/data");
  await run(disk, "/data");
}

async function onNode(disk: Disk, run: (disk: Disk, directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "batpak-disk-"));
  try {
    await run(disk, directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe("disk contract", () => {
  for (const { name, run } of diskContract) {
    it(`node disk: ${name}`, () => onNode(createNodeDisk(), run));
    it(`node disk without O_DSYNC: ${name}`, () => onNode(createNodeDisk({ synchronousWrites: false }), run));
    it(`memory disk: ${name}`, () => inMemory(createMemoryDisk(), run));
    it(`simulated disk: ${name}`, () => inMemory(new SimulatedDisk(), run));
  }
});
