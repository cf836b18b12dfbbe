import assert from "node:assert/strict";
import { test } from "node:test";
import { filterOf } from "./filters.ts";
import { timeOf } from "./times.ts";

test("times are ISO 8601 or milliseconds, and nothing that only looks like one", () => {
  const right: [string, number][] = [
    ["2026-07-01", Date.UTC(2026, 6, 1)],
    ["2024-02-29", Date.UTC(2024, 1, 29)],
    ["2026-07-01T12:30", Date.UTC(2026, 6, 1, 12, 30)],
    ["2026-07-01T12:30:05.25Z", Date.UTC(2026, 6, 1, 12, 30, 5, 250)],
    ["2026-07-01T12:30:05+02:00", Date.UTC(2026, 6, 1, 10, 30, 5)],
    ["1700000000000", 1_700_000_000_000],
    ["100000000", 100_000_000],
  ];
  for (const [text, timeMs] of right) assert.equal(timeOf(text, "--time"), timeMs, text);
  const wrong =
    "last 5|-1|2025|20260701|2026-07|2026-07-01 junk|2026-7-1|2026-02-31|2024-02-30|2025-02-29|2026-13-01|2026-00-10|2026-01-00|2026-07-01T25:00|2026-07-01T12|2026-07-01T12:61|2026-07-01T12:00+25:00|2026-07-01 12:00|99999999999999999|now|";
  for (const text of wrong.split("|"))
    assert.throws(() => timeOf(text, "--time"), { name: "UsageError", message: /^Cannot use --time .*ISO times.* are allowed$/ }, text);
});

test("a date that ends a range is all of that day", () => {
  const [from, to] = [Date.UTC(2026, 10, 30), Date.UTC(2026, 11, 1) - 1];
  assert.deepEqual(filterOf({ time: "2026-11-30" }).time, { from, to });
  assert.deepEqual(filterOf({ time: "2026-11-30..2026-11-30" }).time, { from, to });
  assert.deepEqual(filterOf({ time: "..2026-11-30" }).time, { to });
  assert.deepEqual(filterOf({ time: "2026-11-30.." }).time, { from });
  assert.deepEqual(filterOf({ time: "2026-11-30T00:00..2026-11-30T10:00" }).time, { from, to: from + 10 * 3_600_000 });
});
