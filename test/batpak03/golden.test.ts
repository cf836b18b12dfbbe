/** Stores of the original made again by our writer, file for file: segments, footers and checkpoint. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadHashing } from "../../src/kernel/frame-kernel.ts";
import { AppendItem, StoredPayload } from "../../src/log/append-request.ts";
import { openParts } from "../../src/open-store.ts";
import { compileOptions } from "../../src/store-options.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { type FixtureRow, hex, loadFixture, unhex } from "../support/batpak03-fixtures.ts";
import { appendsOf, CREATED_NS, reorderRecord, TICK_US } from "../support/batpak03-rebuild.ts";

function itemOf(row: FixtureRow): AppendItem {
  assert.ok(row.header !== undefined && row.payloadBytes !== null);
  const data = new StoredPayload(reorderRecord(row.payloadBytes));
  const { event_id, correlation_id, causation_id, entity, scope, kind, header } = row;
  const correlation = correlation_id === event_id ? null : unhex(correlation_id);
  const causation = causation_id === null ? null : unhex(causation_id);
  const id = unhex(event_id);
  const item = new AppendItem(entity, scope, kind, 1, null, data, id, null, correlation, causation, null, null, header.timestamp_us);
  const { timestamp_us: timestampUs, flags, position } = header;
  const { counter, depth, lane } = position;
  item.placement = { clock: row.clock, sequence: row.global_sequence, timestampUs, flags, counter, depth, lane };
  return item;
}

for (const [name, segmentBytesMax] of [
  ["empty", 2 ** 28],
  ["tiny", 2 ** 28],
  ["multi", 2 ** 28],
  ["rotate", 8192],
  ["batch", 2 ** 28],
] as const) {
  test(`our writer makes ${name} as the original did`, async () => {
    const fixture = loadFixture(name);
    const disk = new SimulatedDisk();
    await loadHashing();
    const createdMicros = (segmentId: number): number => Number(CREATED_NS / 1000n) + (segmentId - 1) * 1_000_000;
    // What the clock says at each look, last first: the segment's time, where one is made, the events', BEGIN's, COMMIT's.
    let times: number[] = [];
    const clock = { nowMicros: () => times.pop() ?? createdMicros(1), monotonicMs: () => 0 };
    const opened = await openParts("/store", compileOptions({ layout: "batpak-0.3", segmentBytesMax, disk, clock }));
    const { writer } = opened;
    assert.ok(writer !== null);
    let segmentId = 1;
    const appends = appendsOf(fixture.rows);
    // The original puts markers around a batch of one event as well; we write it as the single append that it is.
    const alike = appends.findIndex(({ batch, rows }) => batch && rows.length === 1);
    for (const { rows } of alike < 0 ? appends : appends.slice(0, alike)) {
      const at = rows[0].header?.timestamp_us ?? 0;
      const looks = [at + 2 * TICK_US, at + TICK_US, at];
      times = rows[0].segment_id > segmentId ? [...looks, createdMicros(++segmentId)] : looks;
      const receipts = await writer.appending.appendItems(rows.map(itemOf), null);
      assert.deepEqual(
        receipts.map(({ sequence, hash }) => ({ sequence, hash })),
        rows.map((row) => ({ sequence: row.global_sequence, hash: row.event_hash })),
      );
    }
    await writer.close();
    await opened.lock?.release();
    if (alike >= 0) {
      const last = appends[alike - 1].rows.at(-1) as FixtureRow;
      const end = last.offset + last.length;
      assert.equal(hex(disk.bytesOf("/store/000001.fbat").subarray(0, end)), hex(fixture.segments[0].bytes.subarray(0, end)));
      return;
    }
    for (const { name: file, bytes } of fixture.segments) assert.equal(hex(disk.bytesOf(`/store/${file}`)), hex(bytes), file);
    assert.ok(fixture.checkpoint !== null);
    assert.equal(hex(disk.bytesOf("/store/index.ckpt")), hex(fixture.checkpoint), "index.ckpt");
    const files = disk.paths().filter((path) => path.endsWith(".fbat"));
    assert.equal(files.length, fixture.segments.length);
  });
}
