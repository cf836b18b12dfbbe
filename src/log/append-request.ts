/** What somebody asked to append, staged: validated and encoded, not yet judged. */
import type { GrowingSink } from "../base/byte-sink.ts";
import type { Receipt } from "../events/event.ts";
import type { SearchFilter } from "./row-search.ts";

export type ExpectedState =
  | { readonly kind: "none" }
  | { readonly kind: "exists" }
  | { readonly kind: "clock"; readonly clock: number }
  | { readonly kind: "noneMatching"; readonly filters: readonly SearchFilter[]; readonly after: number; readonly expected: unknown };

export interface AppendItem {
  readonly entity: string;
  readonly scope: string;
  readonly kind: number;
  readonly version: number;
  /** FRAME_FLAG bits of the staged frame. */
  readonly flags: number;
  /** Where its staged bytes begin and how many they are. */
  at: number;
  readonly length: number;
  /** Where its payload's bytes begin, and how many they are. */
  payloadAt: number;
  readonly payloadLength: number;
  /** Keyed or given; null where the writer issues one. */
  readonly id: Uint8Array | null;
  /** The event that caused it, which must be there. */
  readonly cause: Uint8Array | null;
  /** Given as they are; `correlation` is filled in from the cause by the judge. */
  correlation: Uint8Array | null;
  readonly causation: Uint8Array | null;
  readonly expected: ExpectedState | null;
  /** Microseconds since the Unix epoch, from an import; -1 for now. */
  readonly timeMicros: number;
}

export interface AppendRequest {
  /** System records first, then the events. */
  readonly items: readonly AppendItem[];
  /** Where the items' bytes are: a sink of the request's own, or null where they lie in the open group already. */
  sink: GrowingSink | null;
  /** Bytes staged. */
  readonly bytes: number;
  /** What conditions found among events before `checkedTo`; filled in by `ready`. */
  readonly conditions: ConditionResult[];
  /** Resolves when everything that needs the disk was looked up; null when there is nothing. */
  readonly ready: Promise<void> | null;
  readonly signal: AbortSignal | null;
  /** How many items at the front are system records. */
  readonly recordCount: number;
  /** It is accepted: what it teaches is learnt. */
  readonly accepted: () => void;
  readonly resolve: (receipts: readonly Receipt[]) => void;
  readonly reject: (error: unknown) => void;
}

/** What the lookups before the judgement found for one condition. */
export interface ConditionResult {
  readonly item: AppendItem;
  /** Sequences before this were looked at. */
  checkedTo: number;
  /** Sequence of an event that matches; -1 when there is none. */
  found: number;
}
