/** Damage inside a batch takes the frame that it met, and nothing else: neither the rest of the batch nor what comes behind it. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { rawEvent, Store } from "../../src/index.ts";

const directory = mkdtempSync(join(tmpdir(), "batpak03-"));
after(() => rmSync(directory, { recursive: true, force: true }));

test("a bad frame in or around a batch hides no other event, in a segment with a footer or without", async () => {
  const segment = join(directory, "000001.fbat");
  const alice = { entity: "player:alice", scope: "room:1" };
  const writer = await Store.open(directory, { layout: "batpak-0.3", checkpoint: false });
  await writer.append(alice, rawEvent(0xf001, { n: 0 }));
  await writer.append(
    alice,
    [1, 2, 3].map((n) => rawEvent(0xf001, { n })),
  );
  for (const n of [4, 5]) await writer.append(alice, rawEvent(0xf001, { n }));
  const open = readFileSync(segment);
  await writer.close();
  rmSync(join(directory, "durable.mark"));
  // Events 1 to 3 stand between a BEGIN and a COMMIT.
  const events = [0, null, 1, 2, 3, null, 4, 5];
  for (const bytes of [open, readFileSync(segment)]) {
    let at = 8 + bytes.readUInt32BE(4);
    for (const lost of events) {
      const damaged = Buffer.from(bytes);
      damaged[at + 40] ^= 1;
      writeFileSync(segment, damaged);
      const store = await Store.open(directory, { readOnly: true });
      assert.deepEqual(
        (await store.read().toArray()).map((event) => (event.data as { n: number }).n),
        events.filter((n) => n !== null && n !== lost),
        `without the frame at ${at} of ${bytes.length}`,
      );
      const { events: verified, problems } = await store.verify();
      assert.equal(verified, events.filter((n) => n !== null && n !== lost).length);
      assert.ok(lost === 5 && bytes === open ? problems.length === 0 : problems.length > 0);
      assert.ok(
        problems.every(({ code }) => ["DAMAGED", "FRAME_DAMAGED", "LOST_EVENTS"].includes(code)),
        JSON.stringify(problems),
      );
      await store.close();
      at += 8 + bytes.readUInt32BE(at);
    }
  }
});
