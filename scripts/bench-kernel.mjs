/**
 * What the hashing kernel costs, in nanoseconds a frame or an input, best of several runs of one process.
 *
 * Usage: node --import tsx scripts/bench-kernel.mjs
 */
import { crc32 } from "node:zlib";
import { createPlainHashing } from "../src/kernel/plain-kernel.ts";
import { createWasmHashing } from "../src/kernel/wasm-kernel.ts";

const RUNS = 15;
const RUN_MS = 25;

/** Nanoseconds of one call of `work`: the best run's mean. */
function measure(work) {
  let calls = 1;
  for (;;) {
    const begin = process.hrtime.bigint();
    for (let call = 0; call < calls; call++) work();
    if (Number(process.hrtime.bigint() - begin) > RUN_MS * 1e6) break;
    calls *= 2;
  }
  let best = Infinity;
  for (let run = 0; run < RUNS; run++) {
    const begin = process.hrtime.bigint();
    for (let call = 0; call < calls; call++) work();
    best = Math.min(best, Number(process.hrtime.bigint() - begin) / calls);
  }
  return best;
}

/** A kernel filled with `frames` frames of `length` bytes in `chains` entities. */
function filled(hashing, frames, length, chains) {
  const kernel = hashing.createFrameKernel(frames * (length + 64), frames);
  let offset = 0;
  for (let frame = 0; frame < frames; frame++) {
    const bytes = typeof length === "number" ? length : length(frame);
    for (let at = 0; at < bytes; at++) kernel.bytes[offset + at] = (at * 31 + frame * 7) >> 3;
    kernel.offsets[frame] = offset;
    kernel.lengths[frame] = bytes;
    kernel.links[frame] = frame < chains ? -1 : frame - chains;
    offset += bytes;
  }
  return kernel;
}

function print(what, nanoseconds, note = "") {
  console.log(`${what.padEnd(64)} ${nanoseconds.toFixed(nanoseconds < 100 ? 1 : 0).padStart(9)} ns  ${note}`);
}

function benchFrames(name, hashing) {
  for (const [frames, length, chains] of [
    [1000, 227, 1000],
    [1000, 227, 64],
    [1000, 227, 4],
    [1000, 227, 2],
    [1000, 227, 1],
    [64, 227, 64],
    [4, 227, 4],
    [1, 227, 1],
    [1000, 1154, 1000],
    [64, 65_690, 64],
  ]) {
    const kernel = filled(hashing, frames, length, chains);
    const what = `${name}: seal ${frames} frames of ${length} bytes, ${chains} ${chains === 1 ? "chain" : "chains"}`;
    const all = measure(() => kernel.seal(frames, 1, 2)) / frames;
    const sums = measure(() => kernel.check(frames, 1, 2, false)) / frames;
    print(what, all, `CRC alone ${sums.toFixed(1)} ns, the rest ${(all - sums).toFixed(1)} ns`);
  }
  const kernel = filled(hashing, 1000, 227, 1000);
  kernel.seal(1000, 1, 2);
  print(`${name}: check 1000 frames of 227 bytes, CRC and hash`, measure(() => kernel.check(1000, 1, 2, true)) / 1000);
  for (const length of [32, 183, 1024, 65_536, 1 << 20]) {
    const input = new Uint8Array(length).fill(7);
    print(
      `${name}: blake3 of ${length} bytes`,
      measure(() => hashing.blake3(input)),
    );
  }
}

benchFrames("kernel", createWasmHashing());
benchFrames("hash-wasm", await createPlainHashing());
const input = new Uint8Array(223).fill(7);
print(
  "zlib: crc32 of 223 bytes",
  measure(() => crc32(input, 1)),
);
