// The house rules that a machine can hold about the files in src, as pure functions from text to complaints.
//
// Imports are found line by line, not parsed: the formatter puts each `import` and `export … from` at the start of a line and every
// specifier between double quotes, and the gate checks the format too.

/** A file of src: its path below src with forward slashes, and its text. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** The folders of src, lowest first. A file may import from its own folder and from lower ones. `.` is src itself (store.ts, index.ts). */
const folderOrder = [
  "base",
  "kernel",
  "events",
  "format",
  "disk",
  "index",
  "log",
  "checkpoint",
  "subscriptions",
  "projections",
  ".",
  "cli",
  "testing",
] as const;

/** Siblings that stay strangers although one comes first in the order: each pair is refused in both directions. */
const strangers: readonly (readonly [string, string])[] = [
  ["format/native", "format/batpak03"],
  ["cli", "testing"],
];

const onlyImporterOfFileSystem = "disk/node-disk.ts";
const fileSystemModules = new Set(["fs", "fs/promises", "node:fs", "node:fs/promises"]);
const linesMax = 500;

/** The specifiers that `text` imports or exports from, dynamic imports included; comments are left out. */
export function importedSpecifiers(text: string): string[] {
  const code = text
    .split("\n")
    .filter((line) => !/^\s*(?:\/\/|\/\*|\*)/.test(line))
    .join("\n");
  const specifiers: string[] = [];
  for (const pattern of [/^(?:import|export)\b[^;"]*?\bfrom "([^"]+)"/gm, /^import "([^"]+)"/gm, /\b(?:import|require)\(\s*"([^"]+)"/g]) {
    for (const match of code.matchAll(pattern)) specifiers.push(match[1] as string);
  }
  return specifiers;
}

/** What `file` imports against the order of the folders. Tests may reach everywhere. */
export function importOrderProblems(file: SourceFile): string[] {
  if (isTest(file.path)) return [];
  const problems: string[] = [];
  const refuse = (specifier: string, reason: string): void => {
    problems.push(`src/${file.path} imports ${specifier}: ${reason}`);
  };
  const ownRank = rankOf(file.path);
  if (ownRank < 0) problems.push(`src/${file.path} lies in a folder that the import order does not know`);
  for (const specifier of importedSpecifiers(file.text)) {
    if (fileSystemModules.has(specifier) && file.path !== onlyImporterOfFileSystem) {
      refuse(specifier, `only src/${onlyImporterOfFileSystem} touches the file system`);
    }
    if (!specifier.startsWith(".")) continue;
    const target = resolveBeside(file.path, specifier);
    if (!target.endsWith(".ts")) refuse(specifier, "relative imports end in .ts");
    else if (target.startsWith("../")) refuse(specifier, "it lies outside src");
    else if (isTest(target)) refuse(specifier, "the product does not import its tests");
    else if (rankOf(target) > ownRank) refuse(specifier, `${folderOf(target)} comes after ${folderOf(file.path)}`);
    else if (areStrangers(file.path, target)) refuse(specifier, "the two know nothing of each other");
    else if (file.path.startsWith("format/") && target === "base/clock.ts") refuse(specifier, "formats have no clock");
  }
  return problems;
}

/** What is wrong with the shape of `file`: too long, no opening comment, `export *`. */
export function shapeProblems(file: SourceFile): string[] {
  const problems: string[] = [];
  if (/^export \*/m.test(file.text)) problems.push(`src/${file.path} has an \`export *\`: every export is named`);
  if (isTest(file.path)) return problems;
  const lines = file.text.replace(/\n$/, "").split("\n");
  if (lines.length > linesMax) problems.push(`src/${file.path} has ${lines.length} lines, at most ${linesMax} are allowed`);
  const opening = lines.find((line) => !line.startsWith("#!") && line.trim() !== "") ?? "";
  if (!/^\/[/*]/.test(opening)) problems.push(`src/${file.path} does not open with a comment that says what it is for`);
  return problems;
}

function isTest(path: string): boolean {
  return path.endsWith(".test.ts");
}

function folderOf(path: string): string {
  const end = path.indexOf("/");
  return end < 0 ? "." : path.slice(0, end);
}

function rankOf(path: string): number {
  return (folderOrder as readonly string[]).indexOf(folderOf(path));
}

function areStrangers(from: string, to: string): boolean {
  const lies = (path: string, folder: string): boolean => path.startsWith(`${folder}/`);
  return strangers.some(([one, other]) => (lies(from, one) && lies(to, other)) || (lies(from, other) && lies(to, one)));
}

function resolveBeside(path: string, specifier: string): string {
  const segments = path.split("/").slice(0, -1);
  for (const segment of specifier.split("/")) {
    if (segment === ".." && segments.length > 0 && segments.at(-1) !== "..") segments.pop();
    else if (segment !== ".") segments.push(segment);
  }
  return segments.join("/");
}
