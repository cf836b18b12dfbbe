/**
 * A log that makes the same frames with the same encoder, ids and kernel, one promise an append and a receipt, and does nothing else: it checks
 * nothing, looks nothing up, catches no error, writes no mark, knows no segments, batches or readers. What such a log reaches against the raw file
 * is what the machine leaves to any that runs on one thread.
 */
import fs from "node:fs";
import { randomFillSync } from "node:crypto";
import { tsImport } from "tsx/esm/api";
import { RawFile } from "./raw.mjs";

const load = (file) => tsImport(`../src/${file}`, import.meta.url);
const { encodePayload } = await load("events/payload-encode.ts");
const { IdIssuer } = await load("events/id.ts");
const { FRAME } = await load("format/native/frame-layout.ts");
const { beginFrame, endFrame, markFrame, stampFrame, stampSynced } = await load("format/native/frame.ts");
const { createFrameKernel } = await load("kernel/frame-kernel.ts");

/** As batpak does: so many frames start a write at once, and so many writes are in flight at the most. */
const EAGER_FRAMES = 32;
const FLYING_MAX = 4;
const ENTITIES = 1024;
const ROWS = 1 << 22;
const HASH_BYTES = 32;
const RECEIPT_BYTES = 16 + HASH_BYTES;
const RECEIPTS = 64;

class Group {
  kernel = createFrameKernel(1 << 20, 4096);
  bytes = this.kernel.bytes;
  view = this.kernel.view;
  capacity = this.kernel.capacity;
  position = 0;
  frames = 0;
  sequences = new Float64Array(4096);
  entities = new Int32Array(4096);
  resolves = [];
  written = false;

  grow() {
    throw new Error("A group of the bare log is full");
  }
}

function copyWords(source, from, target, to, byteCount) {
  for (let i = 0; i < byteCount; i += 4) target.setUint32(to + i, source.getUint32(from + i));
}

let newResolve;
const takeResolve = (resolve) => {
  newResolve = resolve;
};

export class BareLog {
  #descriptor;
  #offset = 0;
  #bytesMax;
  #sequence = 0;
  #ids = new IdIssuer(randomFillSync);
  #names = new Map();
  #scopes = new Map();
  #clocks = new Float64Array(ENTITIES);
  #hashes = new DataView(new ArrayBuffer(ENTITIES * HASH_BYTES));
  #openFrames = new Int32Array(ENTITIES).fill(-1);
  #rows = {
    entity: new Uint32Array(ROWS),
    scope: new Uint32Array(ROWS),
    kind: new Uint16Array(ROWS),
    clock: new Float64Array(ROWS),
    offset: new Uint32Array(ROWS),
    time: new Float64Array(ROWS),
  };
  #open = null;
  #flying = [];
  #spare = [];
  #gathers = false;
  #receipts = new DataView(new ArrayBuffer(RECEIPTS * RECEIPT_BYTES));
  #receiptCount = 0;

  /** `bytes` of zeros are laid out, as for the raw file, and written over again and again. */
  constructor(path, bytes) {
    this.#bytesMax = bytes;
    const raw = new RawFile(path);
    raw.prepare(bytes);
    raw.close();
    this.#descriptor = fs.openSync(path, fs.constants.O_RDWR | (fs.constants.O_DSYNC ?? fs.constants.O_SYNC));
  }

  append({ entity, scope }, { kind, data }) {
    const entityId = this.#idOf(this.#names, entity);
    const scopeId = this.#idOf(this.#scopes, scope);
    this.#open ??= this.#spare.pop() ?? new Group();
    const group = this.#open;
    const at = beginFrame(group, { flags: 0, kind, version: 1, entity, scope });
    encodePayload(group, data);
    const length = endFrame(group, at);
    const { view, kernel } = group;
    const timeMicros = Date.now() * 1000;
    const sequence = this.#sequence++;
    const clock = this.#clocks[entityId]++;
    stampFrame(view, at, clock, sequence, timeMicros, 0);
    this.#ids.issue(timeMicros / 1000, group.bytes, at + FRAME.id);
    markFrame(view, at);
    const frame = group.frames++;
    const link = this.#openFrames[entityId];
    kernel.offsets[frame] = at;
    kernel.lengths[frame] = length;
    kernel.links[frame] = link;
    this.#openFrames[entityId] = frame;
    group.entities[frame] = entityId;
    group.sequences[frame] = sequence;
    if (link < 0) copyWords(this.#hashes, entityId * HASH_BYTES, view, at + FRAME.previousHash, HASH_BYTES);
    const row = sequence % ROWS;
    const rows = this.#rows;
    rows.entity[row] = entityId;
    rows.scope[row] = scopeId;
    rows.kind[row] = kind;
    rows.clock[row] = clock;
    rows.offset[row] = at;
    rows.time[row] = timeMicros;
    const promise = new Promise(takeResolve);
    group.resolves.push(newResolve);
    if (group.frames >= EAGER_FRAMES && this.#flying.length < FLYING_MAX) this.#launch();
    else this.#gather();
    return promise;
  }

  #idOf(ids, name) {
    let id = ids.get(name);
    if (id === undefined) ids.set(name, (id = ids.size));
    return id;
  }

  #gather() {
    if (this.#gathers || this.#flying.length > 0 || this.#open === null) return;
    this.#gathers = true;
    queueMicrotask(() => {
      queueMicrotask(() => {
        this.#gathers = false;
        if (this.#open !== null && this.#flying.length === 0) this.#launch();
      });
    });
  }

  #launch() {
    const group = this.#open;
    this.#open = null;
    const { view, kernel, frames, entities } = group;
    if (this.#offset + group.position > this.#bytesMax) this.#offset = 0;
    for (let frame = 0; frame < frames; frame++) stampSynced(view, kernel.offsets[frame], kernel.offsets[frame]);
    kernel.seal(frames, 1, this.#offset);
    for (let frame = 0; frame < frames; frame++) {
      const entityId = entities[frame];
      if (this.#openFrames[entityId] !== frame) continue;
      this.#openFrames[entityId] = -1;
      copyWords(view, kernel.offsets[frame] + kernel.lengths[frame] - HASH_BYTES, this.#hashes, entityId * HASH_BYTES, HASH_BYTES);
    }
    group.written = false;
    this.#flying.push(group);
    const offset = this.#offset;
    this.#offset += group.position;
    fs.write(this.#descriptor, group.bytes, 0, group.position, offset, (error) => {
      if (error !== null) throw error;
      group.written = true;
      while (this.#flying.length > 0 && this.#flying[0].written) this.#settle(this.#flying.shift());
      this.#gather();
    });
  }

  #settle(group) {
    const { view, kernel } = group;
    for (let frame = 0; frame < group.frames; frame++) {
      if (this.#receiptCount === RECEIPTS) {
        this.#receipts = new DataView(new ArrayBuffer(RECEIPTS * RECEIPT_BYTES));
        this.#receiptCount = 0;
      }
      const at = kernel.offsets[frame];
      const to = RECEIPT_BYTES * this.#receiptCount++;
      copyWords(view, at + FRAME.id, this.#receipts, to, 16);
      copyWords(view, at + kernel.lengths[frame] - HASH_BYTES, this.#receipts, to + 16, HASH_BYTES);
      group.resolves[frame]({ bytes: this.#receipts, at: to, sequence: group.sequences[frame] });
    }
    group.resolves.length = 0;
    group.frames = 0;
    group.position = 0;
    this.#spare.push(group);
  }

  close() {
    fs.closeSync(this.#descriptor);
  }
}
