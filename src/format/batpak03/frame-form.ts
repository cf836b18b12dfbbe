/** How the original writes a frame: what stands before each of its values. */
import type { FrameForm } from "../../kernel/frame-kernel.ts";
import type { KeyTable } from "./key-table.ts";
import { EVENT_HEADER_KEYS, EVENT_KEYS, FRAME_KEYS, HASH_BYTES, HASH_CHAIN_KEYS, ID_BYTES, POSITION_KEYS } from "./layout.ts";

const mapOf = ({ names }: KeyTable): number[] => [0x80 | names.length];
const key = ({ encoded }: KeyTable, index: number): number[] => Array.from(encoded[index]);
const ID = [0xc4, ID_BYTES];
const HASH = [0xdc, 0, HASH_BYTES];

/** In the order and form of `encodeFrame`. */
export const FRAME_FORM: FrameForm = {
  between: [
    [
      ...mapOf(FRAME_KEYS),
      ...key(FRAME_KEYS, 0),
      ...mapOf(EVENT_KEYS),
      ...key(EVENT_KEYS, 0),
      ...mapOf(EVENT_HEADER_KEYS),
      ...key(EVENT_HEADER_KEYS, 0),
      ...ID,
    ],
    [...key(EVENT_HEADER_KEYS, 1), ...ID],
    key(EVENT_HEADER_KEYS, 2),
    key(EVENT_HEADER_KEYS, 3),
    [...key(EVENT_HEADER_KEYS, 4), ...mapOf(POSITION_KEYS), ...key(POSITION_KEYS, 0)],
    ...[1, 2, 3, 4].map((index) => key(POSITION_KEYS, index)),
    ...[5, 6, 7].map((index) => key(EVENT_HEADER_KEYS, index)),
    [...key(EVENT_HEADER_KEYS, 8), ...HASH],
    key(EVENT_KEYS, 1),
    [...key(EVENT_KEYS, 2), ...mapOf(HASH_CHAIN_KEYS), ...key(HASH_CHAIN_KEYS, 0), ...HASH],
    [...key(HASH_CHAIN_KEYS, 1), ...HASH],
    key(FRAME_KEYS, 1),
    key(FRAME_KEYS, 2),
  ].map((bytes) => Uint8Array.from(bytes)),
};
