/** Where an event belongs: the entity whose stream it extends, and the scope that reads filter by. */
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument, outOfRange } from "../base/store-error.ts";
import { utf8Length } from "./utf8.ts";

/**
 * Who acts, and where. Each is 1 to 1,024 UTF-8 bytes of well-formed Unicode.
 *
 * @example
 * const alice: Coordinate = { entity: "player:alice", scope: "room:dungeon" };
 */
export interface Coordinate {
  /** The stream: clock and hash chain run per entity, whatever the scope. Never `_batpak`, which is the library's. */
  readonly entity: string;
  /** The partition that reads and subscriptions filter by. */
  readonly scope: string;
}

/** Most UTF-8 bytes in an entity or a scope. */
export const NAME_BYTES_MAX = 1024;
/** The entity of system records. */
export const SYSTEM_ENTITY = "_batpak";
export const SYSTEM_SCOPE = "_system";

/**
 * Checks an entity or a scope as text: 1 to 1,024 UTF-8 bytes, well formed.
 *
 * @param what how the message calls it: "entity"
 * @param operation what cannot be done otherwise: "append"
 * @throws TypeError or RangeError `INVALID_ARGUMENT`
 */
export function assertName(name: unknown, what: string, operation: string): asserts name is string {
  if (typeof name !== "string") {
    throw invalidArgument(`Cannot ${operation}: the ${what} is ${describeValue(name)}, text is allowed`);
  }
  if (name.length === 0) throw outOfRange(`Cannot ${operation}: the ${what} is empty, 1 to ${NAME_BYTES_MAX} UTF-8 bytes are allowed`);
  const byteLength = name.length > NAME_BYTES_MAX ? Buffer.byteLength(name) : utf8Length(name);
  if (byteLength < 0) throw invalidArgument(`Cannot ${operation}: the ${what} holds a lone surrogate, well-formed Unicode is allowed`);
  if (byteLength > NAME_BYTES_MAX) {
    throw outOfRange(`Cannot ${operation}: the ${what} takes ${byteLength} bytes, 1 to ${NAME_BYTES_MAX} UTF-8 bytes are allowed`);
  }
}

/** Checks an entity that a user may write to: a name, and not the library's own. */
export function assertEntity(entity: unknown, operation: string): asserts entity is string {
  assertName(entity, "entity", operation);
  if (entity === SYSTEM_ENTITY) {
    throw invalidArgument(`Cannot ${operation}: the entity is ${SYSTEM_ENTITY}, which is the library's own, any other name is allowed`);
  }
}

/**
 * Checks a coordinate argument.
 *
 * @param operation what cannot be done otherwise: "append"
 * @throws TypeError or RangeError `INVALID_ARGUMENT`
 */
export function assertCoordinate(coordinate: unknown, operation: string): asserts coordinate is Coordinate {
  if (typeof coordinate !== "object" || coordinate === null)
    throw invalidArgument(`Cannot ${operation}: the coordinate is ${describeValue(coordinate)}, { entity, scope } is allowed`);
  const { entity, scope } = coordinate as Partial<Coordinate>;
  assertEntity(entity, operation);
  assertName(scope, "scope", operation);
}
