/** System records of the native layout: what the frames of the reserved entity say. */
import { isStoreError } from "../base/store-error.ts";
import type { DefinitionRecord } from "../events/definition-registry.ts";
import { nativeFrames } from "../format/native/frame-format.ts";

/** The definition that a system record tells of; null for any other record. */
export function definitionRecordOf(frame: Uint8Array): DefinitionRecord | null {
  const value = systemRecordOf(frame);
  if (value?.record !== "definition") return null;
  const { name, kind, version } = value;
  if (typeof name !== "string" || typeof kind !== "number" || typeof version !== "number") return null;
  return { name, kind, version };
}

/** The payload of a system record, as the library wrote it; null where it is no map, or of a writer whose payloads do not decode here. */
export function systemRecordOf(frame: Uint8Array): Readonly<Record<string, unknown>> | null {
  let payload: unknown;
  try {
    payload = nativeFrames.payload(frame, new DataView(frame.buffer, frame.byteOffset, frame.byteLength), 0);
  } catch (error) {
    if (isStoreError(error, "CORRUPT")) return null;
    throw error;
  }
  return typeof payload === "object" && payload !== null ? (payload as Record<string, unknown>) : null;
}
