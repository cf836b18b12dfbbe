// What a user's editor shows keeps its word: every name that the package exports has a docstring, every function and class of it an example,
// and the examples compile, one after another, against what the package declares.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const projectRoot = path.dirname(fileURLToPath(new URL("../../package.json", import.meta.url)));
const compiler = path.join(projectRoot, "node_modules/typescript/bin/tsc");
/** Public by what is exported, but not made by its users: what gives them says how they are used. */
const GIVEN = new Set(["ConsumerPosition", "NameListing", "Subscription"]);

/** What the examples speak of and do not make themselves. */
const PRELUDE = `
import { z } from "zod";
import { test } from "node:test";
import * as batpak from "batpak";
import { ${["Coordinate", "Disk", "Event", "KnownQuery", "Query", "QueryEvents", "Receipt"].map((name) => `type ${name}`).join(", ")} } from "batpak";
import { ${["compactStore", "convertStore", "DATA", "defineDecider", "defineEvent", "defineProjection", "isStoreError"].join(", ")} } from "batpak";
import { rawEvent, repairStore, Store, type } from "batpak";
import { createMemoryDisk, diskContract, openMemoryStore, SimulatedDisk } from "batpak/testing";
const PlayerMoved = defineEvent("PlayerMoved", { schema: type<{ x: number; y: number }>() });
const PlayerJoined = defineEvent("PlayerJoined", { schema: type<{ nick: string }>() });
const PlayerLeft = defineEvent("PlayerLeft", { schema: type<Record<string, never>>() });
const Deposited = defineEvent("Deposited", { schema: type<{ cents: number }>() });
const Withdrawn = defineEvent("Withdrawn", { schema: type<{ cents: number }>() });
const OrderPlaced = defineEvent("OrderPlaced", { schema: type<{ cents: number }>() });
const InvoiceIssued = defineEvent("InvoiceIssued", { schema: type<{ cents: number }>() });
declare const store: Store;
declare const alice: Coordinate, bob: Coordinate, order: Coordinate;
declare const receipt: Receipt, lastSeen: number, signal: AbortSignal, myDisk: Disk;
declare const event: Event<[typeof PlayerMoved, typeof PlayerJoined]>;
declare const error: unknown;
declare const Balance: batpak.Projection<{ cents: number }>;
declare const Account: batpak.Decider<{ cents: number }, { withdraw: number }>;
declare function sendMail(data: { cents: number }): Promise<void>;
declare function newDirectory(): string;
declare function scenario(disk: Disk): Promise<void>;
declare function checkStore(disk: Disk): Promise<void>;
`;

interface Documented {
  readonly name: string;
  readonly kind: string;
  readonly comment: string;
}

let declared: string;

before(() => {
  declared = mkdtempSync(path.join(os.tmpdir(), "batpak-docstrings-"));
  compile("-p", path.join(projectRoot, "tsconfig.build.json"), "--emitDeclarationOnly", "--outDir", declared);
});

after(() => rmSync(declared, { recursive: true, force: true }));

function compile(...given: string[]): void {
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...given], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
}

/** The names that a door of the package exports, with the comment right before the declaration of each. */
function exported(door: string): Documented[] {
  const text = readFileSync(path.join(declared, door), "utf8");
  const found: Documented[] = [];
  for (const [, list = "", from = ""] of text.matchAll(/^export (?:type )?\{([^}]*)\} from "(.*?)";/gm)) {
    const file = path.join(declared, path.dirname(door), from.replace(/\.[jt]s$/, ".d.ts"));
    const source = readFileSync(file, "utf8");
    for (const name of list.split(",").map((one) => one.replace(/\btype /, "").trim())) {
      if (name !== "") found.push({ name, ...declarationOf(source, name) });
    }
  }
  return found;
}

function declarationOf(source: string, name: string): Omit<Documented, "name"> {
  const declaration = new RegExp(`^export (?:declare )?(?:abstract )?(class|interface|type|function|const) ${name}\\b`, "m").exec(source);
  assert.ok(declaration !== null, name);
  const isDocumented = /\*\/\s*$/.test(source.slice(0, declaration.index));
  const comment = isDocumented ? source.slice(source.lastIndexOf("/**", declaration.index), declaration.index) : "";
  return { kind: declaration[1] as string, comment };
}

/** The methods of a class, in the order of its declaration; of several signatures each. */
function membersOf(file: string, className: string): Documented[] {
  const source = readFileSync(path.join(declared, file), "utf8");
  const body = source.slice(source.indexOf(`export declare class ${className}`)).replace(/\n\}\n[\s\S]*$/, "");
  const member = /(\/\*\*(?:(?!\*\/)[\s\S])*?\*\/\n)?^ {4}(?!private|#|\[|constructor)(?:static |readonly |get )*(\w+)[<(:]/gm;
  return [...body.matchAll(member)].map(([, comment = "", name = ""]) => ({ name, kind: "member", comment }));
}

function everything(): Documented[] {
  return [...exported("index.d.ts"), ...exported("testing/index.d.ts")];
}

function examplesIn(comment: string): string[] {
  const text = comment.replace(/^\s*\/?\*+[ /]?/gm, "");
  return [...text.matchAll(/@example\n([\s\S]*?)(?=^@|(?![\s\S]))/gm)].map(([, example = ""]) => example);
}

test("every name that is exported has a docstring", () => {
  const names = everything();
  assert.ok(names.length > 100, `${names.length} names were found`);
  assert.deepEqual(
    names.filter(({ comment }) => comment === "").map(({ name }) => name),
    [],
  );
});

test("every function and class that is exported has an example", () => {
  const without = everything().filter(
    ({ name, kind, comment }) => /function|class/.test(kind) && !GIVEN.has(name) && !/@example/.test(comment),
  );
  assert.deepEqual(
    without.map(({ name }) => name),
    [],
  );
});

test("every member of a store and of a consumer has a docstring, in one of its signatures at least", () => {
  for (const [file, className, least] of [
    ["store.d.ts", "Store", 30],
    ["subscriptions/consumer.d.ts", "Consumer", 9],
  ] as const) {
    const members = membersOf(file, className);
    const told = new Set(members.filter(({ comment }) => comment !== "").map(({ name }) => name));
    assert.ok(told.size >= least, `${className} has ${told.size} members`);
    assert.deepEqual(
      members.filter(({ name }) => !told.has(name)).map(({ name }) => name),
      [],
      className,
    );
  }
});

test("the examples compile", () => {
  const comments = [...everything(), ...membersOf("store.d.ts", "Store"), ...membersOf("subscriptions/consumer.d.ts", "Consumer")];
  const ofMembers = /^ +\/\*\*(?:(?!\*\/)[\s\S])*?@example(?:(?!\*\/)[\s\S])*?\*\//gm;
  const nested = readFileSync(path.join(declared, "events/definition.d.ts"), "utf8").match(ofMembers) ?? [];
  const examples = [...comments.map(({ comment }) => comment), ...nested].flatMap(examplesIn);
  assert.ok(examples.length >= 40, `${examples.length} examples were found`);
  const program = examples.map((example, at) => `export async function example${at}() {\n${example}\n}`).join("\n");
  writeFileSync(path.join(declared, "examples.ts"), `${PRELUDE}\n${program}`);
  const compilerOptions = {
    noUnusedLocals: false,
    noUncheckedIndexedAccess: true,
    paths: {
      batpak: [path.join(declared, "index.d.ts")],
      "batpak/testing": [path.join(declared, "testing/index.d.ts")],
      zod: [path.join(projectRoot, "node_modules/zod/index.d.ts")],
      "@standard-schema/spec": [path.join(projectRoot, "node_modules/@standard-schema/spec/dist/index.d.ts")],
    },
    typeRoots: [path.join(projectRoot, "node_modules/@types")],
  };
  const configuration = { extends: path.join(projectRoot, "tsconfig.json"), compilerOptions, include: ["examples.ts"] };
  writeFileSync(path.join(declared, "tsconfig.json"), JSON.stringify(configuration));
  writeFileSync(path.join(declared, "package.json"), JSON.stringify({ type: "module" }));
  compile("-p", declared);
});
