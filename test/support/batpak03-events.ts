/** Events of the batpak 0.3 layout as fields of their frames, for tests that put segments together as the original would. */
import type { FrameFields } from "../../src/format/batpak03/frame.ts";
import { blake3 } from "../../src/kernel/frame-kernel.ts";

/** The time of all of them, in milliseconds. */
export const EVENT_MS = 1_700_000_000_000;

/** The event `{ n }` of an entity of its own, but for what is given. Hashing has been loaded. */
export function eventFields(n: number, given: Partial<FrameFields> = {}): FrameFields {
  const id = new Uint8Array(16).fill(n + 1);
  const payload = Uint8Array.of(0x81, 0xa1, 0x6e, n);
  const contentHash = Uint8Array.from(blake3(payload));
  const names = { entity: `e${n}`, scope: "s", payloadForm: "bytes", payload, payloadSize: payload.length } as const;
  const numbers = { timestampUs: EVENT_MS * 1000, wallMs: EVENT_MS, clock: 0, counter: 0, depth: 0, lane: 0, eventKind: 0xf001, flags: 0 };
  const ids = { eventId: id, correlationId: id, causationId: null };
  const hashes = { contentHash, hashChain: { prevHash: new Uint8Array(32), eventHash: contentHash } };
  return { ...names, ...numbers, ...ids, ...hashes, ...given };
}
