/** The generated binary is that of the sources as they stand, however often it is built. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { kernelBinary } from "./kernel-binary.ts";

const script = fileURLToPath(new URL("../../scripts/build-kernel.mjs", import.meta.url));

async function build(): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [script, "--stdout"]);
  return stdout;
}

test("the kernel's binary is reproducible and up to date", async () => {
  const first = await build();
  assert.equal(await build(), first);
  assert.equal(kernelBinary, first, "src/kernel/kernel-binary.ts is stale: run npm run build:kernel");
});
