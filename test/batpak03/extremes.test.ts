/** Stores whose last event has a clock or a time past which nothing can be written: appending to it is refused, and harms nothing else. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { GrowingSink } from "../../src/base/byte-sink.ts";
import { SegmentBuilder } from "../../src/format/batpak03/segment-builder.ts";
import { convertStore, isStoreError, rawEvent, Store } from "../../src/index.ts";
import { blake3, loadHashing } from "../../src/kernel/frame-kernel.ts";
import { batpak } from "../cli/run-cli.ts";
import { newDirectory } from "../support/new-directory.ts";

const last = { entity: "last", scope: "s" };
const other = { entity: "other", scope: "s" };

/** A store with one event. */
async function storeWith(fields: { readonly clock: number; readonly wallMs: number }, id = new Uint8Array(16).fill(1)): Promise<string> {
  await loadHashing();
  const directory = newDirectory();
  const payload = Uint8Array.of(0x80);
  const hash = blake3(payload);
  const sink = new GrowingSink();
  const builder = new SegmentBuilder(sink, { segmentId: 1, createdNs: 0n, segmentBytesMax: 4096 });
  const names = { ...last, payloadForm: "bytes", eventKind: 0xf001, flags: 0 } as const;
  const numbers = { timestampUs: 0, counter: 0, depth: 0, lane: 0, payloadSize: payload.length };
  const hashChain = { prevHash: new Uint8Array(32), eventHash: hash };
  const ids = { eventId: id, correlationId: id, causationId: null };
  builder.append(sink, { ...names, ...numbers, ...ids, ...fields, contentHash: hash, hashChain, payload }, 0);
  writeFileSync(join(directory, "000001.fbat"), sink.copy());
  return directory;
}

const EXTREMES = { clock: { clock: 0xffff_ffff, wallMs: 1e12 }, time: { clock: 0, wallMs: 2 ** 48 } };

for (const [what, fields] of Object.entries(EXTREMES)) {
  test(`a ${what} that cannot be gone on from refuses what would, and nothing else`, { timeout: 20_000 }, async () => {
    const directory = await storeWith(fields);
    const store = await Store.open(directory);
    const refused = (error: unknown): boolean => isStoreError(error, "UNSUPPORTED_BY_LAYOUT");
    await assert.rejects(store.append(last, rawEvent(0xf001, {})), refused);
    const items = [other, last].map((coordinate) => ({ coordinate, event: rawEvent(0xf001, {}) }));
    await assert.rejects(store.appendBatch(items), refused);
    await store.append(other, rawEvent(0xf001, {}));
    await store.append(
      other,
      [1, 2].map((n) => rawEvent(0xf001, { n })),
    );
    assert.equal(await store.count(), 4);
    await store.close();
    const again = await Store.open(directory, { readOnly: true });
    assert.equal(await again.count(), 4);
    assert.deepEqual((await again.verify()).problems, []);
    await again.close();
  });
}

test("nothing is acknowledged behind a batch that could not be placed whole", { timeout: 20_000 }, async () => {
  // No id follows this one.
  const directory = await storeWith({ clock: 0, wallMs: 1e12 }, Buffer.from("ffffffffffff7fffbfffffffffffffff", "hex"));
  const store = await Store.open(directory);
  await store.append(other, rawEvent(0xf001, {}), { idempotencyKey: "before" });
  await assert.rejects(
    store.append(
      other,
      [1, 2].map((n) => rawEvent(0xf001, { n })),
    ),
  );
  await assert.rejects(store.append(other, rawEvent(0xf001, {}), { idempotencyKey: "behind" }), (error) => isStoreError(error, "POISONED"));
  await assert.rejects(store.close());
  const again = await Store.open(directory, { readOnly: true });
  assert.equal(await again.count(), 2);
  assert.deepEqual((await again.verify()).problems, []);
  await again.close();
});

test("a time that no date can be of is printed in milliseconds", async () => {
  const wallMs = 8_640_000_000_000_001;
  const directory = await storeWith({ clock: 0, wallMs });
  const store = await Store.open(directory, { readOnly: true });
  const [{ id, timestamp }] = await store.read().toArray();
  assert.equal(timestamp, wallMs);
  await store.close();
  for (const args of [
    ["read", directory],
    ["tail", directory],
    ["get", directory, id],
  ]) {
    const { out, err, code } = await batpak(args);
    assert.deepEqual([code, err], [0, ""], args[0]);
    assert.match(out, /8640000000000001 ms/, args[0]);
  }
});

test("an event of a time that the native layout has no room for is not converted", async () => {
  const latest = 9_007_199_254_740;
  const source = await storeWith({ clock: 0, wallMs: latest });
  const target = join(newDirectory(), "native");
  await convertStore(source, target, { layout: "native" });
  const converted = await Store.open(target, { readOnly: true });
  assert.equal((await converted.read().toArray())[0]?.timestamp, latest);
  await converted.close();
  for (const wallMs of [latest + 1, 8_640_000_000_000_001]) {
    const late = await storeWith({ clock: 0, wallMs });
    const refused = join(newDirectory(), "native");
    await assert.rejects(convertStore(late, refused, { layout: "native" }), {
      code: "UNSUPPORTED_BY_LAYOUT",
      message: `Cannot convert: the event with sequence 0 of last is of the time ${wallMs} ms, the native layout has room for times up to ${latest} ms, in the year 2255`,
    });
    assert.equal(existsSync(refused), false);
  }
});
