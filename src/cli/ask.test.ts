import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { agreed } from "./ask.ts";
import { Interrupted } from "./exit-code.ts";

/** A terminal at which somebody types this. */
function terminal(typed: string, ends: boolean) {
  const input = Object.assign(new PassThrough(), { isTTY: true });
  const output = Object.assign(new PassThrough(), { isTTY: true });
  input.write(typed);
  if (ends) input.end();
  return { input, output };
}

test("y and yes agree; anything else, the end of the input and no terminal do not", async () => {
  const answers: [string, boolean, boolean][] = [
    ["y\n", false, true],
    ["YES \n", false, true],
    ["n\n", false, false],
    ["\n", false, false],
    ["yesterday\n", false, false],
    ["", true, false],
    // Ctrl-D
    ["\u0004", false, false],
  ];
  for (const [typed, ends, wanted] of answers) assert.equal(await agreed("Do this?", terminal(typed, ends)), wanted, JSON.stringify(typed));
  assert.equal(await agreed("Do this?", { ...terminal("y\n", true), output: new PassThrough() }), false);
});

test("Ctrl-C says that nothing was changed", async () => {
  await assert.rejects(agreed("Do this?", terminal("\u0003", false)), (error) => {
    assert.ok(error instanceof Interrupted);
    assert.equal(error.message, "Nothing was changed");
    return true;
  });
});
