/**
 * What every `Disk` must do, as checks that need no test runner: run each with a fresh directory of the disk under test. A check throws
 * an `AssertionError` when the disk behaves otherwise.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Disk, DiskFile } from "../disk/disk.ts";
import { errorCode } from "../disk/system-error.ts";

/** One check of a disk; it rejects where the disk does not hold it. */
export interface DiskCheck {
  readonly name: string;
  /** `directory` exists and is empty. */
  readonly run: (disk: Disk, directory: string) => Promise<void>;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function rejectsWith(promise: Promise<unknown>, ...codes: string[]): Promise<void> {
  const outcome = await promise.then(
    () => "nothing",
    (error: unknown) => errorCode(error) ?? String(error),
  );
  assert.ok(codes.includes(outcome), `expected ${codes.join(" or ")}, got ${outcome}`);
}

function throwsWith(call: () => unknown, code: string): void {
  assert.throws(call, (error) => errorCode(error) === code);
}

async function withFile(disk: Disk, path: string, content: string, use?: (file: DiskFile) => Promise<void>): Promise<void> {
  const file = await disk.open(path, "create");
  try {
    await file.write(text(content), 0, text(content).length, 0, false);
    await use?.(file);
  } finally {
    await file.close();
  }
}

async function readText(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path, "read");
  try {
    const bytes = new Uint8Array(await file.size());
    assert.equal(await file.read(bytes, 0, bytes.length, 0), bytes.length);
    return new TextDecoder().decode(bytes);
  } finally {
    await file.close();
  }
}

/**
 * What every disk has to hold. Each check is given a directory of its own.
 *
 * @example
 * for (const { name, run } of diskContract) test(name, () => run(myDisk, newDirectory()));
 */
export const diskContract: readonly DiskCheck[] = [
  {
    name: "opening: create needs a free name, read and write need a file",
    run: async (disk, directory) => {
      const path = join(directory, "a");
      await rejectsWith(disk.open(path, "read"), "ENOENT");
      await rejectsWith(disk.open(path, "write"), "ENOENT");
      await rejectsWith(disk.open(join(directory, "missing", "a"), "create"), "ENOENT");
      throwsWith(() => disk.openSync(path), "ENOENT");
      await withFile(disk, path, "x");
      await rejectsWith(disk.open(path, "create"), "EEXIST");
      await rejectsWith(disk.open(directory, "create"), "EEXIST", "EISDIR");
      await rejectsWith(disk.open(directory, "write"), "EISDIR");
      await rejectsWith(disk.open(join(path, "b"), "read"), "ENOTDIR", "ENOENT");
    },
  },
  {
    name: "writing and reading: at any place, holes are zeros, reads stop at the end",
    run: async (disk, directory) => {
      const path = join(directory, "a");
      const file = await disk.open(path, "create");
      await file.write(text("..hello.."), 2, 5, 100_000, false);
      file.writeSync(text("begin"), 0, 5, 0);
      await file.write(text("durable"), 0, 7, 200_000, true);
      assert.equal(await file.size(), 200_007);
      assert.equal(file.sizeSync(), 200_007);
      const target = new Uint8Array(20).fill(1);
      assert.equal(await file.read(target, 3, 10, 99_997), 10);
      assert.deepEqual([...target.subarray(0, 16)], [1, 1, 1, 0, 0, 0, ...text("hello"), 0, 0, 1, 1, 1]);
      assert.equal(await file.read(target, 0, 20, 200_003), 4);
      assert.equal(file.readSync(target, 0, 20, 200_003), 4);
      assert.equal(new TextDecoder().decode(target.subarray(0, 4)), "able");
      assert.equal(await file.read(target, 0, 20, 300_000), 0);
      assert.equal(file.readSync(target, 0, 5, 0), 5);
      assert.equal(new TextDecoder().decode(target.subarray(0, 5)), "begin");
      await file.sync();
      await file.close();
      const reader = disk.openSync(path);
      assert.equal(reader.readSync(target, 0, 5, 100_000), 5);
      assert.equal(new TextDecoder().decode(target.subarray(0, 5)), "hello");
      reader.closeSync();
    },
  },
  {
    name: "many durable and plain writes at once all arrive",
    run: async (disk, directory) => {
      const file = await disk.open(join(directory, "a"), "create");
      const large = new Uint8Array((1 << 20) + 5).fill(7);
      const writes = [file.write(large, 0, large.length, 100, true)];
      for (let index = 0; index < 100; index += 1) writes.push(file.write(Uint8Array.of(index), 0, 1, index, index % 2 === 0));
      await Promise.all(writes);
      const target = new Uint8Array(large.length + 100);
      assert.equal(await file.read(target, 0, target.length, 0), target.length);
      for (let index = 0; index < 100; index += 1) assert.equal(target[index], index);
      assert.ok(target.subarray(100).every((byte) => byte === 7));
      await file.close();
    },
  },
  {
    name: "truncating: shorter and longer, growing fills with zeros",
    run: async (disk, directory) => {
      const path = join(directory, "a");
      await withFile(disk, path, "abcdefgh", async (file) => {
        await file.truncate(3);
        assert.equal(file.sizeSync(), 3);
        await file.truncate(6);
        await file.sync();
      });
      assert.equal(await readText(disk, path), "abc\0\0\0");
    },
  },
  {
    name: "a file opened for reading refuses to write; a closed one refuses everything",
    run: async (disk, directory) => {
      const path = join(directory, "a");
      await withFile(disk, path, "x");
      const reader = await disk.open(path, "read");
      await rejectsWith(reader.write(text("y"), 0, 1, 0, false), "EBADF", "EPERM");
      await rejectsWith(reader.write(text("y"), 0, 1, 0, true), "EBADF", "EPERM");
      await reader.close();
      await reader.close();
      reader.closeSync();
      const target = new Uint8Array(1);
      await rejectsWith(reader.read(target, 0, 1, 0), "EBADF");
      throwsWith(() => reader.readSync(target, 0, 1, 0), "EBADF");
      throwsWith(() => reader.sizeSync(), "EBADF");
      await rejectsWith(reader.size(), "EBADF");
      const writer = await disk.open(path, "write");
      writer.closeSync();
      await rejectsWith(writer.write(text("y"), 0, 1, 0, false), "EBADF");
      await rejectsWith(writer.write(text("y"), 0, 1, 0, true), "EBADF");
      throwsWith(() => writer.writeSync(text("y"), 0, 1, 0), "EBADF");
      await rejectsWith(writer.sync(), "EBADF");
      await rejectsWith(writer.truncate(0), "EBADF");
      await writer.close();
      assert.equal(await readText(disk, path), "x");
    },
  },
  {
    name: "closing waits for what is in flight",
    run: async (disk, directory) => {
      const path = join(directory, "a");
      const file = await disk.open(path, "create");
      const write = file.write(text("late"), 0, 4, 0, false);
      const close = file.close();
      await Promise.all([write, close]);
      assert.equal(await readText(disk, path), "late");
    },
  },
  {
    name: "listing and status",
    run: async (disk, directory) => {
      assert.deepEqual(await disk.list(directory), []);
      await withFile(disk, join(directory, "b"), "12345");
      await disk.makeDirectory(join(directory, "sub"));
      assert.deepEqual((await disk.list(directory)).sort(), ["b", "sub"]);
      await rejectsWith(disk.list(join(directory, "missing")), "ENOENT");
      await rejectsWith(disk.list(join(directory, "b")), "ENOTDIR", "ENOENT");
      assert.deepEqual(await disk.status(join(directory, "b")), { type: "file", size: 5 });
      assert.equal((await disk.status(join(directory, "sub")))?.type, "directory");
      assert.equal(await disk.status(join(directory, "missing")), null);
      assert.equal(await disk.status(join(directory, "missing", "x")), null);
      assert.equal(await disk.status(join(directory, "b", "x")), null);
    },
  },
  {
    name: "making directories: with parents, again, not over a file",
    run: async (disk, directory) => {
      const deep = join(directory, "x", "y", "z");
      await disk.makeDirectory(deep);
      await disk.makeDirectory(deep);
      assert.equal((await disk.status(deep))?.type, "directory");
      await withFile(disk, join(directory, "file"), "");
      await rejectsWith(disk.makeDirectory(join(directory, "file")), "EEXIST");
      await rejectsWith(disk.makeDirectory(join(directory, "file", "below")), "ENOTDIR", "ENOENT");
    },
  },
  {
    name: "renaming replaces; an open file follows its bytes, not its name",
    run: async (disk, directory) => {
      const [from, to] = [join(directory, "from"), join(directory, "to")];
      await withFile(disk, from, "new");
      await withFile(disk, to, "old");
      const old = await disk.open(to, "read");
      await disk.rename(from, to);
      await disk.syncDirectory(directory);
      assert.deepEqual(await disk.list(directory), ["to"]);
      assert.equal(await readText(disk, to), "new");
      const target = new Uint8Array(3);
      await old.read(target, 0, 3, 0);
      await old.close();
      assert.equal(new TextDecoder().decode(target), "old");
      await rejectsWith(disk.rename(from, to), "ENOENT");
    },
  },
  {
    name: "linking: a second name for the same bytes, never over another",
    run: async (disk, directory) => {
      const [one, two] = [join(directory, "one"), join(directory, "two")];
      await withFile(disk, one, "abc");
      await disk.link(one, two);
      const file = await disk.open(two, "write");
      await file.write(text("X"), 0, 1, 0, false);
      await file.close();
      assert.equal(await readText(disk, one), "Xbc");
      await rejectsWith(disk.link(one, two), "EEXIST");
      await rejectsWith(disk.link(join(directory, "missing"), join(directory, "three")), "ENOENT");
      await disk.remove(one);
      assert.equal(await readText(disk, two), "Xbc");
    },
  },
  {
    name: "removing",
    run: async (disk, directory) => {
      await withFile(disk, join(directory, "a"), "");
      await disk.remove(join(directory, "a"));
      assert.equal(await disk.status(join(directory, "a")), null);
      await rejectsWith(disk.remove(join(directory, "a")), "ENOENT");
      await disk.makeDirectory(join(directory, "sub"));
      await rejectsWith(disk.remove(join(directory, "sub")), "EISDIR", "EPERM");
      await rejectsWith(disk.syncDirectory(join(directory, "missing")), "ENOENT");
    },
  },
  {
    name: "kernel locks exclude a second handle, until released or closed",
    run: async (disk, directory) => {
      const path = join(directory, "lock");
      const one = await disk.open(path, "create");
      const two = await disk.open(path, "write");
      const first = await disk.lock(one);
      if (first !== "unsupported") {
        assert.ok(first !== null);
        assert.equal(await disk.lock(two), null);
        await first.release();
        const second = await disk.lock(two);
        assert.ok(second !== null && second !== "unsupported");
        assert.equal(await disk.lock(one), null);
        await two.close();
        await second.release();
        const third = await disk.lock(one);
        assert.ok(third !== null && third !== "unsupported");
      }
      await one.close();
      await two.close();
      await rejectsWith(disk.lock(one), "EBADF");
    },
  },
  {
    name: "knows itself to be alive, and impossible processes to be dead",
    run: async (disk) => {
      assert.equal(disk.isAlive(disk.self), true);
      assert.equal(disk.isAlive({ pid: 0, startTime: "", bootId: "" }), false);
      assert.equal(disk.isAlive({ pid: -1, startTime: "", bootId: "" }), false);
      assert.equal(disk.isAlive({ pid: 2 ** 40, startTime: "", bootId: "" }), false);
      assert.equal(disk.isAlive({ pid: 1.5, startTime: "", bootId: "" }), false);
      if (disk.self.bootId !== "") assert.equal(disk.isAlive({ ...disk.self, bootId: "another" }), false);
      if (disk.self.startTime !== "") assert.equal(disk.isAlive({ ...disk.self, startTime: `${disk.self.startTime}9` }), false);
    },
  },
];
