/**
 * Times as options: dates and times as ISO 8601 has them, or milliseconds since 1970. Nothing else is guessed at: `compact` removes what is older.
 */
import { isRealDate } from "../base/calendar.ts";
import { UsageError } from "./exit-code.ts";

const DATE = /^\d{4}-\d\d-\d\d$/;
const DATE_AND_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?<zone>Z|[+-]\d\d:\d\d)?$/;
/** With fewer digits, a year or a date without hyphens is meant as likely. */
const MILLISECONDS = /^\d{9,16}$/;
const DAY_MS = 86_400_000;

/**
 * The milliseconds since 1970 of an option's time. Without a zone it is UTC, as times are printed.
 *
 * @param end whether it is the end of a range, where a date means all of that day
 */
export function timeOf(text: string, option: string, end = false): number {
  if (MILLISECONDS.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  const zone = DATE_AND_TIME.exec(text)?.groups?.["zone"];
  const isDate = DATE.test(text);
  const timeMs = isDate || DATE_AND_TIME.test(text) ? Date.parse(isDate || zone !== undefined ? text : `${text}Z`) : Number.NaN;
  if (Number.isNaN(timeMs) || !isRealDate(text)) {
    throw new UsageError(
      `Cannot use ${option} ${text}: ISO times that exist (2026-07-01, 2026-07-01T12:00:00Z) and milliseconds since 1970 of at least 9 digits are allowed`,
    );
  }
  return isDate && end ? timeMs + DAY_MS - 1 : timeMs;
}
