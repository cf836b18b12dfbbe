#!/usr/bin/env node
// Packs dist as npm would publish it, and has publint and attw look at the archive. Run `npm run build` first.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { run } from "./tool.mjs";

const folder = mkdtempSync(path.join(os.tmpdir(), "batpak-pack-"));
try {
  process.exitCode = packAndInspect();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function packAndInspect() {
  // `prepare` would build again.
  const packed = run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder]);
  if (packed !== 0) return packed;
  const archive = path.join(folder, readdirSync(folder)[0]);
  const publint = run("publint", ["--strict", archive]);
  const attw = run("attw", [archive, "--profile", "esm-only", "--no-summary"]);
  return publint || attw;
}
