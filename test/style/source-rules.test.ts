// Holds src to the import order and the shape of files, and shows that each rule would catch its offence.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { importedSpecifiers, importOrderProblems, shapeProblems } from "./source-rules.ts";
import type { SourceFile } from "./source-rules.ts";

const sourceFolder = fileURLToPath(new URL("../../src/", import.meta.url));
const generated = new Set(["kernel/kernel-binary.ts"]);

function sourceFiles(): SourceFile[] {
  return readdirSync(sourceFolder, { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll(path.sep, "/"))
    .filter((file) => file.endsWith(".ts") && !generated.has(file))
    .map((file) => ({ path: file, text: readFileSync(path.join(sourceFolder, file), "utf8") }));
}

describe("every file in src", () => {
  const files = sourceFiles();

  test("is looked at", () => {
    assert.ok(files.some((file) => file.path === "base/store-error.ts"));
  });

  test("imports only from its own folder and lower ones", () => {
    assert.deepEqual(files.flatMap(importOrderProblems), []);
  });

  test("opens with a comment, stays within 500 lines and names its exports", () => {
    assert.deepEqual(files.flatMap(shapeProblems), []);
  });
});

describe("the import order", () => {
  const offences: readonly { name: string; path: string; text: string; reason: RegExp }[] = [
    { name: "a higher folder", path: "log/recovery.ts", text: 'import { Store } from "../store.ts";', reason: /comes after/ },
    {
      name: "a type of a higher folder",
      path: "base/bytes.ts",
      text: 'import type { Disk } from "../disk/disk.ts";',
      reason: /comes after/,
    },
    {
      name: "a higher folder over several lines",
      path: "format/native/frame.ts",
      text: 'import {\n  one,\n  two,\n} from "../../disk/disk.ts";',
      reason: /comes after/,
    },
    { name: "a dynamic import", path: "index/heads.ts", text: 'const m = await import("../log/verify.ts");', reason: /comes after/ },
    { name: "an export from above", path: "kernel/kernel.ts", text: 'export { id } from "../events/id.ts";', reason: /comes after/ },
    { name: "the other layout", path: "format/native/frame.ts", text: 'import { a } from "../batpak03/frame.ts";', reason: /know nothing/ },
    { name: "native from 0.3", path: "format/batpak03/frame.ts", text: 'import { a } from "../native/frame.ts";', reason: /know nothing/ },
    {
      name: "a clock in a format",
      path: "format/native/frame.ts",
      text: 'import type { Clock } from "../../base/clock.ts";',
      reason: /clock/,
    },
    { name: "the file system", path: "cli/dump.ts", text: 'import { readFileSync } from "node:fs";', reason: /file system/ },
    { name: "the file system by its old name", path: "store.ts", text: 'import fs from "fs/promises";', reason: /file system/ },
    { name: "a file without its ending", path: "store.ts", text: 'import { a } from "./log/a";', reason: /end in \.ts/ },
    { name: "a test", path: "store.ts", text: 'import { a } from "./log/a.test.ts";', reason: /its tests/ },
    { name: "something outside src", path: "store.ts", text: 'import { a } from "../scripts/a.ts";', reason: /outside src/ },
  ];
  for (const offence of offences) {
    test(`refuses ${offence.name}`, () => {
      const problems = importOrderProblems(offence);
      assert.equal(problems.length, 1);
      assert.match(problems[0] as string, offence.reason);
    });
  }

  test("refuses a folder it does not know", () => {
    assert.match(importOrderProblems({ path: "util/misc.ts", text: "" })[0] as string, /does not know/);
  });

  test("lets pass what is lower, beside or from a package", () => {
    const text = [
      'import { assert } from "../base/assert.ts";',
      'import { a } from "./beside.ts";',
      'import { b } from "../format/native/frame.ts";',
      'import path from "node:path";',
      ' * import { Store } from "../store.ts";',
      '// import { Store } from "../store.ts";',
    ].join("\n");
    assert.deepEqual(importOrderProblems({ path: "log/recovery.ts", text }), []);
    assert.deepEqual(importOrderProblems({ path: "disk/node-disk.ts", text: 'import fs from "node:fs";' }), []);
    assert.equal(importedSpecifiers(text).length, 4);
  });
});

describe("the shape of files", () => {
  test("refuses an `export *`, a missing opening comment and a long file", () => {
    assert.match(shapeProblems({ path: "a.ts", text: '// a\nexport * from "./b.ts";\n' })[0] as string, /export \*/);
    assert.match(shapeProblems({ path: "a.ts", text: "export const a = 1;\n" })[0] as string, /comment/);
    assert.match(shapeProblems({ path: "a.ts", text: `// a\n${"\n".repeat(500)}` })[0] as string, /501 lines/);
  });

  test("takes a file of 500 lines, and a comment after the interpreter's line", () => {
    assert.deepEqual(shapeProblems({ path: "a.ts", text: `// a\n${"\n".repeat(499)}` }), []);
    assert.deepEqual(shapeProblems({ path: "cli/main.ts", text: "#!/usr/bin/env node\n/** The command line. */\n" }), []);
  });
});
