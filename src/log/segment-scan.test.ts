import assert from "node:assert/strict";
import { test } from "node:test";
import type { DiskFile } from "../disk/disk.ts";
import { frameLength, isMarked, segmentSeed } from "../format/native/frame.ts";
import { SEGMENT_HEADER } from "../format/native/segment-header.ts";
import { FRAME_RECORD, RECORD_MARKED } from "../kernel/frame-record.ts";
import { Store } from "../store.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";
import { TurnCounter } from "../testing/turn-counter.ts";
import { scanSegment, type ScanResult } from "./segment-scan.ts";

const PATH = "/store/000001.fbat";

/** A segment with commits of a hundred bytes to five times what is read at once; `ends` are where they end. */
async function segmentOfCommits(): Promise<{ disk: SimulatedDisk; bytes: Uint8Array; ends: number[] }> {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, segmentBytesMax: 64 * 1024 * 1024 });
  const event = (length: number): { kind: number; data: Uint8Array } => ({ kind: 0x1001, data: new Uint8Array(length).fill(length) });
  const at = { entity: "e", scope: "s" };
  for (const [events, length] of [
    [1, 10],
    [3, 100],
    [1, 1_500_000],
    [400, 700],
    [4000, 1100],
    [1, 10],
    [60, 30_000],
    [2000, 10],
    [3, 900_000],
    [1, 10],
  ]) {
    await store.append(
      at,
      Array.from({ length: events }, () => event(length)),
    );
  }
  await store.close();
  const bytes = disk.bytesOf(PATH).slice();
  const view = new DataView(bytes.buffer);
  const ends: number[] = [];
  for (
    let frame: number = SEGMENT_HEADER.bytes;
    frame + 8 < bytes.length && frameLength(view, frame) > 0;
    frame += frameLength(view, frame)
  ) {
    if (isMarked(view, frame)) ends.push(frame + frameLength(view, frame));
  }
  assert(ends.length >= 10 && ends[ends.length - 1] > 10_000_000, ends.join());
  return { disk, bytes, ends };
}

async function scanned(file: DiskFile, bytes: Uint8Array, to?: number): Promise<{ ends: number[]; result: ScanResult }> {
  const seed = segmentSeed(bytes.subarray(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), 1);
  const ends: number[] = [];
  let next: number = SEGMENT_HEADER.bytes;
  const options = { file, seed, from: SEGMENT_HEADER.bytes, ...(to === undefined ? {} : { to }) };
  const result = await scanSegment({
    ...options,
    visit({ bytes: block, words, count, base, end }) {
      for (let record = 0; record < count; record++) {
        const at = words[record * FRAME_RECORD.words + FRAME_RECORD.at];
        const length = words[record * FRAME_RECORD.words + FRAME_RECORD.length];
        assert.equal(base + at, next);
        assert(Buffer.compare(block.subarray(at, at + length), bytes.subarray(next, next + length)) === 0);
        next += length;
        if ((words[record * FRAME_RECORD.words + FRAME_RECORD.flags] & RECORD_MARKED) !== 0) ends.push(next);
      }
      assert.equal(end, next);
    },
  });
  assert.equal(next, ends[ends.length - 1] ?? SEGMENT_HEADER.bytes, "only whole commits are handed out");
  return { ends, result };
}

test("commits of any size are handed out whole, in order, up to where the scan is to end", async () => {
  const { disk, bytes, ends } = await segmentOfCommits();
  const file = await disk.open(PATH, "read");
  const all = await scanned(file, bytes);
  assert.deepEqual(all.ends, ends);
  assert.deepEqual(
    { ...all.result, fileBytes: 0 },
    {
      end: ends[ends.length - 1],
      goodEnd: ends[ends.length - 1],
      sealed: false,
      outcome: "end",
      fileBytes: 0,
      provenSynced: all.result.provenSynced,
    },
  );
  for (const to of [...ends.slice(0, -1), ends[4] - 1, ends[4] + 1, ends[6] - 1_000_000]) {
    const { ends: some, result } = await scanned(file, bytes, to);
    assert.deepEqual(
      some,
      ends.filter((end) => end <= to),
    );
    assert.equal(result.end, some[some.length - 1]);
  }
  await file.close();
});

test("a file that gets shorter while it is scanned ends there", async () => {
  const { disk, bytes, ends } = await segmentOfCommits();
  const file = await disk.open(PATH, "read");
  for (const length of [ends[2] - 7, ends[4] - 3_000_000, ends[7]]) {
    const shorter = new Proxy(file, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (name !== "read") return typeof value === "function" ? (value.bind(target) as unknown) : value;
        return (buffer: Uint8Array, offset: number, count: number, position: number) =>
          target.read(buffer, offset, Math.max(0, Math.min(count, length - position)), position);
      },
    });
    const { ends: some, result } = await scanned(shorter, bytes);
    assert.deepEqual(
      some,
      ends.filter((end) => end <= length),
    );
    assert.equal(result.fileBytes, length);
  }
  await file.close();
});

test("a read ahead that fails is told where it is needed, and by nobody else", async () => {
  const { disk, bytes } = await segmentOfCommits();
  const file = await disk.open(PATH, "read");
  let reads = 0;
  const failing = new Proxy(file, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== "read") return typeof value === "function" ? (value.bind(target) as unknown) : value;
      return (...args: [Uint8Array, number, number, number]) =>
        ++reads === 2 ? Promise.reject(new Error("no more")) : target.read(...args);
    },
  });
  await assert.rejects(scanned(failing, bytes), /no more/);
  // The first frame is none: what was read ahead is not needed.
  disk.corrupt(PATH, SEGMENT_HEADER.bytes + 20, (byte) => byte ^ 1);
  reads = 0;
  const { ends, result } = await scanned(failing, bytes);
  assert(reads > 2);
  assert.deepEqual([ends, result.outcome, result.end], [[], "bad", SEGMENT_HEADER.bytes]);
  await file.close();
});

test("where the visitor takes long, the event loop turns between two commits, and never within one", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { disk, checkpoint: false });
  // Of one block, with more frames in each hundred commits than are described at once.
  for (let commit = 0; commit < 400; commit++) {
    await store.append(
      { entity: "e", scope: "s" },
      Array.from({ length: 1 + (commit % 23) }, () => ({ kind: 0x1001, data: null })),
    );
  }
  await store.close();
  const bytes = disk.bytesOf(PATH);
  const seed = segmentSeed(bytes.subarray(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), 1);
  const file = await disk.open(PATH, "read");
  const counter = new TurnCounter();
  const turnsOfCommits: number[][] = [[]];
  await scanSegment({
    file,
    seed,
    from: SEGMENT_HEADER.bytes,
    visit({ words, count }) {
      for (let record = 0; record < count; record++) {
        turnsOfCommits.at(-1)?.push(counter.turns);
        if ((words[record * FRAME_RECORD.words + FRAME_RECORD.flags] & RECORD_MARKED) !== 0) turnsOfCommits.push([]);
      }
      const until = performance.now() + 10;
      while (performance.now() < until);
    },
  });
  counter.stop();
  await file.close();
  assert.equal(turnsOfCommits.pop()?.length, 0);
  assert.equal(turnsOfCommits.length, 400);
  for (const seen of turnsOfCommits) assert.equal(new Set(seen).size, 1);
  assert.ok(new Set(turnsOfCommits.flat()).size >= 3, "it rested");
});
