import assert from "node:assert/strict";
import { test } from "node:test";
import type { SegmentEntry } from "../index/store-index.ts";
import { BlockWriter } from "./block-writer.ts";

function segmentOf(id: number): SegmentEntry {
  return { id } as SegmentEntry;
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** A block writer whose writes end when `end` is called; the segments that were begun. */
function held(): { readonly blocks: BlockWriter; readonly begun: number[]; readonly end: () => Promise<void> } {
  const begun: number[] = [];
  let finish = (): void => {};
  const blocks = new BlockWriter((segment) => {
    begun.push(segment.id);
    return new Promise((resolve) => {
      finish = resolve;
    });
  });
  const end = async (): Promise<void> => {
    finish();
    await turn();
  };
  return { blocks, begun, end };
}

test("segments that were sealed since come before those that were found without a block, one at a time", async () => {
  const { blocks, begun, end } = held();
  for (const id of [1, 2, 3]) blocks.addMissing(segmentOf(id));
  await turn();
  for (const id of [4, 5]) blocks.add(segmentOf(id));
  for (let i = 0; i < 5; i++) await end();
  assert.deepEqual(begun, [1, 4, 5, 2, 3]);
  blocks.add(segmentOf(6));
  await turn();
  assert.deepEqual(begun, [1, 4, 5, 2, 3, 6]);
});

test("the next segment waits while four sealed ones have no block; those found without one do not count", async () => {
  const { blocks, end } = held();
  for (const id of [1, 2, 3, 4, 5, 6]) blocks.addMissing(segmentOf(id));
  for (const id of [7, 8, 9]) blocks.add(segmentOf(id));
  assert.equal(blocks.mayTurn(), null);
  blocks.add(segmentOf(10));
  let mayTurn = false;
  const waiting = blocks.mayTurn();
  assert.ok(waiting !== null);
  void waiting.then(() => {
    mayTurn = true;
  });
  await turn();
  assert.equal(mayTurn, false);
  await end();
  assert.equal(mayTurn, true);
  assert.equal(blocks.mayTurn(), null);
});

test("whoever waits for the blocks waits for those that there are, not for those to come", async () => {
  const { blocks, begun, end } = held();
  blocks.add(segmentOf(1));
  blocks.addMissing(segmentOf(2));
  let written = false;
  void blocks.written().then(() => {
    written = true;
  });
  await turn();
  blocks.addMissing(segmentOf(3));
  await end();
  assert.equal(written, false);
  await end();
  assert.equal(written, true);
  assert.deepEqual(begun, [1, 2, 3]);
  await end();
  await blocks.written();
});
