// Each verb of the command line, through the real program.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { defineEvent, Store } from "../../src/index.ts";
import { batpak, jsonLines, program, programArguments, temporaryDirectory } from "./run-cli.ts";

const Placed = defineEvent("Placed");
const Paid = defineEvent("Paid");

async function sample(directory: string, events = 20): Promise<string> {
  const path = join(directory, "store");
  const store = await Store.open(path);
  for (let n = 0; n < events; n++) {
    const coordinate = { entity: `order:${n % 4}`, scope: n % 2 === 0 ? "eu" : "us" };
    await store.append(coordinate, (n % 5 === 0 ? Paid : Placed)({ n, at: new Date(n), big: 2n ** 64n }), { metadata: { by: "test" } });
  }
  await store.close();
  return path;
}

const fileStates = (path: string) =>
  readdirSync(path).map((name) => [name, statSync(join(path, name)).mtimeMs, statSync(join(path, name)).size]);

test("append prints a receipt; a new store wants --create; names, kinds, keys and expectations", async (context) => {
  const path = join(temporaryDirectory(context), "new");
  const refused = await batpak(["append", path, "a", "s", "Named", "1"]);
  assert.deepEqual([refused.code, refused.out], [2, ""]);
  assert.match(refused.err, /there is nothing at .*--create/);
  const made = await batpak(
    ["append", path, "a", "s", "Named", "-", "--create", "--json", "--key", "k", "--metadata", '{"m":1}'],
    '{"big":18446744073709551616}',
  );
  assert.equal(made.code, 0, made.err);
  const [receipt] = jsonLines(made.out);
  assert.deepEqual([receipt.sequence, receipt.clock, receipt.durable], [0, 0, true]);
  const again = await batpak(["append", path, "a", "s", "Named", '{"big":18446744073709551616}', "--json", "--key", "k"]);
  assert.equal(jsonLines(again.out)[0].id, receipt.id);
  const numbered = await batpak(["append", path, "a", "s", "0x2001", '"x"', "--expect", "0", "--caused-by", receipt.id as string]);
  assert.match(numbered.out, /^sequence 1 {2}clock 1 {2}id [0-9a-f-]{36}\n$/);
  const conflict = await batpak(["append", path, "a", "s", "Named", "1", "--expect", "none"]);
  assert.equal(conflict.code, 3);
  assert.match(conflict.err, /CONFLICT/);
  const reserved = await batpak(["append", path, "a", "s", "6", "1"]);
  assert.equal(reserved.code, 2);
  const store = await Store.open(path, { readOnly: true });
  const [first, second] = await store.read().toArray();
  assert.deepEqual([first.type, first.data, first.metadata], ["Named", { big: 2n ** 64n }, { m: 1 }]);
  assert.deepEqual([second.kind, second.causationId, await store.count()], [0x2001, first.id, 2]);
  await store.close();
});

test("an append that is given wrongly makes no store", async (context) => {
  const path = join(temporaryDirectory(context), "new");
  const wrong: [string[], RegExp][] = [
    [["e", "", "N", "1"], /scope is empty/],
    [["_batpak", "s", "N", "1"], /library's own/],
    [["e", "s", "", "1"], /name is empty/],
    [["e", "s", "N", "1", "--key", ""], /key is empty/],
    [["e", "s", "N", "1", "--caused-by", "x"], /--caused-by: the id is "x"/],
    [["e", "s", "N", "1", "--caused-by", "0".repeat(32), "--correlation", "0".repeat(32)], /both given/],
    [["e", "s", "N", "1", "--metadata", "[1]"], /--metadata \[1\]: it is no object/],
    [["e", "s", "N", "1", "--event-version", "0"], /version is 0/],
  ];
  const results = await Promise.all(wrong.map(([args]) => batpak(["append", path, ...args, "--create"])));
  for (const [n, { code, err }] of results.entries()) {
    assert.equal(code, 2, err);
    assert.match(err, wrong[n][1]);
  }
  assert.equal(existsSync(path), false);
});

test("get shows an event; one that is not there is exit status 1", async (context) => {
  const path = await sample(temporaryDirectory(context), 2);
  const store = await Store.open(path, { readOnly: true });
  const event = await store.read().first();
  await store.close();
  assert.ok(event);
  const [json, text, digits, missing] = await Promise.all([
    batpak(["get", path, event.id, "--json"]),
    batpak(["get", path, event.id]),
    batpak(["get", path, event.id.replaceAll("-", ""), "--json"]),
    batpak(["get", path, "0".repeat(32)]),
  ]);
  assert.equal(json.out, digits.out);
  assert.deepEqual(
    Object.keys(jsonLines(json.out)[0]),
    "id sequence entity scope kind type version clock timestamp correlationId causationId hash previousHash metadata data".split(" "),
  );
  assert.match(json.out, /"big":18446744073709551616/);
  assert.match(text.out, new RegExp(`^id +${event.id}\n`));
  assert.deepEqual([missing.code, missing.out], [1, ""]);
  assert.match(missing.err, /There is no event/);
  const missingJson = await batpak(["get", path, "f".repeat(32), "--json"]);
  assert.deepEqual([missingJson.code, jsonLines(missingJson.err).map(({ code }) => code)], [1, ["NOT_FOUND"]]);
});

const sequencesOf = async (...args: string[]): Promise<number[]> => {
  const result = await batpak([...args, "--json"]);
  assert.equal(result.code, 0, result.err);
  return jsonLines(result.out).map(({ sequence }) => sequence as number);
};

test("read takes every filter and range, both ways, and changes nothing on disk", async (context) => {
  const path = await sample(temporaryDirectory(context));
  const before = fileStates(path);
  const store = await Store.open(path, { readOnly: true });
  const events = await store.read().toArray();
  await store.close();
  const expected: [string[], (event: (typeof events)[number]) => boolean][] = [
    [["--entity", "order:1"], ({ entity }) => entity === "order:1"],
    [["--prefix", "order:", "--scope", "eu", "--kind", "Paid"], ({ scope, type }) => scope === "eu" && type === "Paid"],
    [["--kind", "Placed", "--kind", String(events[0].kind)], () => true],
    [["--category", "1", "--clock", "2..3"], ({ clock }) => clock === 2 || clock === 3],
    [["--correlation", events[3].id, "--sequence", "..3"], ({ sequence }) => sequence === 3],
    [["--caused-by", events[3].id], () => false],
    [["--sequence", "5..", "--time", `${events[7].timestamp}..`], ({ timestamp }) => timestamp >= events[7].timestamp],
    [["--time", `..${new Date(events[4].timestamp).toISOString()}`], ({ timestamp }) => timestamp <= events[4].timestamp],
  ];
  const found = await Promise.all(expected.map(([flags]) => sequencesOf("read", path, ...flags)));
  const wanted = expected.map(([, matches]) => events.filter(matches).map(({ sequence }) => sequence));
  wanted[6] = wanted[6].filter((sequence) => sequence >= 5);
  assert.deepEqual(found, wanted);
  assert.deepEqual(await sequencesOf("read", path, "--direction", "backward", "--limit", "3", "--after", "10"), [9, 8, 7]);
  assert.deepEqual(await sequencesOf("tail", path, "-n", "4"), [16, 17, 18, 19]);
  const text = await batpak(["read", path, "--limit", "1"]);
  assert.match(text.out, /^ {5}0 {2}\S+Z {2}order:0 #0 eu {2}Paid \{.*\}\n$/);
  assert.deepEqual(fileStates(path), before);
});

test("stats, entities, segments and checkpoints, as text and as JSON", async (context) => {
  const path = await sample(temporaryDirectory(context));
  const verbs: [string[], RegExp, (lines: Record<string, unknown>[]) => unknown, unknown][] = [
    [["stats", path], /events +20/, ([line]) => [line.events, line.entities, line.nextSequence], [20, 4, 20]],
    [["entities", path, "--prefix", "order:2"], /^order:2\n$/, (lines) => lines, [{ entity: "order:2" }]],
    [["segments", path], /firstSequence/, ([line]) => [line.id, line.firstSequence, line.nextSequence, line.sealed], [1, 0, 20, false]],
    [["checkpoint", "show", join(path, "index.ckpt")], /version +256/, ([line]) => [line.version, line.nextSequence], [256, 20]],
    [["checkpoint", "write", path], /index\.ckpt/, ([line]) => line.nextSequence, 20],
  ];
  for (const [args, pattern, pick, wanted] of verbs) {
    const text = await batpak(args);
    const json = await batpak([...args, "--json"]);
    assert.deepEqual([text.code, json.code], [0, 0], text.err + json.err);
    assert.match(text.out, pattern);
    assert.deepEqual(pick(jsonLines(json.out)), wanted);
    if (args[1] !== "show") continue;
    // Neither the library's own entity nor what fills columns up.
    const [{ entityCount, columns, filling }] = jsonLines(json.out);
    assert.deepEqual([entityCount, filling, Object.hasOwn(columns as object, "")], [4, undefined, false]);
    assert.doesNotMatch(text.out, /^(?:column {2}|filling)/m);
  }
  const foreign = join(path, "..", "foreign");
  writeFileSync(foreign, "no checkpoint at all");
  const ignored = await batpak(["checkpoint", "show", foreign]);
  assert.deepEqual([ignored.code, ignored.out], [1, ""]);
  assert.match(ignored.err, /its magic is wrong/);
});

const DUMP_KEYS =
  "event_id correlation_id causation_id entity scope kind wall_ms clock prev_hash event_hash segment_id offset length global_sequence payload".split(
    " ",
  );

test("dump has its keys, and with --full name and metadata where there are some; dump, import and dump again agree; a second import adds nothing", async (context) => {
  const directory = temporaryDirectory(context);
  const path = await sample(directory);
  const bare = jsonLines((await batpak(["dump", path])).out);
  assert.equal(bare.length, 20);
  for (const line of bare) assert.deepEqual(Object.keys(line), DUMP_KEYS);
  const dump = await batpak(["dump", path, "--full"]);
  const lines = jsonLines(dump.out);
  assert.equal(lines.length, 20);
  for (const line of lines) assert.deepEqual(Object.keys(line), DUMP_KEYS.toSpliced(-1, 0, "type", "metadata"));
  const segment = readFileSync(join(path, "000001.fbat"));
  for (const { event_id, prev_hash, event_hash, offset, length, causation_id } of lines) {
    assert.match(event_id as string, /^[0-9a-f]{32}$/);
    assert.match(`${prev_hash}${event_hash}`, /^[0-9a-f]{128}$/);
    assert.equal(causation_id, null);
    // A frame begins with its own length, and holds its id.
    assert.ok(segment.subarray(offset as number, (offset as number) + (length as number)).includes(Buffer.from(event_id as string, "hex")));
  }
  const file = join(directory, "dump.jsonl");
  writeFileSync(file, dump.out);
  const copy = join(directory, "copy");
  const imported = await batpak(["import", copy, file, "--create", "--json"]);
  assert.deepEqual([imported.code, jsonLines(imported.out)], [0, [{ imported: 20, skipped: 0, bad: [] }]], imported.err);
  const again = await batpak(["import", copy, "-"], dump.out);
  assert.deepEqual([again.code, again.out], [0, "0 imported, 20 there already, 0 bad\n"]);
  const content = [
    "event_id",
    "correlation_id",
    "causation_id",
    "entity",
    "scope",
    "kind",
    "type",
    "metadata",
    "wall_ms",
    "clock",
    "global_sequence",
    "payload",
  ];
  const contentOf = (all: Record<string, unknown>[]) => all.map((line) => content.map((key) => line[key]));
  const copied = await batpak(["dump", copy, "--full", "--json"]);
  assert.deepEqual(contentOf(jsonLines(copied.out)), contentOf(lines));
  assert.match(copied.out, /"big":18446744073709551616/);
});

test("a bad line names its number and stops its batch; --skip-bad goes on and reports", async (context) => {
  const path = join(temporaryDirectory(context), "store");
  const good = '{"entity":"a","scope":"s","kind":4096,"payload":1}\n';
  const input = `${good}\n{"entity":"a","scope":"s"}\n${good}`;
  const stopped = await batpak(["import", path, "-", "--create"], input);
  assert.deepEqual([stopped.code, stopped.out], [3, ""]);
  assert.match(stopped.err, /line 3: .*kind is missing.*INVALID_LINE/);
  assert.equal((await batpak(["dump", path])).out, "");
  const skipped = await batpak(["import", path, "-", "--skip-bad"], input);
  assert.deepEqual([skipped.code, skipped.out], [1, "2 imported, 0 there already, 1 bad\n"]);
  assert.match(skipped.err, /Line 3 is left out/);
  const missing = await batpak(["import", path, join(path, "nothing.jsonl")]);
  assert.deepEqual([missing.code, missing.out], [2, ""]);
});

test("an import that waits for its input ends at the first Ctrl-C, and leaves the store closed", async (context) => {
  const path = join(temporaryDirectory(context), "store");
  const child = spawn(program, [...programArguments, "import", path, "-", "--create"], { stdio: ["pipe", "pipe", "pipe"] });
  const portion = Array.from({ length: 1000 }, (_, n) => `{"entity":"e","scope":"s","kind":4096,"payload":${n}}\n`).join("");
  child.stdin.write(`${portion}{"entity":`);
  const said = text(child.stderr);
  // Until they are stored, which a reader sees.
  for (let count = 0; count < 1000; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const store = await Store.open(path, { readOnly: true }).catch(() => null);
    count = (await store?.count()) ?? 0;
    await store?.close();
  }
  child.kill("SIGINT");
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 130);
  assert.match(await said, /Interrupted; what is imported stays/);
  const store = await Store.open(path);
  assert.equal(store.openReport.route, "checkpoint");
  await store.close();
});

// On Deno the process lived until whoever writes to it had ended.
test("an import that fails ends, though its input goes on", { timeout: 60_000 }, async (context) => {
  const path = join(temporaryDirectory(context), "store");
  const child = spawn(program, [...programArguments, "import", path, "-", "--create"], { stdio: ["pipe", "pipe", "pipe"] });
  const said = text(child.stderr);
  child.stdin.on("error", () => {});
  child.stdin.write("nonsense\n");
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 3);
  assert.match(await said, /line 1/);
});

test("wrong flags, wrong verbs, missing paths and files are exit status 2, with a message and no output", async (context) => {
  const directory = temporaryDirectory(context);
  const path = await sample(directory, 1);
  const wrong: [string[], RegExp][] = [
    [["nonsense"], /unknown command/],
    [["read"], /missing required argument/],
    [["read", path, "--nonsense"], /unknown option/],
    [["read", path, "--limit", "x"], /--limit x: whole numbers/],
    [["read", path, "--direction", "up"], /Allowed choices/],
    [["read", path, "--time", "noon.."], /ISO times/],
    [["get", path, "xyz"], /32 hex digits/],
    [["read", join(directory, "nowhere")], /there is nothing at .*nowhere/],
    [["stats", join(path, "000001.fbat")], /is a file, .*the directory that it is in/],
    [["dump", directory], /holds no store/],
    [["append", path, "a", "s", "X", "{nonsense"], /JSON/],
    [["checkpoint", "write", join(directory, "nowhere")], /a directory that holds a store is allowed/],
    [["compact", path, "--keep-last", "x"], /--keep-last x: whole numbers/],
    [["consumers", "reset", path, "c", "--to", "noon"], /--to noon: start, end/],
    [["convert", path, directory, "--layout", "batpak-0.3", "--lossy"], /there is something at/],
    [["convert", path, join(path, "inside"), "--layout", "batpak-0.3", "--lossy"], /in the source's own directory/],
  ];
  const results = await Promise.all(wrong.map(([args]) => batpak(args)));
  for (const [i, { code, out, err }] of results.entries()) {
    assert.deepEqual([code, out], [2, ""], `${wrong[i][0].join(" ")}: ${err}`);
    assert.match(err, wrong[i][1]);
  }
  assert.deepEqual(readdirSync(directory), ["store"]);
  const bytes = spawn(program, [...programArguments, "append", path, "a", "s", "X", "-"], { stdio: ["pipe", "ignore", "pipe"] });
  bytes.stdin.end(Buffer.of(0x22, 0xff, 0x22));
  const [said, [status]] = await Promise.all([text(bytes.stderr), once(bytes, "close")]);
  assert.equal(status, 2);
  assert.match(said, /not UTF-8/);
  const help = await batpak(["--help"]);
  assert.equal(help.code, 0);
  for (const verb of ["append", "get", "read", "tail", "stats", "entities", "segments", "checkpoint", "dump", "import"]) {
    assert.match(help.out, new RegExp(`^ {2}${verb}`, "m"));
  }
  console.log(`wrong command lines tried: ${wrong.length}`);
});

test("what the system refuses of a path that was given is told as the store tells it", async (context) => {
  const directory = temporaryDirectory(context);
  // Nobody may look through it, whoever runs the tests.
  const loop = join(directory, "loop");
  symlinkSync(loop, loop);
  const commands = [
    ["read", loop],
    ["import", join(directory, "new"), loop, "--create"],
    ["checkpoint", "show", loop],
    ["snapshot", loop, join(directory, "copy")],
  ];
  for (const { code, out, err } of await Promise.all(commands.map((args) => batpak(args)))) {
    assert.deepEqual([code, out], [3, ""], err);
    assert.match(err, /^batpak: Cannot (?:read|open) ".*loop": ELOOP: .* \(IO\)\n$/);
  }
});

test("reading goes on beside a live writer and follows it; a second writer is refused with LOCKED", async (context) => {
  const path = await sample(temporaryDirectory(context), 3);
  const store = await Store.open(path);
  await store.append({ entity: "live", scope: "eu" }, Placed(1));
  assert.deepEqual(await sequencesOf("read", path), [0, 1, 2, 3]);
  const refused = await batpak(["append", path, "a", "s", "X", "1"]);
  assert.deepEqual([refused.code, refused.out], [3, ""]);
  assert.match(refused.err, /wait for it with --wait SECONDS, or end it \(LOCKED\)/);
  const follower = spawn(program, [...programArguments, "tail", path, "-n", "1", "-f", "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const followed: unknown[] = [];
  for await (const text of follower.stdout.setEncoding("utf8") as AsyncIterable<string>) {
    for (const { sequence } of jsonLines(text)) {
      followed.push(sequence);
      if (followed.length < 4) await store.append({ entity: "live", scope: "eu" }, defineEvent(`Followed${followed.length}`)(sequence));
    }
    if (followed.length >= 4) follower.kill();
  }
  assert.deepEqual(followed, [3, 4, 5, 6]);
  // Both are refused at once without the option, and wait with it.
  const waiting = [batpak(["append", path, "a", "s", "X", "1", "--wait", "60"]), batpak(["repair", path, "--wait", "60"])];
  await new Promise((resolve) => setTimeout(resolve, 4000));
  await store.close();
  for (const { code, err } of await Promise.all(waiting)) assert.equal(code, 0, err);
});

test("an output that is closed early ends the program quietly", async (context) => {
  const path = await sample(temporaryDirectory(context), 1);
  const store = await Store.open(path, { durability: "os" });
  for (let n = 0; n < 20; n++)
    await store.append(
      { entity: "x", scope: "s" },
      Array.from({ length: 1000 }, () => Placed("x".repeat(200))),
    );
  await store.close();
  const child = spawn(program, [...programArguments, "dump", path], { stdio: ["ignore", "pipe", "pipe"] });
  let err = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  child.stdout.once("data", () => child.stdout.destroy());
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.deepEqual([code, err], [0, ""]);
});

test("an output that is closed early takes nothing back of what was found", async (context) => {
  const path = await sample(temporaryDirectory(context), 1);
  const store = await Store.open(path);
  for (let n = 0; n < 20; n++)
    await store.append(
      { entity: "x", scope: "s" },
      Array.from({ length: 100 }, () => Placed("x".repeat(2000))),
    );
  await store.close();
  const [second] = jsonLines((await batpak(["read", path, "--json", "--limit", "2"])).out).slice(1);
  const bytes = readFileSync(join(path, "000001.fbat"));
  flip(join(path, "000001.fbat"), bytes.indexOf(Buffer.from((second.id as string).replaceAll("-", ""), "hex")));
  const child = spawn(program, [...programArguments, "dump", path], { stdio: ["ignore", "pipe", "pipe"] });
  let err = "";
  child.stderr.setEncoding("utf8").on("data", (part: string) => (err += part));
  child.stdout.once("data", () => child.stdout.destroy());
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 1, err);
  assert.match(err, /Event 1 is lost/);
});

test("an append whose output fails says that the event is stored", { skip: !existsSync("/dev/full") }, async (context) => {
  const path = await sample(temporaryDirectory(context), 2);
  for (const json of [[], ["--json"]]) {
    const full = openSync("/dev/full", "w");
    const child = spawn(program, [...programArguments, "append", path, "e", "s", "N", "1", ...json], {
      stdio: ["ignore", full, "pipe"],
    });
    closeSync(full);
    const [err, [code]] = await Promise.all([text(child.stderr as Readable), once(child, "close") as Promise<[number]>]);
    assert.equal(code, 3, err);
    const sequence = json.length === 0 ? 2 : 3;
    const pattern = new RegExp(
      `Cannot write the output: ENOSPC.*; the event is stored: sequence ${sequence} {2}clock \\d {2}id [0-9a-f-]{36}`,
    );
    if (json.length === 0) assert.match(err, new RegExp(`^batpak: ${pattern.source} \\(IO\\)\n$`));
    else {
      const { code: name, message, details } = JSON.parse(err) as { code: string; message: string; details: { errno: string } };
      assert.deepEqual([name, details.errno], ["IO", "ENOSPC"]);
      assert.match(message, pattern);
    }
  }
  const store = await Store.open(path, { readOnly: true });
  assert.equal(await store.count(), 4);
  await store.close();
});

test("with --json what ends the command is one JSON value on standard error", async (context) => {
  const path = await sample(temporaryDirectory(context), 2);
  const wrong: [string[], number, Record<string, unknown>][] = [
    [
      ["append", path, "order:0", "s", "N", "1", "--expect", "none"],
      3,
      { code: "CONFLICT", details: { entity: "order:0", expected: "none", actual: { clock: 0 } } },
    ],
    [["append", path, "order:0", "s", "6", "1"], 2, { code: "INVALID_ARGUMENT", details: {} }],
    [["read", `${path}\u009b`], 2, { code: "INVALID_ARGUMENT", details: {} }],
    [["append", path, "e", "s", "N", "1", "--caused-by", "0".repeat(32)], 1, { code: "NOT_FOUND" }],
  ];
  for (const [args, status, wanted] of wrong) {
    const { code, out, err } = await batpak([...args, "--json"]);
    assert.deepEqual([code, out], [status, ""], err);
    const [failure, ...more] = jsonLines(err);
    assert.deepEqual([more, Object.keys(failure)], [[], ["code", "message", "details"]]);
    assert.deepEqual({ ...failure, ...wanted }, failure);
    assert.doesNotMatch(err, /\u009b/);
  }
});

function flip(file: string, position: number): void {
  const bytes = readFileSync(file);
  const descriptor = openSync(file, "r+");
  writeSync(descriptor, Uint8Array.of(bytes[position] ^ 0xff), 0, 1, position);
  closeSync(descriptor);
}

test("damage is told on stderr and in the exit status, and what is whole is printed", async (context) => {
  const path = await sample(temporaryDirectory(context), 30);
  const whole = jsonLines((await batpak(["dump", path])).out);
  const { offset, length } = whole[11] as { offset: number; length: number };
  flip(join(path, "000001.fbat"), offset + length - 40);
  const [read, backward, dump] = await Promise.all([
    batpak(["read", path, "--json"]),
    batpak(["read", path, "--json", "--direction", "backward"]),
    batpak(["dump", path]),
  ]);
  const rest = whole.filter((_, n) => n !== 11).map(({ global_sequence }) => global_sequence);
  assert.deepEqual([read.code, jsonLines(read.out).map(({ sequence }) => sequence)], [1, rest]);
  assert.deepEqual([backward.code, jsonLines(backward.out).map(({ sequence }) => sequence)], [1, rest.toReversed()]);
  assert.deepEqual([dump.code, jsonLines(dump.out)], [1, whole.filter((_, n) => n !== 11)]);
  for (const { err } of [read, backward, dump]) assert.match(err, /Event 11 is lost/);
});

test("a name that no event has is told on stderr, and fails nothing", async (context) => {
  const path = await sample(temporaryDirectory(context), 5);
  const [wrong, right, number] = await Promise.all([
    batpak(["read", path, "--kind", "Payd", "--kind", "Paid", "--json"]),
    batpak(["tail", path, "--kind", "Paid"]),
    batpak(["read", path, "--kind", "0x1fff"]),
  ]);
  assert.deepEqual([wrong.code, jsonLines(wrong.out).length], [0, 1]);
  assert.match(wrong.err, /No event in the store has the name Payd/);
  assert.doesNotMatch(wrong.err, /name Paid/);
  assert.deepEqual([right.err, number.err, number.code], ["", "", 0]);
});

test("the version is printed, and compacting without a rule names the options", async (context) => {
  const version = await batpak(["--version"]);
  assert.match(version.out, /^\d+\.\d+\.\d+/);
  const path = await sample(temporaryDirectory(context), 5);
  const refused = await batpak(["compact", path, "--yes"]);
  assert.equal(refused.code, 2);
  assert.match(refused.err, /--keep-last/);
});

test("a torn tail is told on stderr, and is no failure", async (context) => {
  const path = await sample(temporaryDirectory(context), 5);
  const segment = join(path, "000001.fbat");
  const end = jsonLines((await batpak(["segments", path, "--json"])).out)[0].bytes as number;
  const bytes = readFileSync(segment).subarray(0, end);
  writeFileSync(segment, Buffer.concat([bytes, bytes.subarray(end - 100, end - 30)]));
  const before = fileStates(path);
  const read = await batpak(["read", path, "--json"]);
  assert.deepEqual([read.code, jsonLines(read.out).length], [0, 5], read.err);
  assert.match(read.err, /70 torn bytes/);
  assert.deepEqual(fileStates(path), before);
});

test("damage is told as damage, and not as torn bytes too", async (context) => {
  const path = await sample(temporaryDirectory(context), 5);
  rmSync(join(path, "index.ckpt"));
  const segment = join(path, "000001.fbat");
  const bytes = readFileSync(segment);
  bytes[400] ^= 1;
  writeFileSync(segment, bytes);
  const read = await batpak(["read", path, "--json"]);
  assert.deepEqual([read.code, jsonLines(read.out).length], [1, 4], read.err);
  assert.match(read.err, /damaged at offset/);
  assert.doesNotMatch(read.err, /torn/);
});

test("no name and no text gives a terminal an order, as text or as JSON", async (context) => {
  const path = join(temporaryDirectory(context), "\u001b[31mstore\u009b");
  const orders = "\u001b[2J\u007f\u009b2J\u0085\u2028\u202eevil\u2066";
  const name = `заказ:日本${orders}`;
  const store = await Store.open(path);
  const { id } = await store.append({ entity: name, scope: name }, defineEvent(name)({ [name]: name }), { metadata: { [name]: name } });
  await (await store.consumer(name)).close();
  await store.close();
  const asText = [["read"], ["get", id], ["stats"], ["consumers"], ["checkpoint", "write"]];
  const asJson = [["read"], ["dump"], ["entities"], ["consumers"], ["stats"]].map(([verb]) => [verb, "--json"]);
  for (const [verb, ...rest] of [...asText, ...asJson]) {
    const { code, out, err } = await batpak(verb === "checkpoint" ? [verb, ...rest, path] : [verb, path, ...rest]);
    const about = `${verb} ${rest.join(" ")}: ${JSON.stringify(out + err)}`;
    assert.equal(code, 0, about);
    // oxlint-disable-next-line no-control-regex -- these are what a terminal would obey
    assert.doesNotMatch(out + err, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/, about);
    if (verb !== "read" || rest.length === 0) continue;
    const [event] = jsonLines(out);
    assert.deepEqual([event.entity, event.type, event.data, event.metadata], [name, name, { [name]: name }, { [name]: name }]);
  }
});
