/** Frames of the batpak 0.3 layout that the kernel has made native ones, against what is read of them as they stand. */
import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { encode } from "@msgpack/msgpack";
import { GrowingSink } from "../base/byte-sink.ts";
import { viewOf } from "../base/msgpack.ts";
import { blake3, createFrameTranslator } from "../kernel/frame-kernel.ts";
import type { FrameReader } from "../events/event.ts";
import { nativeFrames } from "../format/native/frame-format.ts";
import { encodeFrame, type FrameFields } from "../format/batpak03/frame.ts";
import { batpak03Frames, forgetFrame } from "../format/batpak03/frame-format.ts";
import { FRAME_FORM } from "../format/batpak03/frame-form.ts";

const BLOCK_BYTES = 256 * 1024;
const FRAMES_MAX = 16;
const opened = createFrameTranslator(BLOCK_BYTES, FRAMES_MAX, FRAME_FORM);
assert(opened !== null);
const translator = opened;

const id = fc.uint8Array({ minLength: 16, maxLength: 16 });
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
const u32 = fc.oneof(fc.nat(300), fc.nat(2 ** 32 - 1));
const name = fc.oneof(fc.string({ minLength: 1, maxLength: 300 }), fc.constantFrom("a", "Bestellung:Grüße", "注文:壹", "🦇".repeat(70)));

const usual: fc.Arbitrary<FrameFields> = fc
  .record({
    eventId: id,
    correlationId: id,
    causationId: fc.option(id),
    timestampUs: fc.nat(2 ** 31),
    wallMs: fc.oneof(fc.nat(2 ** 31), fc.constantFrom(0, 1.7e12, 9_007_199_254_740)),
    counter: u32,
    depth: u32,
    lane: u32,
    clock: u32,
    eventKind: fc.integer({ min: 8, max: 0xffff }),
    flags: u32,
    contentHash: hash,
    previousHash: hash,
    entity: name,
    scope: name,
    value: fc.oneof(fc.jsonValue(), fc.uint8Array({ minLength: 0, maxLength: 3000 }), fc.string({ maxLength: 2000 })),
  })
  .map(({ value, previousHash, ...fields }) => {
    const payload = encode(value);
    const hashChain = { prevHash: previousHash, eventHash: blake3(payload) };
    return { ...fields, hashChain, payloadSize: payload.length, payload, payloadForm: "bytes" as const };
  });

/** What the kernel is to leave: read in another way, or of no event. */
const unusual: fc.Arbitrary<FrameFields> = fc.tuple(usual, fc.nat(7)).map(([fields, how]) => {
  const hashChain = { prevHash: fields.contentHash, eventHash: fields.contentHash };
  const changes: Partial<FrameFields>[] = [
    { payloadForm: "value" },
    { hashChain },
    { hashChain: null },
    { timestampUs: -1 },
    { wallMs: 9_007_199_254_741 },
    { eventKind: 6 },
    { payload: new Uint8Array(0), payloadSize: 0 },
    { payloadSize: fields.payloadSize + 1 },
  ];
  return { ...fields, ...changes[how] };
});

function frameOf(fields: FrameFields): Uint8Array {
  const sink = new GrowingSink(1024);
  encodeFrame(sink, fields);
  return sink.copy();
}

/** Lays frames into the translator's block and translates them; where each begins there. */
function translated(frames: readonly Uint8Array[]): number[] {
  const { bytes, offsets, lengths } = translator.region;
  let at = 0;
  const places = frames.map((frame, index) => {
    const place = at;
    bytes.set(frame, at);
    offsets[index] = at;
    lengths[index] = frame.length;
    at += frame.length;
    return place;
  });
  translator.translate(frames.length);
  return places;
}

const TEXTS = ["kind", "version", "clock", "timeMicros"] as const;
const BYTES = ["id", "correlationId", "causationId", "hash", "previousHash", "entity", "scope", "metadata", "payload"] as const;

function fieldsOf(reader: FrameReader, bytes: Uint8Array, view: DataView, at: number): Record<string, unknown> {
  return Object.fromEntries([
    ...TEXTS.map((field) => [field, reader[field](view, at)]),
    ...BYTES.map((field) => [field, reader[field](bytes, view, at)]),
  ]);
}

/** Whether frame `index` was made a native one; then it says the same as the frame itself, which is right. */
function isSame(index: number, frame: Uint8Array): boolean {
  const { bytes, view, links } = translator.region;
  if (translator.translated[index] === 0) return false;
  forgetFrame();
  assert.equal(batpak03Frames.check(frame, viewOf(frame), 0, frame.length, 0, 0), "ok");
  assert.equal(nativeFrames.length(view, links[index]), translator.translated[index]);
  assert.deepEqual(fieldsOf(nativeFrames, bytes, view, links[index]), fieldsOf(batpak03Frames, frame, viewOf(frame), 0));
  return true;
}

test("frames as the original writes them: every field is the same", () => {
  fc.assert(
    fc.property(fc.array(usual, { minLength: 1, maxLength: FRAMES_MAX }), (list) => {
      const frames = list.map(frameOf);
      translated(frames);
      for (const [index, frame] of frames.entries()) assert.ok(isSame(index, frame), "it was left");
    }),
    { numRuns: 300 },
  );
});

test("frames of another form are left, and those beside them are not", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(usual, unusual), { minLength: 1, maxLength: FRAMES_MAX }), (list) => {
      const frames = list.map(frameOf);
      translated(frames);
      for (const [index, frame] of frames.entries()) isSame(index, frame);
    }),
    { numRuns: 300 },
  );
  for (const fields of fc.sample(unusual, { numRuns: 200, seed: 5 })) {
    translated([frameOf(fields)]);
    assert.equal(translator.translated[0], 0);
  }
});

test("a frame with any byte changed is left, or says what it says as it stands", () => {
  const change = fc.record({
    place: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    byte: fc.nat(255),
    sealed: fc.boolean(),
  });
  fc.assert(
    fc.property(usual, fc.array(change, { minLength: 1, maxLength: 4 }), (fields, changes) => {
      const frame = frameOf(fields);
      for (const { place, byte } of changes) frame[8 + Math.floor(place * (frame.length - 8))] = byte;
      if (changes[0].sealed) viewOf(frame).setUint32(4, crc32(frame.subarray(8)));
      const [at] = translated([frame]);
      isSame(0, frame);
      assert.deepEqual(translator.region.bytes.slice(at, at + frame.length), frame, "what was read stays as it is");
    }),
    { numRuns: 3000 },
  );
});

test("a frame that is cut anywhere is left, with the checksum of what is left of it too, whatever stands behind it", () => {
  const [fields] = fc.sample(usual, { numRuns: 1, seed: 11 });
  const whole = frameOf(fields);
  for (const filler of [0, 0x7f, 0xcc, 0xff]) {
    for (let length = 8; length < whole.length; length++) {
      translator.region.bytes.fill(filler, 0, whole.length + 1024);
      const cut = whole.slice(0, length);
      viewOf(cut).setUint32(0, length - 8);
      viewOf(cut).setUint32(4, crc32(cut.subarray(8)));
      translated([cut]);
      assert.equal(translator.translated[0], 0, `${length} bytes`);
    }
  }
});

test("names that are not UTF-8 are left, and no others", () => {
  const [fields] = fc.sample(usual, { numRuns: 1, seed: 3 });
  const firsts = Array.from({ length: 0x81 }, (_, i) => 0x7f + i);
  for (const field of ["entity", "scope"] as const) {
    for (const pad of ["xxx", "xxxxxxx", ""]) {
      const frame = frameOf({ ...fields, entity: "entity", scope: "scope", [field]: `${pad}????${pad}` });
      const at = Buffer.from(frame).lastIndexOf("????");
      for (const first of firsts) {
        for (const second of [0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0]) {
          for (const [third, fourth] of [
            [0x80, 0xbf],
            [0xbf, 0x41],
            [0x41, 0x41],
            [0x80, 0xc0],
            [0x41, 0xc3],
          ] as const) {
            frame.set([first, second, third, fourth], at);
            viewOf(frame).setUint32(4, crc32(frame.subarray(8)));
            translated([frame]);
            const isName = isUtf8(frame.subarray(at - pad.length, at + 4 + pad.length));
            assert.equal(translator.translated[0] > 0, isName, [pad, first, second, third, fourth].join(" "));
          }
        }
      }
      frame.fill(0x41, at, at + 4);
      frame.set(Buffer.from("é"), at);
      viewOf(frame).setUint32(4, crc32(frame.subarray(8)));
      translated([frame]);
      assert.ok(isSame(0, frame));
    }
  }
});

test("frames that an index would have overlap are made native ones as far as there is room, and those of no length are nowhere", () => {
  const [fields] = fc.sample(usual, { numRuns: 1, seed: 3 });
  const payload = encode("x".repeat(60_000));
  const hashChain = { prevHash: fields.contentHash, eventHash: Uint8Array.from(blake3(payload)) };
  const frame = frameOf({ ...fields, payload, payloadSize: payload.length, payloadForm: "bytes", hashChain });
  const { bytes, offsets, lengths } = translator.region;
  bytes.set(frame);
  offsets.fill(0);
  lengths.fill(frame.length);
  offsets[1] = 0xffff_fff0;
  lengths[1] = 0;
  translator.translate(FRAMES_MAX);
  const made = Array.from({ length: FRAMES_MAX }, (_, index) => isSame(index, frame));
  assert.deepEqual(made.slice(0, 4), [true, false, true, true]);
  assert.equal(made[FRAMES_MAX - 1], false);
  translated([frame]);
  assert.ok(isSame(0, frame), "what stands behind is as it was");
});
