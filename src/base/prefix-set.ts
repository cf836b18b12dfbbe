/** Tells whether a name begins with one of several prefixes, of which there may be thousands: each name is compared with a few of them. */
export class PrefixSet {
  /** Ascending by their UTF-8 bytes, and none begins with another: the last one that is not behind a name is the only one it can begin with. */
  readonly prefixes: readonly Uint8Array[];

  constructor(prefixes: readonly string[]) {
    const kept: Buffer[] = [];
    for (const prefix of prefixes.map((text) => Buffer.from(text)).sort((a, b) => Buffer.compare(a, b))) {
      const before = kept.at(-1);
      if (before === undefined || !before.equals(prefix.subarray(0, before.length))) kept.push(prefix);
    }
    this.prefixes = kept;
  }

  /** Whether the name whose UTF-8 bytes are `bytes[start, end)` begins with one of them. */
  beginsOne(bytes: Uint8Array, start: number, end: number): boolean {
    let low = 0;
    let high = this.prefixes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const prefix = this.prefixes[middle]!;
      const shared = sharedLength(prefix, bytes, start, end);
      if (shared === prefix.length) return true;
      if (start + shared < end && bytes[start + shared]! > prefix[shared]!) low = middle + 1;
      else high = middle;
    }
    return false;
  }
}

/** How many bytes a prefix and a name have in common from their start. */
function sharedLength(prefix: Uint8Array, bytes: Uint8Array, start: number, end: number): number {
  const length = Math.min(prefix.length, end - start);
  let shared = 0;
  while (shared < length && prefix[shared] === bytes[start + shared]) shared++;
  return shared;
}
