/** Directories of a test file's own, removed when it has ended. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

const made: string[] = [];
after(() => made.forEach((directory) => rmSync(directory, { recursive: true, force: true })));

export function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "batpak-"));
  made.push(directory);
  return directory;
}
