import assert from "node:assert/strict";
import { test } from "node:test";
import { atOnce } from "../base/rest.ts";
import { getUint64 } from "../base/u64.ts";
import { rawEvent } from "../events/definition.ts";
import { entityStart, frameLength, scopeStart, segmentSeed } from "../format/native/frame.ts";
import { FRAME } from "../format/native/frame-layout.ts";
import { SEGMENT_HEADER, decodeSegmentHeader } from "../format/native/segment-header.ts";
import { ActiveSegmentIndex } from "../index/active-segment-index.ts";
import { Interner } from "../index/interner.ts";
import { StoreIndex } from "../index/store-index.ts";
import { Store } from "../store.ts";
import { createMemoryDisk } from "../testing/memory-disk.ts";
import { pushFrameRow } from "./replay.ts";
import { FrameWalker, type WalkedFrame } from "./verify-frames.ts";
import { IndexComparison } from "./verify-index.ts";

const NOTHING = {
  hasId: () => false,
  loadIndex: () => assert.fail("an index is asked for"),
  rebuildIndex: () => assert.fail("an index is asked for"),
};

/** The frames of a segment of six events, of three entities in turn. */
const frames: WalkedFrame[] = [];
{
  const disk = createMemoryDisk();
  const store = await Store.open("/s", { disk });
  for (let n = 0; n < 6; n++) await store.append({ entity: `e:${n % 3}`, scope: "s" }, rawEvent(0xf001, n));
  await store.close();
  const file = await disk.open("/s/000001.fbat", "read");
  const bytes = new Uint8Array(await file.size());
  await file.read(bytes, 0, bytes.length, 0);
  const decoded = decodeSegmentHeader(bytes);
  assert.ok(decoded.kind === "ok");
  await new FrameWalker().walk(
    { file, seed: segmentSeed(decoded.header.storeId, 1), from: SEGMENT_HEADER.bytes, to: bytes.length },
    {
      frame: (frame) => {
        const copy = frame.bytes.slice(frame.at, frame.at + frame.length);
        frames.push({ ...frame, bytes: copy, view: new DataView(copy.buffer), at: 0 });
      },
      damaged: () => assert.fail("damage"),
      rest: async () => {},
    },
  );
  assert.equal(frames.length, 6);
}

/** What a comparison tells of the segment's index, after `change`. */
async function told(change: (index: ActiveSegmentIndex) => void): Promise<string[]> {
  const index = new StoreIndex(NOTHING);
  const rows = new ActiveSegmentIndex(index.entities, index.scopes, 0);
  // Names that have no rows.
  for (const name of ["other:1", "other:2"]) index.entities.intern(name);
  for (const { bytes, view, at, offset } of frames) pushFrameRow(index, rows, bytes, view, at, offset, () => -1);
  change(rows);
  const reasons: string[] = [];
  const comparison = new IndexComparison(rows, (reason) => reasons.push(reason));
  const names = new Interner();
  const within = new Map<number, { clocks: number[]; last: WalkedFrame }>();
  for (const frame of frames) {
    const entityId = names.internBytes(frame.bytes, entityStart(frame.view, 0), scopeStart(frame.view, 0));
    const met = within.get(entityId) ?? { clocks: [], last: frame };
    met.clocks.push(getUint64(frame.view, FRAME.clock));
    within.set(entityId, { ...met, last: frame });
    comparison.event(frame, { scope: () => "s", entityId, scopeId: 0 }, getUint64(frame.view, FRAME.sequence));
  }
  for (const [entityId, { clocks, last }] of within) {
    const facts = {
      entityId,
      rows: clocks.length,
      firstClock: clocks[0],
      lastClock: clocks[clocks.length - 1],
      lastSequence: getUint64(last.view, FRAME.sequence),
      previousSequence: -1,
      previousEver: -1,
      hash: last.bytes.subarray(frameLength(last.view, 0) - FRAME.hashBytes),
      lastId: last.bytes.subarray(FRAME.id, FRAME.id + 16),
    };
    atOnce(comparison.entity(names.name(entityId), facts));
  }
  await comparison.finish(async () => {});
  return reasons;
}

test("an index that says what the frames say", async () => {
  assert.deepEqual(await told(() => {}), []);
});

test("another last id or last hash of an entity is told", async () => {
  for (const field of ["lastId", "lastHash"] as const) {
    const reasons = await told((index) => {
      const entity = index.entity.bind(index);
      const wrong = { [field]: new Uint8Array(field === "lastId" ? 16 : 32) };
      index.entity = (name) => ({ ...(entity(name) as NonNullable<ReturnType<typeof entity>>), ...wrong });
    });
    assert.match(reasons.join("; "), field === "lastId" ? /last id of e:0/ : /last hash of e:0/);
  }
});

test("a row of another entity is told, whether that one has rows or not", async () => {
  for (const other of ["e:1", "other:1"]) {
    for (const row of [0, 3, 5]) {
      const reasons = await told((index) => {
        const { local } = index.entity("e:1") as { local: number };
        index.columns.entity[row] = other === "e:1" ? (index.columns.entity[row] === local ? local + 1 : local) : 0;
      });
      assert.match(
        reasons.join("; "),
        /entity differs|another name|more names|rows of .* are not theirs|contradict/,
        `${other}, row ${row}`,
      );
    }
  }
});

test("rows whose entities are exchanged, or carry another name throughout, are told", async () => {
  const exchanged = await told((index) => {
    const { entity } = index.columns;
    for (const row of [0, 3]) [entity[row], entity[row + 1]] = [entity[row + 1], entity[row]];
  });
  assert.match(exchanged.join("; "), /of another name/);
  const renamed = await told((index) => {
    for (const row of [1, 4]) index.columns.entity[row] = 0;
  });
  assert.match(renamed.join("; "), /of another name/);
});

test("an entity that no name has is told, and costs no memory", async () => {
  const reasons = await told((index) => {
    index.columns.entity[2] = 0xffff_fff0;
  });
  assert.match(reasons.join("; "), /entity differs/);
});
