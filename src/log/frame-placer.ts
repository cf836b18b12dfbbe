/** The part of appending that differs by layout: staging an event's bytes, and giving them their place in a group. */
import type { ByteSink } from "../base/byte-sink.ts";
import type { AppendItem, AppendRequest } from "./append-request.ts";
import type { CommitGroup } from "./commit-group.ts";

/** What is given for one event before it is staged. */
export interface StagedFields {
  readonly entity: string;
  readonly scope: string;
  readonly kind: number;
  readonly version: number;
  readonly id: Uint8Array | null;
  readonly cause: Uint8Array | null;
  readonly correlation: Uint8Array | null;
  readonly causation: Uint8Array | null;
  readonly metadata: object | null;
  readonly data: unknown;
  readonly expected: AppendItem["expected"];
  /** Microseconds since the Unix epoch; -1 for now. */
  readonly timeMicros: number;
  /** A system record rather than an event. */
  readonly system: boolean;
}

export interface FramePlacer {
  /** Encodes an event at the sink's position; throws, leaving the sink's position anywhere, when it cannot be stored. */
  stage(sink: ByteSink, fields: StagedFields): AppendItem;
  /** Upper bound of the bytes that the request adds to a segment. */
  placedBytesMax(request: AppendRequest): number;
  /** Places an accepted request in the group; cannot fail. `inPlace`: its staged bytes already lie at the group's end. */
  place(group: CommitGroup, request: AppendRequest, inPlace: boolean): void;
  /** Writes what only the whole group knows: hashes and CRCs. */
  seal(group: CommitGroup): void;
}
