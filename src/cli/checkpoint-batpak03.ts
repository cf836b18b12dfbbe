/** `batpak checkpoint show FILE` for a version 2 checkpoint, of the batpak 0.3 layout: in pieces, since it holds an entry per event. */
import { formatHex } from "../events/id.ts";
import { nodeDisk } from "../disk/node-disk.ts";
import { decodeCheckpointPrefix, type CheckpointEntry } from "../format/batpak03/checkpoint.ts";
import type { DecodedCheckpoint } from "../format/batpak03/checkpoint-decoder.ts";
import { checkpointEntryFields } from "../format/batpak03/checkpoint-entry.ts";
import { CHECKPOINT_PREFIX } from "../format/batpak03/layout.ts";
import type { Corrupt, Torn } from "../format/batpak03/outcome.ts";
import { decodeInPieces } from "../open-batpak03-checkpoint.ts";
import { printable, type Terminal } from "./terminal.ts";

const PRINT_UNITS = 128 * 1024;

/** Whether the file's prefix is that of a version 2 checkpoint. */
export async function isBatpak03Checkpoint(path: string): Promise<boolean> {
  const file = await nodeDisk.open(path, "read");
  try {
    const prefix = new Uint8Array(CHECKPOINT_PREFIX.body);
    const count = await file.read(prefix, 0, prefix.length, 0);
    return decodeCheckpointPrefix(prefix.subarray(0, count)).kind === "ok";
  } finally {
    await file.close();
  }
}

/**
 * As JSON: one object, `{ version, bytes, global_sequence, watermark_segment_id, watermark_offset, interner_strings, entries }`, its entries
 * with the checkpoint's own keys. For people: how many there are of each.
 */
export async function showBatpak03Checkpoint(path: string, terminal: Terminal): Promise<void> {
  const file = await nodeDisk.open(path, "read");
  try {
    const bytes = await file.size();
    const strings: string[] = [];
    const counting = { string: (text: string) => void strings.push(text), entries: () => {}, entry: () => undefined };
    const decoded: DecodedCheckpoint | Torn | Corrupt = await decodeInPieces(file, bytes, counting);
    if (decoded.kind !== "ok") {
      terminal.tellProblem(`${path} would be ignored: ${decoded.reason}`);
      const ignored = { version: 2, ignored: decoded.reason };
      return await terminal.print(terminal.json ? `${JSON.stringify(ignored)}\n` : "version  2\n");
    }
    const { globalSequence, watermarkSegmentId, watermarkOffset } = decoded.head;
    const head = {
      version: 2,
      bytes,
      global_sequence: globalSequence,
      watermark_segment_id: watermarkSegmentId,
      watermark_offset: watermarkOffset,
    };
    if (!terminal.json) {
      const lines = Object.entries({ ...head, interner_strings: strings.length, entries: decoded.entryCount });
      return await terminal.print(lines.map(([name, value]) => `${name.padEnd(34)}${printable(String(value))}\n`).join(""));
    }
    await terminal.print(`${JSON.stringify({ ...head, interner_strings: strings }).slice(0, -1)},"entries":[`);
    let text = "";
    let isFirst = true;
    const entry = (one: CheckpointEntry): undefined => {
      text += `${isFirst ? "" : ","}${JSON.stringify(entryObject(one))}`;
      isFirst = false;
      return undefined;
    };
    await decodeInPieces(file, bytes, { string: () => {}, entries: () => {}, entry }, async () => {
      if (text.length < PRINT_UNITS) return;
      const printed = text;
      text = "";
      await terminal.print(printed);
    });
    await terminal.print(`${text}]}\n`);
  } finally {
    await file.close();
  }
}

function entryObject(entry: CheckpointEntry): Record<string, unknown> {
  const fields = checkpointEntryFields(entry);
  const hex = (bytes: Uint8Array): string => formatHex(bytes, 0, bytes.length);
  return {
    event_id: hex(fields.eventId),
    correlation_id: hex(fields.correlationId),
    causation_id: fields.causationId === null ? null : hex(fields.causationId),
    entity_id: fields.entityId,
    scope_id: fields.scopeId,
    kind: fields.eventKind,
    wall_ms: fields.wallMs,
    clock: fields.clock,
    prev_hash: hex(fields.prevHash),
    event_hash: hex(fields.eventHash),
    segment_id: fields.segmentId,
    offset: fields.offset,
    length: fields.length,
    global_sequence: fields.globalSequence,
  };
}
