import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchTracker } from "./batch-tracker.ts";
import { decodeFrame, encodeFrame } from "./frame.ts";
import type { Frame } from "./frame.ts";
import { GrowingSink } from "../../base/byte-sink.ts";
import { batchMarker } from "./segment-builder.ts";

/**
 * Runs a log written as text: a word a segment; "/" ends a sealed one, "|" one that was not sealed. `B3` begins a batch of three (with id 1;
 * `B3#2` with id 2), `C` commits (id 1), "!" is damage, every other letter is an event. The answer: the events that count, "." after each whole commit.
 */
function run(log: string): string {
  let accepted = "";
  const dropped: string[] = [];
  const names: string[] = [];
  const tracker = new BatchTracker({
    accept: (handle, endsCommit) => void (accepted += names[handle] + (endsCommit ? "." : "")),
    drop: (handle) => void dropped.push(names[handle]),
  });
  for (const token of log.match(/B\d+(#\d+)?|C(#\d+)?|[a-z]|[/|!]/g) ?? []) {
    const id = Number(/#(\d+)/.exec(token)?.[1] ?? 1);
    if (token === "!") tracker.damage();
    else if (token === "/" || token === "|") tracker.endSegment(token === "/");
    else if (token.startsWith("B")) tracker.push(frame(6, Number(/\d+/.exec(token)?.[0]), id), -1);
    else if (token.startsWith("C")) tracker.push(frame(7, 0, id), -1);
    else tracker.push(frame(0x1000, 1, id), names.push(token) - 1);
  }
  tracker.end();
  assert.equal(accepted.replaceAll(".", "").length + dropped.length, names.length, "every event is decided once");
  assert.equal(tracker.idle, true);
  return accepted;
}

function frame(eventKind: number, size: number, id: number): Frame {
  const sink = new GrowingSink();
  const length = encodeFrame(sink, batchMarker(eventKind, size, id, 0, 0));
  const decoded = decodeFrame(sink.bytes, sink.view, 0, length);
  assert(decoded.kind === "ok");
  return decoded;
}

test("single appends and whole batches count", () => {
  assert.equal(run("aB2bcCd"), "a.bc.d.");
  assert.equal(run("B0Ca"), "a.");
  assert.equal(run("B1aCB1#5bC#5"), "a.b.");
});

test("defect 3: a batch across a rotation is whole, over as many segments as it takes", () => {
  assert.equal(run("aB3bc/dCe"), "a.bcd.e.");
  assert.equal(run("B3a/b/cC/d"), "abc.d.");
});

test("a batch is whole over a segment whose footer was lost", () => {
  assert.equal(run("aB3bc|dCe"), "a.bcd.e.");
});

test("a batch is whole over any number of segments whose footers were lost; where it is not, only its first segment's events are dropped", () => {
  assert.equal(run("B3a|b|cC|d"), "abc.d.");
  assert.equal(run("B3a/b|c|C|d"), "abc.d.");
  assert.equal(run("B3|a/b|cC"), "abc.");
  assert.equal(run("aB3b|c|d|e"), "a.c.d.e.");
  assert.equal(run("aB4b|c|d"), "a.c.d.");
  assert.equal(run("aB3b|c/d|B1#9eC#9"), "a.c.d.e.");
});

test("a batch without its COMMIT is dropped to the end of its segment", () => {
  assert.equal(run("aB3bc"), "a.");
  assert.equal(run("aB3bc|de"), "a.d.e.");
  assert.equal(run("aB3bc|dB1#9eC#9"), "a.d.e.");
});

test("a batch that a rotation cut and a crash ended is dropped on through the next segment, and no further", () => {
  assert.equal(run("aB4bc/d|ef"), "a.e.f.");
  assert.equal(run("aB4b/c/d|ef"), "a.e.f.");
});

test("defect 4: too many events, another BEGIN or another id: dropped to the segment's end, later ones count", () => {
  assert.equal(run("aB2bcdeC|f"), "a.f.");
  assert.equal(run("aB2bB1#3cC#3d|e"), "a.e.");
  assert.equal(run("aB2bcC#7d|e"), "a.e.");
  assert.equal(run("aB3bCcd|e"), "a.e.");
});

test("a batch that had failed before its segment was sealed was not going on at the rotation", () => {
  assert.equal(run("aB2bcdeC/f"), "a.f.");
});

test("a COMMIT by itself ends nothing", () => {
  assert.equal(run("aCbB1cC"), "a.b.c.");
});

test("what damage left of a batch counts if its end shows that it was whole; what comes behind it stands for itself", () => {
  assert.equal(run("aB3b!dCe/f"), "a.bd.e.f.");
  assert.equal(run("aB3bcd!e/f"), "a.bcd.e.f.");
  assert.equal(run("aB3bcd!"), "a.bcd.");
  assert.equal(run("aB2!Cd"), "a.d.");
  assert.equal(run("aB3b!C#2d"), "a.d.");
  assert.equal(run("aB3b!cB1#2dC#2e"), "a.d.e.");
  assert.equal(run("aB3b!c"), "a.");
  assert.equal(run("aB3b/!c|Cd"), "a.bc.d.");
  assert.equal(run("a!B3bcd"), "a.");
});
