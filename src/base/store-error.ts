/**
 * Every way in which the store itself can fail, as one error type with a stable code.
 * A wrong argument is no `StoreError`: it is a `TypeError` or `RangeError` made by `invalidArgument` or `outOfRange`.
 * Each code has a heading in docs/errors.md.
 */

/** Where on disk something is wrong. */
export interface Place {
  readonly segmentId?: number;
  readonly offset?: number;
  readonly file?: string;
}

/** The details that each code carries. */
export interface StoreErrorDetails {
  CONFLICT: { entity: string; expected: unknown; actual: unknown };
  IDEMPOTENCY_MISMATCH: { entity: string; id: string; reason: string };
  INVALID_EVENT: { type: string | null; issues: readonly { message: string; path?: readonly PropertyKey[] }[] };
  PAYLOAD_UNSUPPORTED: { path: string; reason: string };
  TOO_LARGE: { what: string; bytes: number; bytesMax: number };
  LOCKED: { pid: number | null; since: Date | null; sameProcess: boolean };
  NOT_FOUND: { what: string };
  LAYOUT_MISMATCH: { found: string; asked: string };
  UNSUPPORTED_BY_LAYOUT: { layout: string; feature: string; line?: number };
  COMMIT_UNKNOWN: { firstSequence?: number; lastSequence?: number };
  POISONED: Record<never, never>;
  CLOSED: Record<never, never>;
  CORRUPT: Place & { reason: string; lost?: string };
  IO: { operation: string; path?: string; errno?: string };
  READ_ONLY: { operation: string };
  COMPACTED: { segmentId: number };
  STORE_REPLACED: { directory: string };
  INVALID_LINE: { line: number; reason: string };
  UNSUPPORTED_RUNTIME: { reason: string };
  POSITION_MISMATCH: { consumer: string; position: number; lastSequence: number; reason: string };
  NEWER_EVENT_VERSION: { type: string; storedVersion: number; knownVersion: number };
}

/** What went wrong: a heading of docs/errors.md each. */
export type StoreErrorCode = keyof StoreErrorDetails;

/**
 * Something went wrong in operation. Tell the cases apart by `code`; `details` is typed by it.
 *
 * @example
 * try { await store.append(order, OrderPlaced({ cents: 500 }), { expect: "none" }); }
 * catch (error) { if (isStoreError(error, "CONFLICT")) console.log(error.details.actual); else throw error; }
 */
export class StoreError<Code extends StoreErrorCode = StoreErrorCode> extends Error {
  override readonly name = "StoreError";
  /** What went wrong; its meaning never changes. */
  readonly code: Code;
  /** Typed by the code. */
  readonly details: StoreErrorDetails[Code];
  /** 412 on a `CONFLICT`, as HTTP's "precondition failed"; absent otherwise. */
  declare readonly errorCode?: number;

  constructor(code: Code, message: string, details: StoreErrorDetails[Code], options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.details = details;
    if (code === "CONFLICT") Object.defineProperty(this, "errorCode", { value: 412, enumerable: true });
  }
}

/** A `StoreError` of any code: asking for `code` tells what its `details` are. */
export type AnyStoreError = { [Code in StoreErrorCode]: StoreError<Code> }[StoreErrorCode];

/**
 * Whether `error` is a `StoreError`, with this code when one is given. Works across copies of the package and realms.
 *
 * @example
 * if (isStoreError(error, "LOCKED")) console.error(`held by process ${error.details.pid}`);
 */
export function isStoreError<Code extends StoreErrorCode>(error: unknown, code: Code): error is StoreError<Code>;
export function isStoreError(error: unknown): error is AnyStoreError;
export function isStoreError(error: unknown, code?: StoreErrorCode): boolean {
  return error instanceof Error && error.name === "StoreError" && "code" in error && (code === undefined || error.code === code);
}

/** A wrong argument: a `TypeError` with `code: "INVALID_ARGUMENT"`. Messages read `Cannot <do what>: <what is so>, <what is allowed>`. */
export function invalidArgument(message: string, options?: ErrorOptions): TypeError & { code: "INVALID_ARGUMENT" } {
  return Object.assign(new TypeError(message, options), { code: "INVALID_ARGUMENT" as const });
}

/** An argument outside its range: a `RangeError` with `code: "INVALID_ARGUMENT"`. */
export function outOfRange(message: string): RangeError & { code: "INVALID_ARGUMENT" } {
  return Object.assign(new RangeError(message), { code: "INVALID_ARGUMENT" as const });
}
