/**
 * Makes a store of the batpak 0.3 layout of any size, as the original would have left it after a clean close: segments with footers, and the
 * version 2 checkpoint. Streaming; what it holds per event are two numbers.
 *
 *   node bench/batpak03-store.mjs DIRECTORY [EVENTS] [ENTITIES] [BATCH]   makes one; BATCH: events in each atomic batch, 1 for none
 */
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { tsImport } from "tsx/esm/api";
import { entityName, kindOf, scopeName } from "./workload.mjs";

const SEGMENT_BYTES = 256 * 1024 * 1024;
const FIRST_MS = 1_700_000_000_000;
const CHUNK_BYTES = 4 * 1024 * 1024;

/** What event `number` is, without its place. One record serves all. */
class EventMaker {
  #blake3;
  #entities;
  #hashes;
  #clocks;
  #fields = {
    eventId: new Uint8Array(16),
    correlationId: new Uint8Array(16),
    causationId: null,
    timestampUs: 0,
    wallMs: 0,
    counter: 0,
    depth: 0,
    lane: 0,
    clock: 0,
    payloadSize: 0,
    eventKind: 0,
    flags: 0,
    contentHash: null,
    hashChain: { prevHash: new Uint8Array(32), eventHash: null },
    entity: "",
    scope: "",
    payloadForm: "bytes",
    payload: null,
  };

  constructor(blake3, entities) {
    this.#blake3 = blake3;
    this.#entities = entities;
    this.#hashes = new Uint8Array(entities * 32);
    this.#clocks = new Uint32Array(entities);
  }

  entityOf(number) {
    return number % this.#entities;
  }

  /** To be called for 0, 1, 2, … in order: clocks and chains go on. */
  next(number) {
    const fields = this.#fields;
    const entity = this.entityOf(number);
    const ms = FIRST_MS + Math.floor(number / 10);
    const id = Buffer.from(fields.eventId.buffer);
    id.writeUIntBE(ms, 0, 6);
    id.writeUInt16BE(0x7000 | (number & 0xfff), 6);
    id.writeUInt32BE(0x80000000, 8);
    id.writeUInt32BE(number, 12);
    fields.correlationId.set(fields.eventId);
    fields.timestampUs = ms * 1000;
    fields.wallMs = ms;
    fields.clock = this.#clocks[entity]++;
    fields.eventKind = kindOf(number);
    fields.entity = entityName(entity);
    fields.scope = scopeName(entity);
    fields.payload = payloadOf(number);
    fields.payloadSize = fields.payload.length;
    const hash = this.#blake3(fields.payload);
    fields.hashChain.prevHash.set(this.#hashes.subarray(entity * 32, entity * 32 + 32));
    fields.contentHash = fields.hashChain.eventHash = hash;
    this.#hashes.set(hash, entity * 32);
    return fields;
  }
}

/** MessagePack of { number, note }. */
function payloadOf(number) {
  const note = `what happened as event ${number} of this store`;
  const bytes = Buffer.alloc(1 + 7 + 5 + 5 + 2 + note.length);
  bytes[0] = 0x82;
  bytes.write("\u00a6number", 1, "latin1");
  bytes[8] = 0xce;
  bytes.writeUInt32BE(number, 9);
  bytes.write("\u00a4note", 13, "latin1");
  bytes[18] = 0xd9;
  bytes[19] = note.length;
  bytes.write(note, 20, "latin1");
  return new Uint8Array(bytes);
}

/** Writes to a file in chunks. */
class ChunkFile {
  #descriptor;
  #sink;

  constructor(file, sink) {
    this.#descriptor = fs.openSync(file, "w", 0o600);
    this.#sink = sink;
  }

  write(bytes) {
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(this.#descriptor, bytes, at);
  }

  flush(least = 0) {
    if (this.#sink.position <= least) return;
    this.write(this.#sink.bytes.subarray(0, this.#sink.position));
    this.#sink.position = 0;
  }

  close() {
    this.flush();
    fs.closeSync(this.#descriptor);
  }
}

/**
 * @param directory made anew
 * @returns the size of the checkpoint in bytes
 */
export async function makeBatpak03Store({ directory, events, entities = 1000, batch = 1, segmentBytes = SEGMENT_BYTES }) {
  // Inner parts, which the built package does not show.
  const load = (file) => tsImport(`../src/${file}`, import.meta.url);
  const { GrowingSink } = await load("base/byte-sink.ts");
  const { SegmentBuilder } = await load("format/batpak03/segment-builder.ts");
  const { CheckpointEncoder } = await load("format/batpak03/checkpoint-encoder.ts");
  const { blake3, loadHashing } = await load("kernel/frame-kernel.ts");
  await loadHashing();
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(directory, { recursive: true });
  const lengths = new Uint16Array(events);
  /** The first event of each segment, and where it stands. */
  const segments = [];
  const offsets = new Uint32Array(events);
  const sink = new GrowingSink(CHUNK_BYTES * 2);
  const maker = new EventMaker(blake3, entities);
  let builder = null;
  let file = null;
  let watermark = 0;
  const seal = () => {
    file.flush();
    watermark = builder.writtenBytes;
    for (const part of builder.seal()) {
      file.write(part);
      watermark += part.length;
    }
    file.close();
  };
  for (let number = 0; number < events; ) {
    if (builder === null || builder.isFull) {
      if (builder !== null) seal();
      const segmentId = segments.length + 1;
      segments.push(number);
      file = new ChunkFile(path.join(directory, `${String(segmentId).padStart(6, "0")}.fbat`), sink);
      builder = new SegmentBuilder(sink, { segmentId, createdNs: BigInt(FIRST_MS) * 1_000_000n, segmentBytesMax: segmentBytes });
    }
    const end = Math.min(events, number + batch);
    const ms = FIRST_MS + Math.floor(number / 10);
    if (batch > 1) builder.beginBatch(sink, end - number, number, ms * 1000, ms);
    for (; number < end; number++) {
      const place = builder.append(sink, maker.next(number), number);
      lengths[number] = place.length;
      offsets[number] = place.offset;
    }
    if (batch > 1) builder.commitBatch(sink, ms * 1000, ms);
    file.flush(CHUNK_BYTES);
  }
  seal();
  return writeCheckpoint();

  function writeCheckpoint() {
    const strings = [""];
    const ids = new Map();
    const idOf = (name) => ids.get(name) ?? ids.set(name, strings.push(name) - 1).get(name);
    for (let entity = 0; entity < Math.min(entities, events); entity++) {
      idOf(entityName(entity));
      idOf(scopeName(entity));
    }
    const head = { globalSequence: events, watermarkSegmentId: segments.length, watermarkOffset: watermark };
    const encoder = new CheckpointEncoder(head, strings.length, events);
    for (const text of strings) encoder.pushString(text);
    const again = new EventMaker(blake3, entities);
    const checkpoint = path.join(directory, "index.ckpt");
    const descriptor = fs.openSync(checkpoint, "w", 0o600);
    for (let number = 0, segment = 0; number < events; number++) {
      while (segments[segment + 1] <= number) segment++;
      const fields = again.next(number);
      encoder.push({
        eventId: fields.eventId,
        correlationId: fields.correlationId,
        causationId: null,
        entityId: idOf(fields.entity),
        scopeId: idOf(fields.scope),
        eventKind: fields.eventKind,
        wallMs: fields.wallMs,
        clock: fields.clock,
        prevHash: fields.hashChain.prevHash,
        eventHash: fields.hashChain.eventHash,
        segmentId: segment + 1,
        offset: offsets[number],
        length: lengths[number],
        globalSequence: number,
      });
      if (encoder.chunkReady) fs.writeSync(descriptor, encoder.takeChunk());
    }
    fs.writeSync(descriptor, encoder.takeChunk());
    fs.writeSync(descriptor, encoder.finish(), 0, 12, 0);
    const { size } = fs.fstatSync(descriptor);
    fs.closeSync(descriptor);
    return size;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [directory, events = "1000000", entities = "1000", batch = "1"] = process.argv.slice(2);
  const bytes = await makeBatpak03Store({ directory, events: Number(events), entities: Number(entities), batch: Number(batch) });
  console.log(`${events} events in ${directory}, a checkpoint of ${(bytes / 1e6).toFixed(1)} MB`);
}
