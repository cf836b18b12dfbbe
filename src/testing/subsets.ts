/** Subsets of a few things, all of them or a seeded sample, for trying what a crash may have kept. */
import { seededRandom } from "./seeded-random.ts";

/** Beyond this many members 2^count is not tried, whatever the limit. */
const EXHAUSTIVE_MEMBERS_MAX = 24;

/**
 * Subsets of `count` members as one byte each (1: in): all 2^count when they are at most `limit`, else a repeatable sample of at most
 * `limit` different ones. A sample holds the empty and the full set, then in turn a prefix, all but one, only one, and random sets thin,
 * even and dense: the shapes that crashes have. The array is used again for the next subset.
 */
export function* subsets(count: number, limit: number, seed: number): Generator<Uint8Array> {
  const members = new Uint8Array(count);
  if (count <= EXHAUSTIVE_MEMBERS_MAX && 2 ** count <= limit) {
    for (let number = 0; number < 2 ** count; number += 1) {
      for (let index = 0; index < count; index += 1) members[index] = (number >>> index) & 1;
      yield members;
    }
    return;
  }
  const random = seededRandom(seed);
  const seen = new Set<string>();
  // Samples may repeat one another; give up when new ones have become rare.
  for (let turn = 0; seen.size < limit && turn < limit * 4; turn += 1) {
    fillSample(members, turn, random);
    const key = Buffer.from(members.buffer, members.byteOffset, count).toString("latin1");
    if (seen.has(key)) continue;
    seen.add(key);
    yield members;
  }
}

function fillSample(members: Uint8Array, turn: number, random: () => number): void {
  const count = members.length;
  if (turn < 2) {
    members.fill(turn);
    return;
  }
  switch (turn % 6) {
    case 0:
      members.fill(0).fill(1, 0, Math.floor(random() * (count + 1)));
      return;
    case 1:
      members.fill(1)[Math.floor(random() * count)] = 0;
      return;
    case 2:
      members.fill(0)[Math.floor(random() * count)] = 1;
      return;
    default: {
      const density = [0.15, 0.5, 0.85][turn % 3] ?? 0.5;
      for (let index = 0; index < count; index += 1) members[index] = random() < density ? 1 : 0;
    }
  }
}
