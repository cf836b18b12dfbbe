import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedLock } from "./shared-lock.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("what shares goes on side by side, what excludes goes on alone, and nobody overtakes", async () => {
  const lock = new SharedLock();
  const story: string[] = [];
  const step = (name: string) => async (): Promise<string> => {
    story.push(`${name} begins`);
    await turn();
    await turn();
    story.push(`${name} ends`);
    return name;
  };
  const all = [lock.share(step("a")), lock.share(step("b")), lock.exclude(step("c")), lock.share(step("d")), lock.exclude(step("e"))];
  assert.deepEqual(await Promise.all(all), ["a", "b", "c", "d", "e"]);
  assert.deepEqual(story, ["a begins", "b begins", "a ends", "b ends", "c begins", "c ends", "d begins", "d ends", "e begins", "e ends"]);
});

test("whoever gives up waiting lets the others in, and what fails lets go", async () => {
  const lock = new SharedLock();
  const controller = new AbortController();
  const long = lock.share(async () => {
    for (let i = 0; i < 4; i++) await turn();
  });
  const alone = lock.exclude(() => Promise.resolve(), controller.signal);
  const beside = lock.share(() => Promise.reject(new Error("failed")));
  controller.abort(new Error("no longer"));
  await assert.rejects(alone, { message: "no longer" });
  await assert.rejects(beside, { message: "failed" });
  await long;
  assert.equal(await lock.exclude(() => Promise.resolve(1)), 1);
  await assert.rejects(
    lock.share(() => Promise.resolve(), controller.signal),
    { message: "no longer" },
  );
});
