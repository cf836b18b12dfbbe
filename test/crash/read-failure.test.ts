/**
 * A disk that cannot be read while an append is judged. Found by the model test: the error left the queue through the event loop and ended
 * the process, when the append had waited for its turn; and the append stayed staged, to be stored later though its caller had been told
 * that it failed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "../../src/store.ts";
import { isStoreError } from "../../src/base/store-error.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

test("a frame that cannot be read while appends wait rejects those that needed it, and only those", async () => {
  const disk = new SimulatedDisk();
  const options = { segmentBytesMax: 4096, disk } as const;
  const coordinate = { entity: "entity", scope: "scope" };
  const event = (number: number) => ({ kind: 0x1000, data: { number, pad: "p".repeat(900) } });
  const writer = await Store.open("/store", options);
  for (let number = 0; number < 12; number++) await writer.append(coordinate, event(number), { idempotencyKey: `key:${number}` });
  await writer.close();
  const store = await Store.open("/store", options);
  disk.faults = ({ kind }) => (kind === "read" || kind === "open" ? { error: "EIO" } : undefined);
  // The first opens a new segment, so what follows waits for its turn.
  const results = await Promise.all([
    ...Array.from({ length: 8 }, (_, i) => store.append({ entity: "other", scope: "scope" }, event(100 + i))),
    ...[0, 1, 5].map((number) =>
      store.append(coordinate, event(number), { idempotencyKey: `key:${number}` }).catch((error: unknown) => error),
    ),
    ...Array.from({ length: 8 }, (_, i) => store.append({ entity: "other", scope: "scope" }, event(200 + i))),
  ]);
  disk.faults = undefined;
  const failed = results.filter((result) => result instanceof Error);
  assert.equal(failed.length, 3, "the three that had to be looked up fail, nobody else");
  for (const error of failed) assert.ok(isStoreError(error, "IO"), `an append rejected with ${String(error)}`);
  assert.equal(await store.count(), 12 + 16);
  const again = await store.append(coordinate, event(0), { idempotencyKey: "key:0" });
  assert.equal(again.sequence, 0, "the disk reads again, and so does the store");
  await store.close();
});
