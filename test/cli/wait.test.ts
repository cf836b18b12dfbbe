/** The option `--wait` of verbs that take a lock. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lockWait } from "../../src/cli/open-directory.ts";
import { batpak } from "./run-cli.ts";

test("--wait takes seconds up to a day, and is named where it is refused", async () => {
  assert.deepEqual(
    [lockWait({}), lockWait({ wait: "0" }), lockWait({ wait: "86400" })],
    [{}, { lockWaitMs: 0 }, { lockWaitMs: 86_400_000 }],
  );
  for (const wait of ["86401", "-1", "1.5", "soon"])
    assert.throws(() => lockWait({ wait }), { name: "UsageError", message: /Cannot use --wait/ }, wait);
  const { code, err } = await batpak(["import", "nowhere", "-", "--create", "--wait", "90000"]);
  assert.equal(code, 2);
  assert.match(err, /Cannot use --wait 90000: up to 86400 seconds, a day, are allowed/);
});
