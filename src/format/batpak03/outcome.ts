/** What a decoder of this layout found: the caller decides what a torn or a corrupt piece means where it stands. */

/** The bytes end before the piece does: what an interrupted write leaves, or a length that lies. */
export interface Torn {
  readonly kind: "torn";
  readonly reason: string;
}

/** The bytes are there and wrong, or of a version that is not read here. */
export interface Corrupt {
  readonly kind: "corrupt";
  readonly reason: string;
}

/** The bytes are none of this layout's ("foreign"), or whole and of a version of it that is not read here ("later"): no crash leaves such. */
export interface Foreign {
  readonly kind: "foreign" | "later";
  readonly reason: string;
}

export function torn(reason: string): Torn {
  return { kind: "torn", reason };
}

export function corrupt(reason: string): Corrupt {
  return { kind: "corrupt", reason };
}
