/** A reader beside a living writer of a batpak 0.3 store: it sees what is visible, takes up only what is new, and goes on past a new segment. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { rawEvent, Store } from "../../src/index.ts";

const alice = { entity: "player:alice", scope: "room:1" };

test("a reader follows a living writer, over batches, segments and its end", async () => {
  const directory = mkdtempSync(join(tmpdir(), "batpak03-"));
  const writer = await Store.open(directory, { layout: "batpak-0.3", segmentBytesMax: 64 * 1024 });
  await writer.append(alice, rawEvent(0xf001, { n: 0 }));
  const reader = await Store.open(directory, { readOnly: true });
  assert.equal((await reader.read().toArray()).length, 1);
  let n = 1;
  for (let round = 0; round < 60; round++) {
    const events = Array.from({ length: 1 + (round % 4) }, () => rawEvent(0xf001, { n: n++, text: "x".repeat(1000) }));
    if (events.length === 1) await writer.append(alice, events[0]);
    else await writer.append(alice, events);
    await reader.refresh();
    const seen = await reader.read({ entity: alice.entity }).toArray();
    assert.deepEqual(
      seen.map((event) => (event.data as { n: number }).n),
      Array.from({ length: n }, (_, i) => i),
    );
    assert.deepEqual(
      seen.map((event) => event.sequence),
      (await writer.read().toArray()).map((event) => event.sequence),
    );
    assert.equal((await reader.head(alice.entity))?.hash, (await writer.head(alice.entity))?.hash);
  }
  assert.ok(reader.segments().length > 2, "it went on in new segments");
  await writer.close();
  await reader.refresh();
  assert.equal(await reader.count(), n);
  const again = await Store.open(directory);
  await again.append(alice, rawEvent(0xf001, { n }));
  await reader.refresh();
  assert.equal(await reader.count(), n + 1);
  assert.equal((await reader.verify()).ok, true);
  await again.close();
  await reader.close();
  rmSync(directory, { recursive: true });
});
