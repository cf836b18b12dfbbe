/** `batpak repair` on a real store. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { defineEvent, type } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { program, programArguments } from "./run-cli.ts";

const batpak = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
  const { status, stdout, stderr } = spawnSync(program, [...programArguments, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
};
const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });

test("repair lists, refuses without a yes, repairs with it, and the store goes on", async () => {
  const directory = mkdtempSync(join(tmpdir(), "batpak-repair-"));
  const store = await Store.open(directory);
  for (let n = 0; n < 20; n++) await store.append({ entity: "a", scope: "s" }, Noted({ n }));
  await store.close();
  assert.match(batpak("repair", directory).stdout, /Nothing is damaged/);
  const path = join(directory, "000001.fbat");
  const bytes = readFileSync(path);
  bytes[1000] ^= 1;
  writeFileSync(path, bytes);
  const listed = batpak("repair", directory);
  assert.equal(listed.status, 1);
  assert.match(listed.stdout, /would {2}write 000001\.fbat anew/);
  const repaired = batpak("repair", directory, "--yes");
  assert.equal(repaired.status, 0, repaired.stderr);
  assert.match(repaired.stdout, /copied in damaged-/);
  const again = await Store.open(directory);
  assert.equal(await again.count(), 19);
  await again.append({ entity: "a", scope: "s" }, Noted({ n: 20 }));
  await again.close();
  rmSync(directory, { recursive: true });
});
