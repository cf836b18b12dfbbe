/** Stores of the original open for reading and give the truth beside them. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseJson } from "./events/json-parse.ts";
import { payloadFromJson, payloadToJson } from "./events/payload-json.ts";
import { Store } from "./store.ts";

const fixtures = new URL("../test/fixtures/batpak-0.3/", import.meta.url).pathname;
const names = readdirSync(fixtures, { withFileTypes: true }).filter((entry) => entry.isDirectory());

interface Row {
  readonly [key: string]: unknown;
}

const bare = (text: string | null): string | null => (text === null ? null : text.replaceAll("-", ""));

for (const { name } of names) {
  test(`${name} reads as its truth says`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "batpak03-"));
    cpSync(join(fixtures, name), directory, { recursive: true });
    const rows = readFileSync(join(fixtures, `${name}.jsonl`), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => parseJson(line) as Row);
    const store = await Store.open(directory, { readOnly: true });
    const events = await store.read().toArray();
    assert.equal(events.length, rows.length);
    for (const [i, event] of events.entries()) {
      const row = rows[i];
      assert.equal(bare(event.id), row.event_id);
      assert.equal(bare(event.correlationId), row.correlation_id);
      assert.equal(bare(event.causationId), row.causation_id);
      assert.equal(event.entity, row.entity);
      assert.equal(event.scope, row.scope);
      assert.equal(event.kind, row.kind);
      assert.equal(event.timestamp, row.wall_ms);
      assert.equal(event.clock, row.clock);
      assert.equal(event.previousHash, row.prev_hash);
      assert.equal(event.hash, row.event_hash);
      assert.equal(event.sequence, row.global_sequence);
      if (!("read_error" in row)) assert.deepEqual(payloadFromJson(payloadToJson(event.data)), row.payload);
    }
    for (const row of rows.slice(0, 20)) {
      const found = await store.get(row.event_id as string);
      assert.equal(found?.sequence, row.global_sequence);
      const stream = rows.filter((other) => other.entity === row.entity);
      assert.equal(await store.count({ entity: row.entity as string }), stream.length);
      assert.equal((await store.head(row.entity as string))?.hash, stream.at(-1)?.event_hash);
    }
    await store.close();
    rmSync(directory, { recursive: true });
  });
}
