/** Dates that exist: `Date` takes 30 February for 1 March. */

/** Whether the day at the beginning of an ISO date, `YYYY-MM-DD` or with six digits and a sign for the year, is one of its month. */
export function isRealDate(isoText: string): boolean {
  const [, year, month, day] = /^([+-]?\d+)-(\d\d)-(\d\d)/.exec(isoText) ?? [];
  // The day before the next month's first; years repeat after 400.
  const last = new Date(Date.UTC(2000 + (Number(year) % 400), Number(month), 0));
  return Number(month) >= 1 && Number(month) <= 12 && Number(day) >= 1 && Number(day) <= last.getUTCDate();
}
