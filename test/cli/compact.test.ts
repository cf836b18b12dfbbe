/** `batpak compact` and `batpak snapshot` on a real store. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
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

test("compact says what it would do, does it with --yes, and a snapshot of the result is whole", async () => {
  const directory = mkdtempSync(join(tmpdir(), "batpak-compact-"));
  const store = await Store.open(join(directory, "store"), { segmentBytesMax: 4096 });
  for (let n = 0; n < 60; n++) await store.append({ entity: `e:${n % 2}`, scope: "s" }, Noted({ n }));
  await store.close();
  const path = join(directory, "store");
  assert.equal(batpak("compact", path).status, 2, "nothing says what goes");
  for (const time of ["never", "last 5", "2025", "2026-02-31"])
    assert.equal(batpak("compact", path, "--keep-newer-than", time).status, 2, time);
  const planned = batpak("compact", path, "--keep-last", "5");
  assert.equal(planned.status, 1, planned.stderr);
  assert.match(planned.stdout, /would {2}write segments 1 to \d+ anew without \d+ events/);
  const [done] = batpak("compact", path, "--keep-last", "5", "--yes", "--json").stdout.split("\n");
  const { removedEvents, applied } = JSON.parse(done as string) as { removedEvents: number; applied: boolean };
  assert.ok(applied && removedEvents > 20);
  const copied = batpak("snapshot", path, join(directory, "copy"));
  assert.equal(copied.status, 0, copied.stderr);
  assert.match(copied.stdout, new RegExp(`has ${60 - removedEvents} events; the next sequence is 60`));
  assert.equal(batpak("snapshot", path, join(directory, "copy")).status, 2, "the target is not empty");
  for (const name of ["store", "copy"]) {
    const opened = await Store.open(join(directory, name), { readOnly: true });
    assert.equal(await opened.count(), 60 - removedEvents);
    const { problems, removed } = await opened.verify();
    assert.deepEqual({ problems, removed }, { problems: [], removed: removedEvents });
    await opened.close();
  }
  rmSync(directory, { recursive: true });
});
