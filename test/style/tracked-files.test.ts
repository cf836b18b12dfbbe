// What no tracked file may hold: the name of a package registry's host, or a path of the machine that it was written on.
// The hosts are put together here so that this file does not hold them either; the paths are those of the machine that runs the test.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const projectRoot = path.dirname(fileURLToPath(new URL("../../package.json", import.meta.url)));

/** Tracked files, as paths relative to the project; every file of the clone where there is no git. */
function trackedFiles(): string[] {
  if (existsSync(path.join(projectRoot, ".git"))) {
    const listed = execFileSync("git", ["ls-files", "-z"], { cwd: projectRoot, encoding: "utf8", maxBuffer: 64 << 20 });
    return listed.split("\0").filter((file) => file !== "" && isFile(file));
  }
  const untracked = /^(?:node_modules|dist|coverage|bench\/node_modules|bench\/\.data|interop\/target)(?:\/|$)/;
  return readdirSync(projectRoot, { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll(path.sep, "/"))
    .filter((file) => !untracked.test(file) && isFile(file));
}

function isFile(file: string): boolean {
  return lstatSync(path.join(projectRoot, file), { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Hosts that serve packages, and the one that this run of npm is told to ask. */
function registryHosts(): string[] {
  const hosts = [
    ["registry", "npmjs", "org"],
    ["registry", "yarnpkg", "com"],
    ["npm", "pkg", "github", "com"],
    ["registry", "npmmirror", "com"],
    ["index", "crates", "io"],
    ["static", "crates", "io"],
    ["pypi", "org"],
    ["proxy", "golang", "org"],
  ].map((labels) => labels.join("."));
  const configured = process.env.npm_config_registry;
  if (configured !== undefined && URL.canParse(configured)) hosts.push(new URL(configured).host);
  return hosts.filter((host) => !/^(?:localhost|127\.0\.0\.1|\[::1\])?(?::\d+)?$/.test(host));
}

/**
 * Patterns for paths of this machine: this clone, what lies beside it, and the home folder. A pattern needs something before it
 * that ends a word, so that a clone in a short path does not accuse relative paths.
 */
function machinePaths(): RegExp[] {
  const beside = path.dirname(projectRoot);
  const tooCommon = new Set([path.parse(projectRoot).root, os.tmpdir(), "/tmp"]);
  const neighbours = tooCommon.has(beside) ? [] : readdirSync(beside).map((entry) => path.join(beside, entry));
  const places = [projectRoot, ...neighbours, os.homedir()].filter((place) => place.length > 1);
  const literal = (place: string): string => place.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return [
    ...places.map((place) => new RegExp(`(?<![\\w.-])${literal(place)}(?![\\w-])`)),
    /(?<![\w.-])\/(?:home|Users)\/\w/,
    /(?<![\w.-])\/tmp\/\w/,
    /\b[A-Z]:\\Users\\/,
  ];
}

// This file names the patterns themselves.
const files = trackedFiles().filter((file) => file !== "test/style/tracked-files.test.ts");
const textOf = (file: string): string => readFileSync(path.join(projectRoot, file), "latin1");

describe("no tracked file", () => {
  test("goes unread", () => {
    assert.ok(files.includes("package.json"));
    assert.ok(files.includes("package-lock.json"));
  });

  test("names the host of a package registry", () => {
    const hosts = registryHosts();
    const offences = files.flatMap((file) => {
      const text = textOf(file);
      return hosts.filter((host) => text.includes(host)).map((host) => `${file}: ${host}`);
    });
    assert.deepEqual(offences, []);
  });

  test("names a path of a machine", () => {
    const patterns = machinePaths();
    const offences = files
      // Fixtures are real stores and histories: what their events say is data.
      .filter((file) => !/(?:^|\/)fixtures\//.test(file))
      .flatMap((file) => {
        const text = textOf(file);
        return patterns.flatMap((pattern) => {
          const match = pattern.exec(text);
          return match === null ? [] : [`${file}: …${text.slice(Math.max(0, match.index - 20), match.index + 40)}…`];
        });
      });
    assert.deepEqual(offences, []);
  });
});

describe("lock files", () => {
  type Entry = { resolved?: string; optionalDependencies?: Record<string, string> };
  const locks = files
    .filter((file) => path.basename(file) === "package-lock.json")
    .map((file) => ({ file, packages: (JSON.parse(textOf(file)) as { packages: Record<string, Entry> }).packages }));

  test("say nowhere where a package is fetched from", () => {
    const isAddress = (resolved: string | undefined): boolean => resolved !== undefined && /^[\w+.-]+:/.test(resolved);
    for (const { file, packages } of locks) {
      const fetched = Object.keys(packages).filter((place) => isAddress(packages[place]?.resolved));
      assert.deepEqual(fetched, [], file);
    }
    assert.ok(!textOf("package-lock.json").includes('"resolved"'));
  });

  test("hold the packages of every platform, so that `npm ci` takes them everywhere", () => {
    for (const { file, packages } of locks) {
      const missing = Object.entries(packages).flatMap(([place, entry]) =>
        Object.keys(entry.optionalDependencies ?? {}).filter(
          (name) => packages[`node_modules/${name}`] === undefined && packages[`${place}/node_modules/${name}`] === undefined,
        ),
      );
      assert.deepEqual(missing, [], `run node scripts/complete-lock.mjs ${file}`);
    }
  });
});
