import assert from "node:assert/strict";
import { test } from "node:test";
import { LateClosing } from "./late-closing.ts";

test("descriptors are closed one at a time, in their order, and those that wait at once where one is needed", () => {
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
  assert.equal(closing.closeOne(), true);
  assert.equal(closing.closeOne(), true);
  assert.deepEqual(calls.splice(0), ["closeSync 2", "done 2 ", "closeSync 3", "done 3 EIO"]);
  end(null);
  assert.deepEqual(calls.splice(0), ["close 4", "done 1 "]);
  assert.equal(closing.closeOne(), false, "the last one is under way");
  end(null);
  assert.deepEqual(calls.splice(0), ["done 4 "]);
  closing.close(5, () => {});
  assert.deepEqual(calls, ["close 5"]);
});
