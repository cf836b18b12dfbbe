/** Errors of the file system as errors of the store, for whoever stands above a disk. */
import { StoreError } from "../base/store-error.ts";
import { errorCode } from "./system-error.ts";

/** What a disk threw, as the store's `IO` error: says what was being done to which file, and carries the disk's error as its cause. */
export function ioError(operation: string, path: string, cause: unknown): StoreError<"IO"> {
  const errno = errorCode(cause);
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StoreError(
    "IO",
    `Cannot ${operation} "${path}": ${reason}`,
    { operation, path, ...(errno === undefined ? {} : { errno }) },
    { cause },
  );
}
