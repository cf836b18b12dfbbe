import assert from "node:assert/strict";
import { test } from "node:test";
import { LateClosing } from "./late-closing.ts";
import { systemError } from "./system-error.ts";

const noneLeft = (): never => {
  throw systemError("EMFILE", "open");
};

test("descriptors are closed one at a time, in their order, and those that wait at once where one is needed", async () => {
  const calls: string[] = [];
  let end: (error: Error | null) => void = () => {};
  const closing = new LateClosing(
    (descriptor, done) => {
      calls.push(`close ${descriptor}`);
      end = done;
    },
    (descriptor) => {
      calls.push(`closeSync ${descriptor}`);
      if (descriptor === 3) throw new Error("EIO");
    },
  );
  for (const descriptor of [1, 2, 3, 4]) closing.close(descriptor, (error) => calls.push(`done ${descriptor} ${error?.message ?? ""}`));
  assert.deepEqual(calls.splice(0), ["close 1"]);
  const taken = closing.atOnce(() => (calls.includes("done 3 EIO") ? "taken" : noneLeft()));
  assert.equal(taken, "taken");
  assert.deepEqual(calls.splice(0), ["closeSync 2", "done 2 ", "closeSync 3", "done 3 EIO"]);
  end(null);
  assert.deepEqual(calls.splice(0), ["close 4", "done 1 "]);
  assert.throws(() => closing.atOnce(noneLeft), "the last one is under way");
  const later = closing.later(async () => (calls.includes("done 4 ") ? "taken" : noneLeft()));
  await Promise.resolve();
  end(null);
  assert.equal(await later, "taken", "one that does not block waits for it");
  assert.deepEqual(calls.splice(0), ["done 4 "]);
  await assert.rejects(closing.later(async () => noneLeft()));
  closing.close(5, () => {});
  assert.deepEqual(calls, ["close 5"]);
  let attempts = 0;
  // Closed while the refusal is on its way.
  const refused = async (): Promise<string> => {
    if (attempts++ > 0) return "taken";
    end(null);
    return noneLeft();
  };
  assert.equal(await closing.later(refused), "taken");
  await assert.rejects(
    closing.later(async () => {
      throw systemError("EIO", "open");
    }),
  );
});
