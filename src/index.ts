/**
 * The door of the package: every name that users may import from `batpak`, each named here.
 * Whatever is not in this list may change without notice.
 */

export { isStoreError, StoreError } from "./base/store-error.ts";
export type { Place, StoreErrorCode, StoreErrorDetails } from "./base/store-error.ts";
