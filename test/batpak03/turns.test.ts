/** What goes through a large store of this layout lets the event loop turn: a few hundred frames, or a few thousand rows, in one turn. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { convertStore } from "../../src/convert.ts";
import type { Disk } from "../../src/disk/disk.ts";
import { rawEvent } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { turnsDuring } from "../../src/testing/turn-counter.ts";

const EVENTS = 32_768;
const ENTITIES = 16_384;
const BATCH = 1024;
const FRAMES_PER_TURN = 256;
const ROWS_PER_TURN = 4096;

describe("the event loop turns", () => {
  let disk: Disk;

  before(async () => {
    disk = createMemoryDisk();
    const store = await Store.open("/old", { disk, layout: "batpak-0.3" });
    for (let from = 0; from < EVENTS; from += BATCH) {
      const items = Array.from({ length: BATCH }, (_, n) => ({
        coordinate: { entity: `e:${(from + n) % ENTITIES}`, scope: "s" },
        event: rawEvent(0xf001, { n: from + n }),
      }));
      await store.appendBatch(items);
    }
    await store.close();
  });

  test("opening by footers, verifying, and closing", { timeout: 60_000 }, async () => {
    await disk.remove("/old/index.ckpt");
    let store: Store | undefined;
    const opening = await turnsDuring(async () => (store = await Store.open("/old", { disk, layout: "batpak-0.3" })));
    assert.ok(store !== undefined);
    assert.equal(store.openReport.route, "footers");
    assert.ok(opening >= EVENTS / FRAMES_PER_TURN, `${opening} turns to open`);
    const verifying = await turnsDuring(() => (store as Store).verify());
    assert.ok(verifying >= EVENTS / FRAMES_PER_TURN, `${verifying} turns to verify`);
    const closing = await turnsDuring(() => (store as Store).close());
    // Which names there are, the footer's names and entries, whether it holds, the heads.
    assert.ok(closing >= (3 * EVENTS + 2 * ENTITIES) / ROWS_PER_TURN, `${closing} turns to close`);
  });

  test("a conversion that looks at each frame four times", { timeout: 60_000 }, async () => {
    const turns = await turnsDuring(() => convertStore("/old", "/new", { layout: "native", disk }));
    assert.ok(turns >= (EVENTS / FRAMES_PER_TURN) * 2, `${turns} turns`);
  });
});
