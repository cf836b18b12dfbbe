/** Names of consumers, and of the folders that hold what is theirs: every name has one folder, also where case does not tell names apart. */
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument, outOfRange } from "../base/store-error.ts";
import { utf8, utf8Length } from "../events/utf8.ts";

/** Three characters a byte at most, and a folder's name has 255. */
const NAME_BYTES_MAX = 80;
const PLAIN = /^[a-z0-9_-]$/;
const FOLDER = /^(?:[a-z0-9_-]|%[0-9a-f]{2})+$/;

/** Checks a consumer's name: 1 to 80 UTF-8 bytes of well-formed text. */
export function assertConsumerName(name: unknown, operation: string): asserts name is string {
  if (typeof name !== "string") throw invalidArgument(`Cannot ${operation}: the name is ${describeValue(name)}, text is allowed`);
  const bytes = name.length > NAME_BYTES_MAX ? Buffer.byteLength(name) : utf8Length(name);
  if (bytes < 0) throw invalidArgument(`Cannot ${operation}: the name holds a lone surrogate, well-formed Unicode is allowed`);
  if (bytes === 0 || bytes > NAME_BYTES_MAX) {
    throw outOfRange(`Cannot ${operation}: the name takes ${bytes} bytes, 1 to ${NAME_BYTES_MAX} UTF-8 bytes are allowed`);
  }
}

/** The folder's name: lower-case letters, digits, `_` and `-` as they are, any other byte as `%` and two hex digits. */
export function consumerFolder(name: string): string {
  let folder = "";
  for (const byte of utf8(name)) {
    const character = String.fromCharCode(byte);
    folder += PLAIN.test(character) ? character : `%${byte.toString(16).padStart(2, "0")}`;
  }
  return folder;
}

/** Whose folder it is; null where it is none of ours. */
export function consumerOfFolder(folder: string): string | null {
  if (!FOLDER.test(folder)) return null;
  try {
    return decodeURIComponent(folder);
  } catch {
    return null;
  }
}
