// Payloads that are no MessagePack, in frames that are whole: everything else is printed, with the reason in the payload's place.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Store } from "../../src/index.ts";
import { loadHashing } from "../../src/kernel/frame-kernel.ts";
import { AppendItem, StoredPayload } from "../../src/log/append-request.ts";
import { openParts } from "../../src/open-store.ts";
import { compileOptions, type Layout } from "../../src/store-options.ts";
import type { StoreWriter } from "../../src/store-writer.ts";
import { batpak, jsonLines, temporaryDirectory } from "./run-cli.ts";

const WHOLE = new StoredPayload(Uint8Array.of(0x81, 0xa1, 0x61, 0x01));
const NO_MESSAGEPACK = new StoredPayload(Uint8Array.of(0xc1));
const NO_UTF8 = new StoredPayload(Uint8Array.of(0xa1, 0xff));

/** A store whose events 1 and 3 of five have payloads that nobody can decode. */
async function sample(directory: string, layout: Layout): Promise<string> {
  const path = join(directory, layout);
  await (await Store.open(path, { layout })).close();
  await loadHashing();
  const { writer, lock } = await openParts(path, compileOptions({}));
  for (const [n, payload] of [WHOLE, NO_MESSAGEPACK, WHOLE, NO_UTF8, WHOLE].entries())
    await (writer as StoreWriter).acceptance.take([new AppendItem(`e${n}`, "s", 0x1000, 1, null, payload)], 0);
  await (writer as StoreWriter).close();
  await lock?.release();
  return path;
}

test("read, tail, follow, get and dump print what is whole, and the reason in place of what cannot be decoded", async (context) => {
  const directory = temporaryDirectory(context);
  for (const layout of ["native", "batpak-0.3"] as const) {
    const path = await sample(directory, layout);
    const dump = await batpak(["dump", path]);
    const lines = jsonLines(dump.out);
    assert.deepEqual(
      lines.map(({ payload, payload_error }) => payload ?? typeof payload_error),
      [{ a: 1 }, "string", { a: 1 }, "string", { a: 1 }],
      dump.err,
    );
    const [, { event_id, segment_id, offset }] = lines;
    const id = (event_id as string).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    const told = `The data of event 1 cannot be decoded: .+ \\(id ${id}, segment ${segment_id}, offset ${offset}\\)`;
    const [read, text, tail, follow, got, gotText] = await Promise.all([
      batpak(["read", path, "--json"]),
      batpak(["read", path]),
      batpak(["tail", path, "-n", "4", "--json"]),
      batpak(["follow", path, "--limit", "5", "--json"]),
      batpak(["get", path, id, "--json"]),
      batpak(["get", path, id]),
    ]);
    for (const { code, err } of [dump, read, text, tail, follow]) {
      assert.equal(code, 1, err);
      assert.match(err, new RegExp(told));
      assert.match(err, /2 events have contents that cannot be decoded/);
    }
    assert.deepEqual(
      jsonLines(read.out).map(({ data, dataError }) => data ?? dataError),
      lines.map(({ payload, payload_error }) => payload ?? payload_error),
    );
    assert.equal(follow.out, read.out);
    assert.deepEqual(jsonLines(tail.out), jsonLines(read.out).slice(1));
    assert.match(text.out, /e1 #0 s {2}0x1000 \(cannot be decoded: .+\)\n.+e2/);
    for (const { code, err } of [got, gotText]) {
      assert.equal(code, 1);
      assert.match(err, new RegExp(told));
    }
    assert.deepEqual(jsonLines(got.out), [jsonLines(read.out)[1]]);
    assert.match(gotText.out, /^id +.+\n(?:.+\n)+metadata +-\ndata +\(cannot be decoded: /);
    // Such a line is a bad one.
    const file = join(directory, "dump.jsonl");
    writeFileSync(file, dump.out);
    const imported = await batpak(["import", `${path}-copy`, file, "--create", "--skip-bad"]);
    assert.deepEqual([imported.code, imported.out], [1, "3 imported, 0 there already, 2 bad\n"]);
  }
});
