/** Events that damage took from a sealed segment together with its index block: no row names them, and whoever reads across them must be told. */
import { StoreError } from "../base/store-error.ts";

export interface LostEvents {
  /** They had sequences in [from, to); not each of these need be one of theirs. */
  readonly from: number;
  readonly to: number;
  /** Where the bytes begin that are no frame. */
  readonly offset: number;
}

/** What a look across them is answered with. */
export function lostEventsError(segmentId: number, { from, to, offset }: LostEvents): StoreError<"CORRUPT"> {
  const what = to - from === 1 ? `event ${from}` : `events ${from} to ${to - 1}`;
  return new StoreError(
    "CORRUPT",
    `Cannot read: segment ${segmentId} is damaged at offset ${offset}, and its index block with it; of ${what} nothing is known. Run batpak repair`,
    { segmentId, offset, reason: "the bytes there are no frame, and the index block is bad", lost: what },
  );
}
