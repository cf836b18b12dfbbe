/** A frame ends in its scope, which users choose: one that looks like a footer's trailer takes no event away, and is no damage. */
import assert from "node:assert/strict";
import { cpSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { rawEvent, Store } from "../../src/index.ts";
import { newDirectory } from "../support/new-directory.ts";

/** What a kill would leave of a store that is open. */
function killed(directory: string): string {
  const copy = newDirectory();
  cpSync(directory, copy, { recursive: true });
  rmSync(join(copy, "lock"), { force: true });
  return copy;
}

function trailer(tableOffset: number): string {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(BigInt(tableOffset));
  bytes.write("SIDX", 12, "latin1");
  return bytes.toString("latin1");
}

test("a scope that claims that the frames end at the checkpoint takes nothing away", async () => {
  const directory = newDirectory();
  const sizeNow = (): number => statSync(join(directory, "000001.fbat")).size;
  const store = await Store.open(directory, { layout: "batpak-0.3" });
  let events = 0;
  // As long as a byte of the size would not be a character of one byte.
  do await store.append({ entity: "e", scope: "s" }, rawEvent(0xf001, { n: events++ }));
  while ((sizeNow() & 0x80) !== 0);
  await store.checkpoint();
  const { durable } = await store.append({ entity: "e", scope: trailer(sizeNow()) }, rawEvent(0xf001, { n: events++ }));
  assert.equal(durable, true);
  const copy = killed(directory);
  await store.close();
  for (const readOnly of [true, false]) {
    const again = await Store.open(copy, { readOnly });
    assert.deepEqual([again.openReport.route, again.openReport.cut, again.openReport.reasons], ["checkpoint", null, []]);
    assert.deepEqual(
      (await again.read().toArray()).map((event) => event.data),
      Array.from({ length: events }, (_, n) => ({ n })),
    );
    assert.deepEqual((await again.verify()).problems, []);
    await again.close();
  }
});

test("scopes that end like a footer are no footer that cannot be used", async () => {
  // One leads to an array's header within the frame itself.
  for (const scope of ["SIDX", "POSIDX", trailer(0), trailer(57), `\u0410${trailer(60)}`, trailer(2 ** 40)]) {
    const directory = newDirectory();
    const store = await Store.open(directory, { layout: "batpak-0.3" });
    await store.append({ entity: "e", scope }, rawEvent(0xf001, { list: [1, 2, 3] }));
    assert.deepEqual((await store.verify()).problems, [], JSON.stringify(scope));
    const copy = killed(directory);
    await store.close();
    const again = await Store.open(copy, { readOnly: true });
    assert.equal(await again.count(), 1);
    assert.deepEqual((await again.verify()).problems, [], JSON.stringify(scope));
    assert.ok(!again.openReport.reasons.join().includes("footer of segment"), again.openReport.reasons.join());
    await again.close();
  }
});
