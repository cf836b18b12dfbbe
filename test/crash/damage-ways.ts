/** Every way in which the files of a small store are damaged, one thing at a time, and what each way touches. */
import { getUint64 } from "../../src/base/u64.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { FRAME, FRAME_FLAG } from "../../src/format/native/frame-layout.ts";
import { checkFrame, frameFlags, frameLength, isMarked, segmentSeed } from "../../src/format/native/frame.ts";
import { SEGMENT_HEADER } from "../../src/format/native/segment-header.ts";
import type { Store } from "../../src/store.ts";
import type { Files } from "../support/small-stores.ts";

/** Where an event's frame lies. */
export interface FrameSpan {
  readonly file: string;
  readonly from: number;
  readonly to: number;
  readonly sequence: number;
  /** Of the newest segment, in its last commit: what is broken there can be a torn write. */
  readonly last: boolean;
}

export const WAYS = ["flip", "cut", "delete", "swap", "duplicate", "zero"] as const;
export type Way = (typeof WAYS)[number];

export interface Damage {
  readonly kind: Way;
  readonly about: string;
  /** The part of the file, where there is a name for it. */
  readonly field: string;
  readonly segmentId: number | null;
  /** A report is to name an offset in here: the frame or the part that holds the damage. */
  readonly place: readonly [number, number];
  touches(span: FrameSpan): boolean;
  apply(files: Map<string, Uint8Array>): void;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function segmentNames(files: Files): string[] {
  return [...files.keys()].filter((name) => name.endsWith(".fbat")).sort((a, b) => a.localeCompare(b));
}

/** All frames of a segment: where each begins and ends. */
function walk(bytes: Uint8Array): { from: number; to: number; flags: number; sequence: number; marked: boolean }[] {
  const view = viewOf(bytes);
  const seed = segmentSeed(bytes.subarray(SEGMENT_HEADER.storeId, SEGMENT_HEADER.storeId + 16), getUint64(view, SEGMENT_HEADER.segmentId));
  const frames = [];
  for (let at: number = SEGMENT_HEADER.bytes; checkFrame(bytes, view, at, bytes.length, seed, at) === "ok"; at += frameLength(view, at)) {
    const sequence = getUint64(view, at + FRAME.sequence);
    frames.push({ from: at, to: at + frameLength(view, at), flags: frameFlags(view, at), sequence, marked: isMarked(view, at) });
  }
  return frames;
}

/** The frames of events. */
export function framesOf(files: Files): FrameSpan[] {
  return spansOf(files, (flags) => (flags & (FRAME_FLAG.system | FRAME_FLAG.seal)) === 0);
}

/** The frames that tell what compaction removed. */
export function retentionFramesOf(files: Files): FrameSpan[] {
  return spansOf(files, (flags) => (flags & FRAME_FLAG.retention) !== 0);
}

function spansOf(files: Files, isWanted: (flags: number) => boolean): FrameSpan[] {
  const names = segmentNames(files);
  return names.flatMap((file) => {
    const frames = walk(files.get(file) as Uint8Array);
    let commit = frames.length - 1;
    while (commit > 0 && !frames[commit - 1].marked) commit--;
    const isNewest = file === names.at(-1);
    return frames
      .map(({ from, to, flags, sequence }, i) => ({ file, from, to, flags, sequence, last: isNewest && i >= commit }))
      .filter(({ flags }) => isWanted(flags));
  });
}

/** How many payloads hold a piece of a segment. */
export function looseFrames(files: Files): number {
  let found = 0;
  for (const name of segmentNames(files)) if (Buffer.from(files.get(name) as Uint8Array).indexOf("BATPAKSG", 8) > 0) found++;
  return found;
}

/** The damages of one kind; `stride` 1 for all of them. */
export function* damages(files: Files, way: Way, stride: number): Generator<Damage> {
  for (const [name, bytes] of files) {
    const segmentId = name.endsWith(".fbat") ? Number.parseInt(name, 10) : null;
    const parts = segmentId === null ? [] : walk(bytes);
    const base = { kind: way, segmentId, field: name, place: [0, bytes.length] as const };
    if (way === "flip") {
      for (let at = 0; at < bytes.length; at += stride === 1 ? 1 : 1 + ((at * 7919) % (2 * stride))) {
        const part = parts.find(({ from, to }) => from <= at && at < to);
        const end = parts.at(-1)?.to ?? 0;
        const field =
          segmentId === null ? name : at < SEGMENT_HEADER.bytes ? "segment header" : part === undefined ? "index block" : "frame";
        const place = part === undefined ? ([at < end ? 0 : end, at < end ? at : bytes.length] as const) : ([part.from, part.to] as const);
        yield {
          ...base,
          field,
          place,
          about: `bit 6 of byte ${at} of ${name} (${field})`,
          touches: (span) => span.file === name && span.from <= at && at < span.to,
          apply: (damaged) => change(damaged, name, at, at + 1, (byte) => byte ^ 0x40),
        };
      }
    } else if (way === "cut") {
      const framesEnd = parts.at(-1)?.to ?? bytes.length;
      for (let length = 0; length < bytes.length; length += stride) {
        yield {
          ...base,
          field: length === framesEnd ? "index block, all of it" : length > framesEnd ? "index block, the end of it" : name,
          about: `${name} cut at ${length}`,
          // Of a commit that is not whole nothing counts in the newest segment.
          touches: (span) => span.file === name && (span.to > length || span.last),
          apply: (damaged) => void damaged.set(name, bytes.slice(0, length)),
        };
      }
    } else if (way === "zero") {
      for (let at = 0; at < bytes.length; at += 512) {
        yield {
          ...base,
          about: `sector at ${at} of ${name} zeroed`,
          touches: (span) => span.file === name && span.from < at + 512 && at < span.to,
          apply: (damaged) => change(damaged, name, at, Math.min(bytes.length, at + 512), () => 0),
        };
      }
    } else if (way === "delete") {
      yield { ...base, about: `${name} deleted`, touches: (span) => span.file === name, apply: (damaged) => void damaged.delete(name) };
    }
  }
  if (way === "swap" || way === "duplicate") yield* exchanges(files, way);
}

function* exchanges(files: Files, way: "swap" | "duplicate"): Generator<Damage> {
  const names = segmentNames(files);
  for (const one of names) {
    for (const other of names) {
      if (one === other || (way === "swap" && one > other)) continue;
      yield {
        kind: way,
        segmentId: Number.parseInt(other, 10),
        field: other,
        place: [0, 0],
        about: way === "swap" ? `${one} and ${other} swapped` : `${one} copied over ${other}`,
        touches: (span) => span.file === other || (way === "swap" && span.file === one),
        apply: (damaged) => {
          damaged.set(other, files.get(one) as Uint8Array);
          if (way === "swap") damaged.set(one, files.get(other) as Uint8Array);
        },
      };
    }
  }
}

/** Changes bytes of a file that is still there. */
function change(files: Map<string, Uint8Array>, name: string, from: number, to: number, changed: (byte: number) => number): void {
  const copy = files.get(name)?.slice();
  if (copy === undefined) return;
  for (let at = from; at < to; at++) copy[at] = changed(copy[at]);
  files.set(name, copy);
}

/**
 * Every event that can be read, by sequence, as text. Where a read of all meets damage that opening did not know of, the events of `known` are
 * read one by one.
 */
export async function readEvents(store: Store, known: ReadonlyMap<number, string>): Promise<Map<number, string>> {
  const events = new Map<number, string>();
  const note = (event: { readonly sequence: number }): void => {
    // The name that a kind goes by is told by a record elsewhere: the number stays.
    events.set(
      event.sequence,
      JSON.stringify(event, (key, value: unknown) => (key === "type" ? null : value)),
    );
  };
  try {
    for await (const event of store.read()) note(event);
    return events;
  } catch (error) {
    if (!isStoreError(error, "CORRUPT")) throw error;
  }
  for (const sequence of known.keys()) {
    try {
      for (const event of await store.read({ sequence: { from: sequence, to: sequence } }).toArray()) note(event);
    } catch (error) {
      if (!isStoreError(error, "CORRUPT")) throw error;
    }
  }
  return events;
}
