import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import { encode } from "@msgpack/msgpack";
import { blake3 } from "@noble/hashes/blake3.js";
import { hex, loadFixture, unhex } from "../../../test/support/batpak03-fixtures.ts";
import { GrowingSink } from "../../base/byte-sink.ts";
import { viewOf } from "../../base/msgpack.ts";
import type { Frame } from "./frame.ts";
import { decodeFrame, encodeFrame, frameEntity, frameFields, frameScope } from "./frame.ts";
import { payloadBytes } from "./payload.ts";
import { findNextFrame } from "./resync.ts";
import { batchMarker } from "./segment-builder.ts";

const pack = (value: unknown): Uint8Array => encode(value);

function frameOf(body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + body.length);
  bytes.set(body, 8);
  viewOf(bytes).setUint32(0, body.length);
  viewOf(bytes).setUint32(4, crc32(body));
  return bytes;
}

function decodeOk(bytes: Uint8Array): Frame {
  const frame = decodeFrame(bytes, viewOf(bytes), 0, bytes.length);
  assert(frame.kind === "ok", frame.kind === "ok" ? "" : frame.reason);
  return frame;
}

const ID = unhex("018bcfe568017000800000019e3779b9");

/** A frame as a value, its maps open to change. */
function value(
  payload: unknown,
  hash: Uint8Array,
  payloadSize: number,
): { event: Record<string, unknown> & { header: Record<string, unknown> }; entity: string; scope: string } & Record<string, unknown> {
  return {
    event: {
      header: {
        event_id: Buffer.from(ID),
        correlation_id: Buffer.from(ID),
        causation_id: null,
        timestamp_us: -5,
        position: { wall_ms: 7, counter: 1, depth: 2, lane: 3, sequence: 4 },
        payload_size: payloadSize,
        event_kind: 0x1000,
        flags: 9,
        content_hash: [...hash],
      },
      payload,
      hash_chain: { prev_hash: new Array(32).fill(0), event_hash: [...hash] },
    },
    entity: "e",
    scope: "s",
  };
}

test("keys in another order and keys of later releases are read past", () => {
  const payload = pack({ n: 1 });
  const whole = value([...payload], blake3(payload), payload.length);
  const { header } = whole.event;
  const turned = {
    signature: { algorithm: "x", bytes: [1, 2, [3, { deep: null }]] },
    scope: "s",
    entity: "e",
    event: {
      hash_chain: whole.event.hash_chain,
      lease: 1.5,
      payload: whole.event.payload,
      header: { ...Object.fromEntries(Object.entries(header).reverse()), schema: "v7" },
    },
  };
  const frame = decodeOk(frameOf(pack(turned)));
  assert.equal(frameEntity(frame), "e");
  assert.equal(frameScope(frame), "s");
  const { timestampUs, wallMs, counter, depth, lane, clock, flags } = frame;
  assert.deepEqual(
    { timestampUs, wallMs, counter, depth, lane, clock, flags },
    { timestampUs: -5, wallMs: 7, counter: 1, depth: 2, lane: 3, clock: 4, flags: 9 },
  );
  assert.deepEqual(payloadBytes(frame, blake3), { form: "bytes", bytes: new Uint8Array(payload), integrity: "verified" });
});

test("defect 2: an array of integers is the payload's bytes only if it has their number and their hash", () => {
  const list = pack([1, 2, 3]);
  const kept = decodeOk(frameOf(pack(value([1, 2, 3], blake3(list), list.length))));
  assert.deepEqual(payloadBytes(kept, blake3), { form: "value", bytes: new Uint8Array(list), integrity: "verified" });
  const live = decodeOk(frameOf(pack(value([...list], blake3(list), list.length))));
  assert.deepEqual(payloadBytes(live, blake3), { form: "bytes", bytes: new Uint8Array(list), integrity: "verified" });
  const changed = decodeOk(frameOf(pack(value([0x93, 1, 2, 4], blake3(list), list.length))));
  assert.equal(payloadBytes(changed, blake3).integrity, "broken");
  const reordered = decodeOk(frameOf(pack(value({ a: 1, b: 2 }, blake3(pack({ b: 2, a: 1 })), 7))));
  assert.equal(payloadBytes(reordered, blake3).integrity, "unverifiable");
});

test("a frame that is cut, empty or changed is told from a whole one", () => {
  const bytes = frameOf(pack(value([], blake3(new Uint8Array(0)), 0)));
  for (let limit = 0; limit < bytes.length; limit++) assert.equal(decodeFrame(bytes, viewOf(bytes), 0, limit).kind, "torn");
  // Defect 9: zeros are no frame.
  assert.equal(decodeFrame(new Uint8Array(64), viewOf(new Uint8Array(64)), 0, 64).kind, "corrupt");
  for (let at = 8; at < bytes.length; at++) {
    const changed = bytes.slice();
    changed[at] ^= 1;
    assert.equal(decodeFrame(changed, viewOf(changed), 0, changed.length).kind, "corrupt");
  }
});

test("a body that is whole and wrong is corrupt, with what is wrong", () => {
  const empty = blake3(new Uint8Array(0));
  const wrong = (change: (frame: ReturnType<typeof value>) => void): string => {
    const frame = value([], empty, 0);
    change(frame);
    const bytes = frameOf(pack(frame));
    const decoded = decodeFrame(bytes, viewOf(bytes), 0, bytes.length);
    assert(decoded.kind === "corrupt");
    return decoded.reason;
  };
  assert.match(
    wrong((frame) => delete frame.event.payload),
    /lacks payload/,
  );
  assert.match(
    wrong((frame) => (frame.event.header.event_kind = 65536)),
    /out of range/,
  );
  assert.match(
    wrong((frame) => (frame.event.header.event_id = Buffer.alloc(15))),
    /16 bytes of binary/,
  );
  assert.match(
    wrong((frame) => (frame.event.header.content_hash = new Array(31).fill(0))),
    /hash of 32/,
  );
  assert.match(
    wrong((frame) => (frame.event.header.content_hash = [...new Array(31).fill(0), 256])),
    /no byte/,
  );
  assert.match(
    wrong((frame) => (frame.event.header.timestamp_us = 1.5)),
    /an integer is expected/,
  );
  const trailing = frameOf(Buffer.concat([pack(value([], empty, 0)), Buffer.from([0])]));
  assert.equal(decodeFrame(trailing, viewOf(trailing), 0, trailing.length).kind, "corrupt");
  const text = frameOf(Buffer.concat([pack(value([], empty, 0)).subarray(0, -1), Buffer.from([0xff])]));
  assert.match((decodeFrame(text, viewOf(text), 0, text.length) as { reason: string }).reason, /UTF-8/);
});

test("a name may begin with a byte order mark, be empty or long, and comes back the same", () => {
  for (const entity of ["", "\ufeffa", "é".repeat(600), "🦇", "x".repeat(300)]) {
    const sink = new GrowingSink(1);
    const length = encodeFrame(sink, { ...batchMarker(6, 1, 1, 2, 3), entity });
    const frame = decodeOk(sink.copy());
    assert.equal(length, frame.length);
    assert.equal(frameEntity(frame), entity);
    const again = new GrowingSink();
    encodeFrame(again, frameFields(frame, payloadBytes(frame, blake3)));
    assert.equal(hex(again.copy()), hex(sink.copy()));
  }
});

test("defect 7: the next whole frame after a bad one is found", () => {
  const { bytes } = loadFixture("unclean").segments[0];
  const view = viewOf(bytes);
  const second = 57 + decodeOk(bytes.subarray(57)).length;
  const damaged = bytes.slice();
  damaged[100] ^= 0xff;
  assert.equal(decodeFrame(damaged, viewOf(damaged), 57, damaged.length).kind, "corrupt");
  assert.deepEqual(findNextFrame(damaged, viewOf(damaged), 58, damaged.length), { kind: "found", offset: second });
  assert.deepEqual(findNextFrame(bytes, view, bytes.length - 200, bytes.length), { kind: "none" });
  assert.deepEqual(findNextFrame(bytes, view, bytes.length, bytes.length), { kind: "none" });
});

test("lengths that lie everywhere do not make the search quadratic", () => {
  const bytes = new Uint8Array(1 << 22);
  const view = viewOf(bytes);
  for (let at = 0; at + 10 < bytes.length; at += 10) {
    view.setUint32(at, bytes.length - at - 8);
    bytes[at + 8] = 0x83;
    bytes[at + 9] = 0xa5;
  }
  assert.equal(findNextFrame(bytes, view, 0, bytes.length).kind, "unknown");
});
