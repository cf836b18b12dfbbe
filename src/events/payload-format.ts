/**
 * What payload encoder and decoder agree on beyond MessagePack itself.
 *
 * - A bigint of 64 bits that no number holds exactly is MessagePack's own integer. Any other is extension type 110 ("n"): its two's complement,
 *   big-endian, in as few bytes as hold it (at least one).
 * - A Date is the timestamp extension of the MessagePack specification (type -1) in its shortest form.
 */
export const BIGINT_EXTENSION = 110;
export const TIMESTAMP_EXTENSION = -1;

/** Most arrays and objects inside one another, the outermost included. */
export const DEPTH_MAX = 100;

/** The greatest distance from 1970 that a Date can hold, in milliseconds. */
export const DATE_MS_MAX = 8.64e15;

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A path such as `$.items[3].price`, from the keys and indexes that lead there. */
export function formatPath(steps: readonly (string | number)[]): string {
  let path = "$";
  for (const step of steps) {
    if (typeof step === "number") path += `[${step}]`;
    else path += IDENTIFIER.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
  }
  return path;
}
