/** Each decoder over files of the original with seeded changes: nothing but tagged outcomes, and nothing read outside of what was given. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { blake3 } from "@noble/hashes/blake3.js";
import { fixtureNames, loadFixture } from "../../../test/support/batpak03-fixtures.ts";
import { viewOf } from "../../base/msgpack.ts";
import { CheckpointDecoder, decodeCheckpoint } from "./checkpoint-decoder.ts";
import { checkpointEntryFields } from "./checkpoint-entry.ts";
import { decodeFooter, decodeTrailer, footerMismatch, footerPlacement } from "./footer.ts";
import { decodeFrame, frameFields } from "./frame.ts";
import { payloadBytes } from "./payload.ts";
import { findNextFrame } from "./resync.ts";
import { decodeSegmentHeader } from "./segment.ts";

const seed = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 0x1_0000_0000));
const runs = Number(process.env.FUZZ_RUNS ?? 1500);
console.log(`batpak03 fuzz: FUZZ_SEED=${seed} FUZZ_RUNS=${runs}`);

let state = seed;
/** An integer from 0 to `count - 1` (mulberry32). */
function random(count: number): number {
  state = (state + 0x6d2b79f5) | 0;
  let hash = Math.imul(state ^ (state >>> 15), state | 1);
  hash ^= hash + Math.imul(hash ^ (hash >>> 7), hash | 61);
  return Math.floor((((hash ^ (hash >>> 14)) >>> 0) / 0x1_0000_0000) * count);
}

const EVIL = [0x00, 0xff, 0xdd, 0xdf, 0xdb, 0xc6, 0xcf, 0xd3, 0x80, 0x8f, 0x9f, 0xc1, 0xc0, 0xcc, 0xdc];

function mutate(original: Uint8Array): Uint8Array {
  let bytes = new Uint8Array(original);
  for (let change = random(4); change >= 0; change--) {
    if (bytes.length < 2) return bytes;
    const at = random(bytes.length);
    const kind = random(6);
    if (kind === 0) bytes[at] ^= 1 << random(8);
    else if (kind === 1) bytes[at] = EVIL[random(EVIL.length)];
    else if (kind === 2) bytes.fill(EVIL[random(EVIL.length)], at, at + 1 + random(9));
    else if (kind === 3) bytes = bytes.slice(0, at);
    else if (kind === 4) bytes.copyWithin(at, random(bytes.length), random(bytes.length) + 40);
    else bytes = new Uint8Array(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(20))]));
  }
  return bytes;
}

const fixtures = fixtureNames().map(loadFixture);
const segments = fixtures.flatMap((fixture) => fixture.segments.map(({ bytes }) => bytes)).filter((bytes) => bytes.length < 20_000);
const checkpoints = fixtures.flatMap(({ checkpoint }) => (checkpoint === null || checkpoint.length > 20_000 ? [] : [checkpoint]));

function pick(list: readonly Uint8Array[]): Uint8Array {
  return list[random(list.length)];
}

test("segments: header, frames, resynchronisation", () => {
  const seen = { ok: 0, torn: 0, corrupt: 0 };
  for (let run = 0; run < runs; run++) {
    const bytes = mutate(pick(segments));
    const view = viewOf(bytes);
    seen[decodeSegmentHeader(bytes, view, bytes.length).kind]++;
    let offset = 57;
    for (let frames = 0; frames < 60 && offset <= bytes.length; frames++) {
      const frame = decodeFrame(bytes, view, offset, bytes.length);
      seen[frame.kind]++;
      if (frame.kind === "ok") {
        offset += frame.length;
        continue;
      }
      const next = findNextFrame(bytes, view, offset + 1, bytes.length);
      if (next.kind !== "found") break;
      assert(next.offset > offset);
      offset = next.offset;
    }
  }
  assert(seen.ok > 0 && seen.torn > 0 && seen.corrupt > 0, JSON.stringify(seen));
});

test("frames whose CRC was made right again", () => {
  const seen = { ok: 0, torn: 0, corrupt: 0 };
  for (let run = 0; run < runs * 4; run++) {
    const source = pick(segments);
    const first = decodeFrame(source, viewOf(source), 57, source.length);
    if (first.kind !== "ok") continue;
    const body = mutate(source.subarray(57 + 8, 57 + first.length));
    const bytes = Buffer.concat([Buffer.alloc(8), body]);
    bytes.writeUInt32BE(body.length, 0);
    bytes.writeUInt32BE(crc32(body), 4);
    const frame = decodeFrame(bytes, viewOf(bytes), 0, bytes.length);
    seen[frame.kind]++;
    if (frame.kind !== "ok") continue;
    const fields = frameFields(frame, payloadBytes(frame, blake3));
    assert.equal(fields.eventId.length, 16);
    assert.equal(fields.contentHash.length, 32);
  }
  assert(seen.ok > 0 && seen.corrupt > 0, JSON.stringify(seen));
});

test("footers", () => {
  const seen = { ok: 0, absent: 0, corrupt: 0 };
  for (let run = 0; run < runs * 2; run++) {
    const source = pick(segments);
    const cut = Math.max(57, source.length - 16 - random(1500));
    const bytes = Buffer.concat([source.subarray(0, cut), mutate(source.subarray(cut))]);
    const trailer = decodeTrailer(bytes.subarray(-16), bytes.length, 57);
    seen[trailer.kind]++;
    if (trailer.kind !== "ok") continue;
    const footer = decodeFooter(bytes.subarray(trailer.tableOffset), trailer);
    seen[footer.kind]++;
    if (footer.kind !== "ok") continue;
    const placement = footerPlacement(footer, 57);
    if (placement.kind !== "ok") continue;
    for (let entry = 0; entry < footer.entryCount; entry++) {
      const frame = decodeFrame(bytes, viewOf(bytes), footer.frameOffset(entry), footer.tableOffset);
      if (frame.kind === "ok") assert.notEqual(footerMismatch(footer, entry, frame), undefined);
    }
  }
  assert(seen.ok > 0 && seen.absent > 0 && seen.corrupt > 0, JSON.stringify(seen));
});

test("checkpoints, whole and in pieces, with a wrong and a right CRC", () => {
  const seen = { ok: 0, torn: 0, corrupt: 0 };
  for (let run = 0; run < runs; run++) {
    const bytes = mutate(pick(checkpoints));
    if (random(4) > 0 && bytes.length > 12) viewOf(bytes).setUint32(8, crc32(bytes.subarray(12)), true);
    const entries: unknown[] = [];
    const visitor = {
      string: () => {},
      entries: (count: number) => assert(count * 200 < bytes.length),
      entry: (entry: Parameters<typeof checkpointEntryFields>[0]) => void entries.push(checkpointEntryFields(entry)),
    };
    const whole = decodeCheckpoint(bytes, visitor);
    seen[whole.kind]++;
    const decoder = new CheckpointDecoder(bytes.length, visitor);
    let start = 0;
    for (let end = 0; end < bytes.length; ) {
      end = Math.min(bytes.length, end + 1 + random(2000));
      start += decoder.push(bytes.subarray(start, end), viewOf(bytes.subarray(start, end)), 0, end - start);
    }
    const pieces = decoder.finish();
    assert.equal(pieces.kind === "ok", whole.kind === "ok");
  }
  assert(seen.ok > 0 && seen.corrupt > 0, JSON.stringify(seen));
});
