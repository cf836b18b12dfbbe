/** How a store was opened, and why that way. */

export type OpenRoute = "new" | "checkpoint" | "index-blocks" | "footers" | "scan";

/** Something that opening or verifying found wrong. */
export interface StoreProblem {
  /** Stable: one of the codes in docs/errors.md under "Problems". */
  readonly code: string;
  readonly message: string;
  readonly entity?: string;
  readonly sequence?: number;
  readonly segmentId?: number;
  readonly offset?: number;
}

/** Bytes at the end of a segment that are no whole frame: of one write that the process did not live to finish. */
export interface TornTail {
  readonly segmentId: number;
  readonly offset: number;
  readonly bytes: number;
  readonly reason: string;
}

/** How a store was opened, and what was found. */
export interface OpenReport {
  readonly route: OpenRoute;
  /** Why no faster route was taken; empty where the fastest was. */
  readonly reasons: readonly string[];
  /** Events taken from frames, past the checkpoint or the index blocks. */
  readonly eventsReplayed: number;
  readonly milliseconds: number;
  /** What recovery cut off the end of the log, a newest segment that was never begun among it, and the file in the directory that keeps it. */
  readonly cut: { readonly segmentId: number; readonly offset: number; readonly bytes: number; readonly keptIn: string | null } | null;
  /** What a read-only opening found torn at the end of the log and leaves out, as recovery would; null where nothing is, and where there are `problems`. */
  readonly tornTail: { readonly segmentId: number; readonly offset: number; readonly bytes: number } | null;
  /**
   * Torn ends of a log of the batpak 0.3 layout, which are passed over: in it any segment may have one, since nothing is ever cut. Empty in
   * the native layout.
   */
  readonly tornTails: readonly TornTail[];
  /** Damage that a read-only store was opened in spite of. */
  readonly problems: readonly StoreProblem[];
}
