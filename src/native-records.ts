/** System records of the native layout: what the frames of the reserved entity say. */
import type { DefinitionRecord } from "./events/definition-registry.ts";
import { nativeFrames } from "./format/native/frame-format.ts";

/** The definition that a system record tells of; null for any other record. */
export function definitionRecordOf(frame: Uint8Array): DefinitionRecord | null {
  const value = systemRecordOf(frame);
  if (value?.record !== "definition") return null;
  const { name, kind, version } = value;
  if (typeof name !== "string" || typeof kind !== "number" || typeof version !== "number") return null;
  return { name, kind, version };
}

/** The payload of a system record, as the library wrote it; null where it is no map. */
export function systemRecordOf(frame: Uint8Array): Readonly<Record<string, unknown>> | null {
  const payload = nativeFrames.payload(frame, new DataView(frame.buffer, frame.byteOffset, frame.byteLength), 0);
  return typeof payload === "object" && payload !== null ? (payload as Record<string, unknown>) : null;
}
