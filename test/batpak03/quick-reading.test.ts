/** Events of this layout are read as native frames, as far as the original would have written them so; what is otherwise beside them is read as it stands. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mock, test } from "node:test";
import { crc32 } from "node:zlib";
import { rawEvent } from "../../src/events/definition.ts";
import { batpak03Frames } from "../../src/format/batpak03/frame-format.ts";
import { Store } from "../../src/store.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { newDirectory } from "../support/new-directory.ts";

const EVENTS = 1200;
const textOf = (n: number): string => `event ${n} ${"·".repeat(n % 40)}`;

test("blocks, streams and pages of a batpak 0.3 store, with an event whose payload was changed among them", async () => {
  const directory = newDirectory();
  const segment = join(directory, "000001.fbat");
  const writer = await Store.open(directory, { layout: "batpak-0.3" });
  for (let n = 0; n < EVENTS; n += 100) {
    await writer.appendBatch(
      Array.from({ length: 100 }, (_, i) => ({
        coordinate: { entity: `entity:${(n + i) % 30}`, scope: (n + i) % 7 === 0 ? "größe" : "s" },
        event: rawEvent(0xf001, { n: n + i, text: textOf(n + i) }),
      })),
    );
  }
  await writer.close();

  // The one that was changed has its checksum, and no longer the payload that its hash speaks of.
  const CHANGED = 777;
  const bytes = readFileSync(segment);
  const text = bytes.indexOf(Buffer.from(`event ${CHANGED} `));
  let at = 8 + bytes.readUInt32BE(4);
  for (let next = at; next < text; next += 8 + bytes.readUInt32BE(next)) at = next;
  bytes[text] = "E".charCodeAt(0);
  bytes.writeUInt32BE(crc32(bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at))), at + 4);
  writeFileSync(segment, bytes);

  const asTheyStand = mock.method(batpak03Frames, "payload");
  const store = await Store.open(directory, { readOnly: true });
  const looks = {
    "all, in blocks": () => store.read(),
    "all, backward": () => store.read({}, { direction: "backward" }),
    "a scope": () => store.read({ scope: "größe" }),
    "a stream": () => store.read({ entity: `entity:${CHANGED % 30}` }),
    "a page": () => store.read({}, { after: CHANGED - 20, limit: 40 }),
  };
  for (const [name, look] of Object.entries(looks)) {
    asTheyStand.mock.resetCalls();
    let changed = 0;
    for await (const event of look()) {
      const { sequence } = event;
      assert.equal(event.entity, `entity:${sequence % 30}`, name);
      assert.equal(event.scope, sequence % 7 === 0 ? "größe" : "s", name);
      assert.equal(event.clock, Math.floor(sequence / 30), name);
      assert.deepEqual(await store.get(event.id).then((got) => got?.sequence), sequence, name);
      if (sequence === CHANGED) {
        changed++;
        assert.throws(
          () => event.data,
          (error) => isStoreError(error, "CORRUPT"),
          name,
        );
      } else assert.deepEqual(event.data, { n: sequence, text: textOf(sequence) }, name);
    }
    assert.equal(changed, 1, name);
    assert.equal(asTheyStand.mock.callCount(), 1, `${name}: only what was changed is read as it stands`);
  }
  await store.close();
});
