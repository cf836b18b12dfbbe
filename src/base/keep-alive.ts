/**
 * Keeps the process alive while somebody waits for what may come: the end of a loop that waits for events is not the end of its program. One timer
 * for all who wait, since most of them wait anew after each event.
 */
import { setInterval } from "./timers.ts";

/** The longest that a timer takes. */
const PERIOD_MS = 2 ** 31 - 1;

let waiting = 0;
let timer: NodeJS.Timeout | null = null;

/** Gives a function that ends it, to be called once. */
export function keepAlive(): () => void {
  timer ??= setInterval(() => {}, PERIOD_MS);
  if (waiting++ === 0) timer.ref();
  return () => {
    if (--waiting === 0) timer?.unref();
  };
}
