import assert from "node:assert/strict";
import { test } from "node:test";
import { CheckpointSchedule, type ScheduleInput } from "./schedule.ts";

function scheduleOf(input: Partial<ScheduleInput> = {}): CheckpointSchedule {
  return new CheckpointSchedule({
    everyEvents: 100,
    stretches: true,
    events: 0,
    bytes: 0,
    required: false,
    entityCount: () => 5,
    ...input,
  });
}

/** How many events more make one due. */
function eventsLeft(schedule: CheckpointSchedule): number {
  let events = 0;
  for (; !schedule.isDue; events++) schedule.note(1, 100, false);
  return events;
}

test("due after so many events, those counted that opening took up", () => {
  assert.equal(eventsLeft(scheduleOf()), 100);
  const schedule = scheduleOf({ events: 30 });
  assert.equal(eventsLeft(schedule), 70);
  schedule.begun();
  assert.equal(schedule.isDueAtClose, false);
  assert.equal(eventsLeft(schedule), 100);
});

test("begun earlier by what came while the last one was written, a quarter at most", () => {
  for (const [meanwhile, left] of [
    [10, 80],
    [25, 50],
    [40, 35],
  ]) {
    const schedule = scheduleOf();
    schedule.begun();
    schedule.note(meanwhile, 100, true);
    assert.equal(eventsLeft(schedule), left, `${meanwhile} came`);
  }
});

test("those of many entities are further apart, unless it was said how often", () => {
  const many = { entityCount: () => 2000 };
  assert.equal(eventsLeft(scheduleOf(many)), 500);
  assert.equal(eventsLeft(scheduleOf({ ...many, stretches: false })), 100);
});

test("an index block makes one due, but not before half of its events", () => {
  for (const [schedule, events] of [
    [scheduleOf(), 50],
    [scheduleOf({ stretches: false }), 50],
    [scheduleOf({ entityCount: () => 2000 }), 250],
  ] as const) {
    schedule.note(events - 1, 100, false);
    schedule.noteBlock();
    assert.equal(schedule.isDue, false, `${events - 1} events`);
    schedule.note(1, 100, false);
    schedule.noteBlock();
    assert.ok(schedule.isDue, `${events} events`);
  }
});

test("an index block makes one due at close, whatever came since the last", () => {
  const schedule = scheduleOf();
  assert.equal(schedule.isDueAtClose, false);
  schedule.noteBlock();
  assert.deepEqual([schedule.isDue, schedule.isDueAtClose], [false, true]);
  schedule.begun();
  assert.equal(schedule.isDueAtClose, false);
});

test("what is required is due with the next event, and never where checkpoints are switched off", () => {
  const schedule = scheduleOf({ required: true });
  assert.ok(schedule.isDue && schedule.isRequired && schedule.isDueAtClose);
  schedule.begun();
  assert.ok(!schedule.isDue && !schedule.isRequired && !schedule.isDueAtClose);
  schedule.require();
  assert.ok(schedule.isDue);
  const off = scheduleOf({ everyEvents: null, required: true });
  off.note(1_000_000, 100, false);
  off.noteBlock();
  assert.equal(off.isDue, false);
});

test("at close one is due for more than a few events, for any where it was said how often, and never where they are switched off", () => {
  const due = (events: number, input: Partial<ScheduleInput> = {}): boolean => scheduleOf({ events, ...input }).isDueAtClose;
  assert.equal(due(64), false);
  assert.equal(due(65), true);
  assert.equal(due(164, { entityCount: () => 25_600 }), false);
  assert.equal(due(165, { entityCount: () => 25_600 }), true);
  assert.equal(due(0, { stretches: false }), false);
  assert.equal(due(1, { stretches: false }), true);
  assert.equal(due(1000, { everyEvents: null, required: true }), false);
  assert.equal(due(3, { bytes: 64 * 4096 }), false);
  assert.equal(due(3, { bytes: 65 * 4096 }), true);
});
