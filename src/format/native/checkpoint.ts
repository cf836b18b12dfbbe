/**
 * The bytes of `index.ckpt` in the native layout: the original's 12-byte prefix with a version of our own, then a MessagePack description,
 * then the columns that it lists, each as it lies in memory.
 *
 * Columns begin at multiples of 8 bytes, each filled up by one without a name, and the description by its member `filling`: what was read can
 * be used where it lies. A reader needs none of it.
 *
 *   "FBATCK" · version u16 LE = 256 · CRC-32 of what follows u32 LE · 0xce, length of the description u32 BE · description · columns
 *
 * Pure: what the description and the columns mean is `checkpoint/`'s business.
 */
import { crc32 } from "node:zlib";
import { GrowingSink } from "../../base/byte-sink.ts";
import { atOnce } from "../../base/rest.ts";
import { isStoreError, StoreError } from "../../base/store-error.ts";
import { decodePayload } from "../../events/payload-decode.ts";
import { encodePayload } from "../../events/payload-encode.ts";

export const CHECKPOINT = {
  magic: 0, // 6 bytes
  version: 6, // u16 LE
  crc: 8, // u32 LE
  descriptionTag: 12, // 0xce
  descriptionLength: 13, // u32 BE
  description: 17,
} as const;

export const CHECKPOINT_FILE = "index.ckpt";
export const NATIVE_CHECKPOINT_VERSION = 256;
/** Larger ones are neither written nor read: Node reads no more at once. */
export const CHECKPOINT_BYTES_MAX: number = 2 ** 31 - 1;
export const CHECKPOINT_MAGIC = Uint8Array.from(Buffer.from("FBATCK", "latin1"));

const UINT32_TAG = 0xce;

export type Columns = ReadonlyMap<string, Uint8Array>;

export interface CheckpointContent {
  /** What the payload codec can write; `columns` is added to it. */
  readonly description: Readonly<Record<string, unknown>>;
  readonly columns: Columns;
}

export type CheckpointOutcome =
  | { readonly kind: "ok"; readonly content: CheckpointContent }
  /** Not to be used; why. */
  | { readonly kind: "ignored"; readonly reason: string };

/** Columns stand at multiples of this, so that what is read from the file can be used where it lies. */
const ALIGNMENT = 8;
/** The name of a column of zeros that only fills up. */
const FILLER = "";

/** How many bytes are checksummed at once: less where appends wait beside than where a store is opened. */
const CRC_STEP_BYTES = 256 * 1024;
const DECODED_STEP_BYTES = 4 * 1024 * 1024;

/** The file, as pieces to be written one after the other. */
export function encodeCheckpoint(content: CheckpointContent): Uint8Array[] {
  return atOnce(encodeCheckpointInSteps(content));
}

/**
 * The same in steps of a fraction of a millisecond: whoever asks may rest between them.
 *
 * @throws StoreError `TOO_LARGE` where nobody could read it
 */
export function* encodeCheckpointInSteps(content: CheckpointContent): Generator<undefined, Uint8Array[]> {
  const columns: (readonly [string, Uint8Array])[] = [];
  for (const column of content.columns) {
    columns.push(column);
    const missing = missingBytes(column[1].length);
    if (missing > 0) columns.push([FILLER, new Uint8Array(missing)]);
  }
  const head = encodeHead(content, columns);
  assertReadable(columns.reduce((sum, [, column]) => sum + column.length, head.length));
  const view = new DataView(head.buffer);
  head.set(CHECKPOINT_MAGIC, CHECKPOINT.magic);
  view.setUint16(CHECKPOINT.version, NATIVE_CHECKPOINT_VERSION, true);
  view.setUint8(CHECKPOINT.descriptionTag, UINT32_TAG);
  view.setUint32(CHECKPOINT.descriptionLength, head.length - CHECKPOINT.description);
  let crc = crc32(head.subarray(CHECKPOINT.descriptionTag));
  let stepBytes = 0;
  for (const [, bytes] of columns) {
    // No piece is empty: an empty buffer has no address, and zlib takes that as the wish to begin anew.
    for (let at = 0; at < bytes.length; at += CRC_STEP_BYTES) {
      const piece = bytes.subarray(at, at + CRC_STEP_BYTES);
      crc = crc32(piece, crc);
      stepBytes += piece.length;
      if (stepBytes < CRC_STEP_BYTES) continue;
      stepBytes = 0;
      yield;
    }
  }
  view.setUint32(CHECKPOINT.crc, crc, true);
  return [head, ...columns.map(([, bytes]) => bytes)];
}

function assertReadable(bytes: number): void {
  if (bytes <= CHECKPOINT_BYTES_MAX) return;
  const message = `Cannot write a checkpoint: it has ${bytes} bytes, ${CHECKPOINT_BYTES_MAX} are allowed; opening goes by the index blocks`;
  throw new StoreError("TOO_LARGE", message, { what: "the checkpoint", bytes, bytesMax: CHECKPOINT_BYTES_MAX });
}

/** Prefix and description, filled up to where columns may begin. */
function encodeHead(content: CheckpointContent, columns: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  const sink = new GrowingSink(64 * 1024);
  const encode = (filling: string): void => {
    sink.position = CHECKPOINT.description;
    encodePayload(sink, { ...content.description, filling, columns: columns.map(([name, bytes]) => [name, bytes.length]) });
  };
  encode("");
  const missing = missingBytes(sink.position);
  if (missing > 0) encode("-".repeat(missing));
  return sink.copy();
}

function missingBytes(length: number): number {
  return (ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT;
}

/** The checkpoint's version as its prefix says, or why it has none. */
export function checkpointVersion(bytes: Uint8Array): { version: number } | { reason: string } {
  if (bytes.length < CHECKPOINT.descriptionTag) return { reason: `it is ${bytes.length} bytes short of a prefix` };
  if (CHECKPOINT_MAGIC.some((byte, i) => bytes[i] !== byte)) return { reason: "its magic is wrong" };
  return { version: bytes[CHECKPOINT.version] | (bytes[CHECKPOINT.version + 1] << 8) };
}

function versionFault(bytes: Uint8Array): string | null {
  const prefix = checkpointVersion(bytes);
  if ("reason" in prefix) return prefix.reason;
  return prefix.version === NATIVE_CHECKPOINT_VERSION ? null : `its version is ${prefix.version}, ${NATIVE_CHECKPOINT_VERSION} is read`;
}

/** Why a file of so many bytes that begins so is no checkpoint that is read; null where it may be one. */
export function prefixFault(bytes: Uint8Array, fileBytes: number): string | null {
  const fault = versionFault(bytes);
  if (fault !== null) return fault;
  if (bytes.length < CHECKPOINT.description || bytes[CHECKPOINT.descriptionTag] !== UINT32_TAG) return "it does not decode";
  return descriptionEnd(bytes) > fileBytes ? "its description is longer than the file" : null;
}

/** How many bytes a checkpoint has by its prefix and description, which stand in `bytes`; null where they do not say. */
export function statedBytes(bytes: Uint8Array): number | null {
  const columns = decodeDescription(bytes)?.columns;
  if (!Array.isArray(columns)) return null;
  let sum = descriptionEnd(bytes);
  for (const column of columns as unknown[]) sum += Array.isArray(column) ? Number(column[1]) : Number.NaN;
  return Number.isSafeInteger(sum) ? sum : null;
}

/** Where the description ends that this prefix speaks of. */
export function descriptionEnd(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return CHECKPOINT.description + view.getUint32(CHECKPOINT.descriptionLength);
}

/** Reads a checkpoint. The columns are views into `bytes`. */
export function decodeCheckpoint(bytes: Uint8Array): CheckpointOutcome {
  return atOnce(decodeCheckpointInSteps(bytes));
}

/** The same in steps of a millisecond or so: whoever asks may rest between them. */
export function* decodeCheckpointInSteps(bytes: Uint8Array): Generator<undefined, CheckpointOutcome> {
  const otherVersion = versionFault(bytes);
  if (otherVersion !== null) return ignored(otherVersion);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let crc = 0;
  for (let at = CHECKPOINT.descriptionTag; at < bytes.length; at += DECODED_STEP_BYTES) {
    if (at > CHECKPOINT.descriptionTag) yield;
    crc = crc32(bytes.subarray(at, at + DECODED_STEP_BYTES), crc);
  }
  if (crc !== view.getUint32(CHECKPOINT.crc, true)) return ignored("its CRC does not match");
  const fault = prefixFault(bytes, bytes.length);
  if (fault !== null) return ignored(fault);
  const description = decodeDescription(bytes);
  return description === null ? ignored("it does not decode") : takeColumns(description, bytes, descriptionEnd(bytes));
}

function decodeDescription(bytes: Uint8Array): Record<string, unknown> | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  try {
    const description = decodePayload(bytes, view, CHECKPOINT.description, descriptionEnd(bytes));
    return typeof description === "object" ? (description as Record<string, unknown> | null) : null;
  } catch (error) {
    if (isStoreError(error, "CORRUPT")) return null;
    throw error;
  }
}

function takeColumns(description: Record<string, unknown>, bytes: Uint8Array, start: number): CheckpointOutcome {
  const columns = new Map<string, Uint8Array>();
  if (!Array.isArray(description.columns)) return ignored("it lists no columns");
  let at = start;
  for (const entry of description.columns as unknown[]) {
    if (!Array.isArray(entry)) return ignored("a column is not described");
    const [name, length] = entry as unknown[];
    if (
      typeof name !== "string" ||
      typeof length !== "number" ||
      !Number.isSafeInteger(length) ||
      length < 0 ||
      at + length > bytes.length
    ) {
      return ignored("a column does not lie in the file");
    }
    columns.set(name, bytes.subarray(at, at + length));
    at += length;
  }
  return at === bytes.length ? { kind: "ok", content: { description, columns } } : ignored("bytes follow the last column");
}

function ignored(reason: string): CheckpointOutcome {
  return { kind: "ignored", reason };
}
