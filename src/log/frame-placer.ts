/** The part of appending that differs by layout: staging an event's bytes, and giving them their place in a group. */
import type { ByteSink } from "../base/byte-sink.ts";
import { encodePayload } from "../events/payload-encode.ts";
import { type AppendItem, type AppendRequest, StoredPayload } from "./append-request.ts";
import type { CommitGroup } from "./commit-group.ts";

/** Writes a payload at the sink's position: encodes what a user gave, and takes over what is stored already. */
export function stagePayload(sink: ByteSink, data: unknown): void {
  if (!(data instanceof StoredPayload)) return encodePayload(sink, data);
  const { bytes } = data;
  if (sink.capacity - sink.position < bytes.length) sink.grow(bytes.length);
  sink.bytes.set(bytes, sink.position);
  sink.position += bytes.length;
}

export interface FramePlacer {
  /**
   * Encodes an event at the sink's position, and notes in the item where: `flags`, `at`, `length`, `payloadAt`, `payloadLength`. Throws, leaving
   * the sink's position anywhere, when it cannot be stored.
   */
  stage(sink: ByteSink, item: AppendItem): void;
  /** Upper bound of the bytes that the request adds to a segment. */
  placedBytesMax(request: AppendRequest): number;
  /** Why a request cannot be placed behind all that was accepted; null where it can. */
  refusal?(request: AppendRequest): Error | null;
  /** Places an accepted request in the group; cannot fail. `inPlace`: its staged bytes already lie at the group's end. */
  place(group: CommitGroup, request: AppendRequest, inPlace: boolean): void;
  /** Writes what only the whole group knows: hashes and CRCs. */
  seal(group: CommitGroup): void;
}
