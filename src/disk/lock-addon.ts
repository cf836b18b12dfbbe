/** Locks that die with their process: the one native addon of this package, and how it is found. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { errorCode } from "./system-error.ts";

/** The part of `fs-native-extensions` that is used. */
export interface LockAddon {
  tryLock(descriptor: number, offset: number, length: number): boolean;
  unlock(descriptor: number, offset: number, length: number): void;
}

let lockAddon: LockAddon | null | undefined;

/** The native addon, or null where it cannot be had. Loading it would crash Bun and Deno. Loaded at the first writable open only. */
export function loadLockAddon(exists: (path: string) => boolean): LockAddon | null {
  if (lockAddon !== undefined) return lockAddon;
  lockAddon = null;
  if ("bun" in process.versions || "Deno" in globalThis) return lockAddon;
  try {
    lockAddon = loadPrebuilt(exists) ?? (createRequire(import.meta.url)("fs-native-extensions") as LockAddon);
  } catch {
    // No binary for this platform: the lock file's text excludes other writers.
  }
  return lockAddon;
}

/** The binary itself, as the package's own door would call it. */
interface LockBinary {
  tryLock(descriptor: number, offset: number, length: number, exclusive: boolean): void;
  unlock(descriptor: number, offset: number, length: number): void;
}

/**
 * The package's binary for this platform without the package's search for it, nor the loader's for the package: those take twelve of the
 * thirteen milliseconds. The dependency is pinned to the version whose binary is called so; anything unexpected leads to the package's own door.
 */
function loadPrebuilt(exists: (path: string) => boolean): LockAddon | null {
  try {
    const path = prebuiltPath(exists);
    if (path === null) return null;
    const loaded: { exports: Partial<LockBinary> } = { exports: {} };
    process.dlopen(loaded, path);
    const binary = loaded.exports as LockBinary;
    if (typeof binary.tryLock !== "function" || typeof binary.unlock !== "function") return null;
    return {
      tryLock(descriptor, offset, length) {
        try {
          binary.tryLock(descriptor, offset, length, true);
          return true;
        } catch (error) {
          if (errorCode(error) === "EAGAIN") return false;
          throw error;
        }
      },
      unlock: (descriptor, offset, length) => binary.unlock(descriptor, offset, length),
    };
  } catch {
    return null;
  }
}

/** Where the loader would find the binary: in the nearest `node_modules` that has it. */
function prebuiltPath(exists: (path: string) => boolean): string | null {
  const name = `node_modules/fs-native-extensions/prebuilds/${process.platform}-${process.arch}/fs-native-extensions.node`;
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, name);
    if (exists(path)) return path;
    if (folder === dirname(folder)) return null;
  }
}
