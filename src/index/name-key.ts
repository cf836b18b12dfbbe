/** A name as it is looked for in the dictionaries of index blocks: its bytes and their hash. */
import { nameHash } from "../format/native/name-hash.ts";

class NameKey {
  readonly name: string;
  readonly bytes: Buffer;
  readonly hash: number;

  constructor(name: string) {
    this.name = name;
    this.bytes = Buffer.from(name);
    this.hash = nameHash(this.bytes, 0, this.bytes.length);
  }
}

/** The one that was asked for last: mostly a name is looked for in one segment after the other. */
let last = new NameKey("");

export function nameKey(name: string): NameKey {
  if (last.name !== name) last = new NameKey(name);
  return last;
}
