/** Checkpoints that are asked for: alone, together, and while a commit is in flight. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent, type } from "../../src/index.ts";
import { openMemoryStore } from "../../src/testing/memory-store.ts";

const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });
const at = { entity: "a", scope: "s" };

// Two at once on an idle store: the second met the first one's write, and waited for a commit that never came.
test("checkpoints asked for together are all written, with no append to wake them", { timeout: 10_000 }, async () => {
  const store = await openMemoryStore();
  await store.append(at, Noted({ n: 0 }));
  await Promise.all([store.checkpoint(), store.checkpoint(), store.checkpoint()]);
  assert.equal((await store.stats()).checkpoints, 3);
  await store.close();
});

test("a checkpoint asked for while a commit is in flight is written when it ends", { timeout: 10_000 }, async () => {
  const store = await openMemoryStore();
  const appended = Promise.all(Array.from({ length: 50 }, (_, n) => store.append(at, Noted({ n }))));
  await new Promise((resolve) => process.nextTick(resolve));
  await Promise.all([store.checkpoint(), store.checkpoint(), appended]);
  assert((await store.stats()).checkpoints > 0);
  await store.close();
});
