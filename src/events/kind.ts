/**
 * Kinds: what sort of event it is, as a u16 of category (the top 4 bits) and type (the lower 12). Categories 0x0 and 0xD are the
 * library's: of them only the constants named here pass the public door, and the batch markers of batpak 0.3 (6 and 7) never do.
 */
import { describeValue } from "../base/describe-value.ts";
import { invalidArgument, outOfRange } from "../base/store-error.ts";

/** A system begins. This kind and the next ones are of the categories of the library, and users may write them. */
export const SYSTEM_INIT = 0x0001;
/** A system ends. */
export const SYSTEM_SHUTDOWN = 0x0002;
/** A system is alive. */
export const SYSTEM_HEARTBEAT = 0x0003;
/** The configuration of a system has changed. */
export const SYSTEM_CONFIG_CHANGE = 0x0004;
/** A system has come to a point that it can go on from. */
export const SYSTEM_CHECKPOINT = 0x0005;
/** What the entity stands for is gone. */
export const TOMBSTONE = 0x0ffe;
/** Plain data without a kind of its own. */
export const DATA = 0x1000;
/** An effect failed. */
export const EFFECT_ERROR = 0xd001;
/** An effect is tried again. */
export const EFFECT_RETRY = 0xd002;
/** An effect was done. */
export const EFFECT_ACK = 0xd004;
/** An effect has to wait. */
export const EFFECT_BACKPRESSURE = 0xd005;
/** An effect is not wanted any more. */
export const EFFECT_CANCEL = 0xd006;
/** An effect met another one. */
export const EFFECT_CONFLICT = 0xd007;

const SYSTEM_CATEGORY = 0x0;
const EFFECT_CATEGORY = 0xd;
const KIND_MAX = 0xffff;

const PUBLIC_RESERVED: ReadonlySet<number> = new Set([
  SYSTEM_INIT,
  SYSTEM_SHUTDOWN,
  SYSTEM_HEARTBEAT,
  SYSTEM_CONFIG_CHANGE,
  SYSTEM_CHECKPOINT,
  TOMBSTONE,
  EFFECT_ERROR,
  EFFECT_RETRY,
  EFFECT_ACK,
  EFFECT_BACKPRESSURE,
  EFFECT_CANCEL,
  EFFECT_CONFLICT,
]);

/** A kind in its two parts. */
export interface KindParts {
  /** 0 to 15. */
  readonly category: number;
  /** 0 to 4095. */
  readonly type: number;
}

/**
 * The kind of a category and a type.
 *
 * @example
 * kindOf({ category: 0xf, type: 1 }); // 0xf001
 * @throws RangeError `INVALID_ARGUMENT`
 */
export function kindOf(parts: KindParts): number {
  const { category, type } = parts;
  assertCategory(category, "make a kind");
  if (!Number.isInteger(type) || type < 0 || type > 0xfff) {
    throw outOfRange(`Cannot make a kind: the type is ${String(type)}, 0 to 4095 is allowed`);
  }
  return (category << 12) | type;
}

/** The category of a kind, 0 to 15. */
export function categoryOf(kind: number): number {
  return kind >>> 12;
}

/** Checks a category argument: an integer from 0 to 15. */
export function assertCategory(category: unknown, operation: string): asserts category is number {
  if (typeof category !== "number")
    throw invalidArgument(`Cannot ${operation}: the category is ${describeValue(category)}, 0 to 15 is allowed`);
  if (!Number.isInteger(category) || category < 0 || category > 15) {
    throw outOfRange(`Cannot ${operation}: the category is ${category}, 0 to 15 is allowed`);
  }
}

/** Checks any kind, the library's included: an integer from 0 to 65535. */
export function assertKind(kind: unknown, operation: string): asserts kind is number {
  if (typeof kind !== "number") {
    throw invalidArgument(`Cannot ${operation}: the kind is ${describeValue(kind)}, 0 to 65535 is allowed`);
  }
  if (!Number.isInteger(kind) || kind < 0 || kind > KIND_MAX) {
    throw outOfRange(`Cannot ${operation}: the kind is ${kind}, 0 to 65535 is allowed`);
  }
}

/** Whether users may append events of this kind. */
export function isPublicKind(kind: number): boolean {
  const category = kind >>> 12;
  return (category !== SYSTEM_CATEGORY && category !== EFFECT_CATEGORY) || PUBLIC_RESERVED.has(kind);
}

function hex(kind: number): string {
  return `0x${kind.toString(16).padStart(4, "0")}`;
}

/**
 * Checks a kind that a user wants to write.
 *
 * @throws TypeError or RangeError `INVALID_ARGUMENT`: no u16, or of a reserved category and none of its named constants
 */
export function assertPublicKind(kind: unknown, operation = "append"): asserts kind is number {
  assertKind(kind, operation);
  if (isPublicKind(kind)) return;
  const allowed = [...PUBLIC_RESERVED].map(hex).join(", ");
  throw invalidArgument(
    `Cannot ${operation}: the kind ${hex(kind)} is of a category that the library reserves, categories 0x1 to 0xC, 0xE and 0xF are allowed, and of its own ${allowed}`,
  );
}

/**
 * A kind argument, given as a number or in parts.
 *
 * @throws TypeError or RangeError `INVALID_ARGUMENT`
 */
export function publicKindOf(kind: number | KindParts, operation: string): number {
  const number = typeof kind === "object" && kind !== null ? kindOf(kind) : kind;
  assertPublicKind(number, operation);
  return number;
}
