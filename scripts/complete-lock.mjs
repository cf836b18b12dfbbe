#!/usr/bin/env node
// Adds to package-lock.json the platform packages that the registry behind an `npm install` did not have.
//
// Tools with native binaries name one optional package for each platform, pinned to their own version. Where a registry holds only
// some of them (a mirror, a proxy), npm leaves the others out of the lock, and `npm ci` then refuses the lock as incomplete, here and
// everywhere else. Everything the lock needs to know of them follows from their names. They get no integrity: nobody here has seen them.
//
//   npm install … && node scripts/complete-lock.mjs [FILE]

import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { projectRoot } from "./tool.mjs";

const file = path.resolve(projectRoot, process.argv[2] ?? "package-lock.json");
const lock = JSON.parse(readFileSync(file, "utf8"));

const systems = ["android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32", "aix"];
const processors = ["arm64", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64"];

/** What npm compares with the machine, read off a name such as `@oxlint/binding-linux-x64-musl`. */
function platformOf(name) {
  const words = name.split("/").at(-1).split("-");
  const os = words.find((word) => systems.includes(word));
  const cpu = words.find((word) => processors.includes(word));
  if (os === undefined || cpu === undefined) throw new Error(`Cannot complete ${file}: ${name} names no platform that is known here`);
  const library = words.some((word) => word.startsWith("musl"))
    ? "musl"
    : words.some((word) => word.startsWith("gnu"))
      ? "glibc"
      : undefined;
  return { cpu: [cpu], ...(os === "linux" && library !== undefined ? { libc: [library] } : {}), os: [os] };
}

let added = 0;
for (const [place, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    if (lock.packages[`node_modules/${name}`] !== undefined || lock.packages[`${place}/node_modules/${name}`] !== undefined) continue;
    const version = /^\d+\.\d+\.\d+$/.test(range) ? range : undefined;
    if (version === undefined) throw new Error(`Cannot complete ${file}: ${place} wants ${name} at ${range}, which is no single version`);
    lock.packages[`node_modules/${name}`] = { version, ...(entry.dev ? { dev: true } : {}), optional: true, ...platformOf(name) };
    added += 1;
  }
}

// The order in which npm writes them.
const sorted = Object.entries(lock.packages).sort(([one], [other]) => one.localeCompare(other, "en"));
lock.packages = Object.fromEntries(sorted);
if (added > 0) writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} platform packages added to ${path.basename(file)}`);
