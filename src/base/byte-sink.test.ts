/** Memory that grows with what is written. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GrowingSink } from "./byte-sink.ts";

test("what follows something long finds room without another copy of it", () => {
  const sink = new GrowingSink();
  const longBytes = 1_000_000;
  sink.grow(longBytes);
  sink.position = longBytes;
  assert.ok(sink.capacity - sink.position >= 1024);
  assert.ok(sink.capacity < longBytes * 1.1, "no more than it takes");
});

test("what was written stays where a sink grows, and many small writes copy it seldom", () => {
  const sink = new GrowingSink(16);
  let copies = 0;
  for (let value = 0; value < 100_000; value++) {
    if (sink.position === sink.capacity) {
      sink.grow(1);
      copies++;
    }
    sink.bytes[sink.position++] = value;
  }
  assert.deepEqual(
    sink.copy(),
    Uint8Array.from({ length: 100_000 }, (_, value) => value),
  );
  assert.ok(copies <= 10, `${copies} copies`);
});
