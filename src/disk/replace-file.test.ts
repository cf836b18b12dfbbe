import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { isStoreError } from "../base/store-error.ts";
import { createMemoryDisk } from "../testing/memory-disk.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";
import type { Disk } from "./disk.ts";
import { nodeDisk } from "./node-disk.ts";
import { isTemporaryName, replaceFile } from "./replace-file.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function contentOf(disk: Disk, path: string): Promise<string> {
  const file = disk.openSync(path);
  const bytes = new Uint8Array(file.sizeSync());
  file.readSync(bytes, 0, bytes.length, 0);
  await file.close();
  return new TextDecoder().decode(bytes);
}

describe("replaceFile", () => {
  it("makes and replaces a file, from one piece or many, and leaves nothing beside it", async () => {
    const disk = createMemoryDisk();
    await disk.makeDirectory("/d");
    await replaceFile(disk, "/d", "f", text("one"));
    assert.equal(await contentOf(disk, "/d/f"), "one");
    await replaceFile(disk, "/d", "f", [text("t"), text(""), text("wo")]);
    assert.equal(await contentOf(disk, "/d/f"), "two");
    await replaceFile(
      disk,
      "/d",
      "f",
      (async function* () {
        yield text("thr");
        yield text("ee");
      })(),
    );
    assert.equal(await contentOf(disk, "/d/f"), "three");
    assert.deepEqual(await disk.list("/d"), ["f"]);
  });

  it("writes a list of pieces of any size, one behind the other", async () => {
    const disk = createMemoryDisk();
    await disk.makeDirectory("/d");
    const pieces = [0, 10, 300_000, 0, 7, 1_000_000, 200_000, 100_000, 5, 400_000, 3].map((length, i) =>
      new Uint8Array(length).map((_, place) => (place * 7 + i) & 0xff),
    );
    await replaceFile(disk, "/d", "f", pieces);
    const file = disk.openSync("/d/f");
    const bytes = new Uint8Array(file.sizeSync());
    file.readSync(bytes, 0, bytes.length, 0);
    await file.close();
    assert.equal(Buffer.compare(bytes, Buffer.concat(pieces)), 0);
  });

  it("closes the file of a list only when nothing is being written to it any more, and keeps the old one where a write fails", async () => {
    const disk = new SimulatedDisk();
    await disk.makeDirectory("/d");
    await replaceFile(disk, "/d", "f", text("old"));
    let under = 0;
    let writes = 0;
    let closedAt = -1;
    const file = {
      async write(): Promise<void> {
        under++;
        const number = writes++;
        await new Promise((resolve) => setTimeout(resolve, number === 1 ? 1 : 20));
        under--;
        if (number === 1) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
      },
      close(): Promise<void> {
        closedAt = under;
        return Promise.resolve();
      },
    };
    const slow = new Proxy(disk, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (name === "open") return () => Promise.resolve(file);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
    const pieces = Array.from({ length: 20 }, () => new Uint8Array(300_000));
    await assert.rejects(replaceFile(slow, "/d", "f", pieces), (error) => isStoreError(error, "IO"));
    assert.equal(closedAt, 0, "nothing was under way");
    assert.equal(writes, 3, "nothing is begun after one has failed");
    assert.equal(await contentOf(disk, "/d/f"), "old");
    assert.deepEqual(await disk.list("/d"), ["f"]);
  });

  it("steps over the temporary file of an earlier crash, whose name is told apart", async () => {
    const disk = createMemoryDisk();
    await disk.makeDirectory("/d");
    const leftover = `f.${disk.self.pid}-0.tmp`;
    await (await disk.open(join("/d", leftover), "create")).close();
    await replaceFile(disk, "/d", "f", text("x"));
    assert.deepEqual((await disk.list("/d")).sort(), ["f", leftover].sort());
    assert.equal(isTemporaryName(leftover), true);
    for (const name of ["f", "000001.fbat", "index.ckpt", "lock", "x.tmp", ".1-2.tmp"]) assert.equal(isTemporaryName(name), false, name);
  });

  it("refuses a symbolic link, and leaves its target alone", { skip: process.platform === "win32" }, async () => {
    const directory = mkdtempSync(join(tmpdir(), "batpak-replace-"));
    try {
      writeFileSync(join(directory, "target"), "precious");
      symlinkSync(join(directory, "target"), join(directory, "f"));
      await assert.rejects(replaceFile(nodeDisk, directory, "f", text("x")), (error) => isStoreError(error, "IO"));
      assert.equal(readFileSync(join(directory, "target"), "utf8"), "precious");
      assert.deepEqual((await nodeDisk.list(directory)).sort(), ["f", "target"]);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  for (const kind of ["create", "write", "sync", "rename", "syncDirectory"] as const) {
    it(`fails whole when ${kind} fails: IO, the old or the new bytes, no temporary file`, async () => {
      const disk = new SimulatedDisk();
      await disk.makeDirectory("/d");
      await replaceFile(disk, "/d", "f", text("old"));
      disk.faults = (operation) => (operation.kind === kind ? { error: "EIO" } : undefined);
      await assert.rejects(
        replaceFile(disk, "/d", "f", text("new")),
        (error) => isStoreError(error, "IO") && error.details.errno === "EIO",
      );
      disk.faults = undefined;
      assert.equal(await contentOf(disk, "/d/f"), kind === "syncDirectory" ? "new" : "old");
      assert.deepEqual(await disk.list("/d"), ["f"]);
    });
  }

  it("after a crash at any operation the file holds the old bytes or the new ones; once it resolved, the new ones", async () => {
    let states = 0;
    for (let crashAt = 1; ; crashAt += 1) {
      const disk = new SimulatedDisk();
      await disk.makeDirectory("/d");
      await replaceFile(disk, "/d", "f", text("old ".repeat(300)));
      disk.crashDuring(disk.operationCount + crashAt);
      const resolved = await replaceFile(disk, "/d", "f", text("new ".repeat(400))).then(
        () => true,
        () => false,
      );
      for (const left of disk.possibleDisks({ limit: 300, seed: crashAt })) {
        states += 1;
        const content = await contentOf(left, "/d/f");
        assert.ok(
          content === "new ".repeat(400) || (!resolved && content === "old ".repeat(300)),
          `crash at ${crashAt}: ${content.slice(0, 20)}`,
        );
        assert.ok((await left.list("/d")).every((name) => name === "f" || isTemporaryName(name)));
      }
      if (!disk.crashed) break;
    }
    assert.ok(states > 40, `${states} states`);
  });
});
