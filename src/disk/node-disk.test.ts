import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs, {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { createNodeDisk, nodeDisk } from "./node-disk.ts";
import { hasEnded, parseProcessStat } from "./process-stat.ts";

const directory = mkdtempSync(join(tmpdir(), "batpak-node-disk-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const onLinux = process.platform === "linux";

describe("node disk", () => {
  it("makes files 0600 and directories 0700", { skip: process.platform === "win32" }, async () => {
    const deep = join(directory, "one", "two");
    await nodeDisk.makeDirectory(deep);
    await (await nodeDisk.open(join(deep, "file"), "create")).close();
    assert.equal(statSync(join(deep, "file")).mode & 0o777, 0o600);
    assert.equal(statSync(deep).mode & 0o777, 0o700);
    assert.equal(statSync(join(directory, "one")).mode & 0o777, 0o700);
  });

  it("does not follow a symbolic link when creating or asking for status, and does when reading", {
    skip: process.platform === "win32",
  }, async () => {
    writeFileSync(join(directory, "target"), "bytes");
    symlinkSync(join(directory, "target"), join(directory, "link"));
    symlinkSync(join(directory, "nowhere"), join(directory, "dangling"));
    await assert.rejects(nodeDisk.open(join(directory, "dangling"), "create"), { code: "EEXIST" });
    assert.equal(existsSync(join(directory, "nowhere")), false);
    assert.equal((await nodeDisk.status(join(directory, "link")))?.type, "symlink");
    const file = await nodeDisk.open(join(directory, "link"), "read");
    assert.equal(await file.size(), 5);
    await file.close();
  });

  it("tells of writes to a file by whatever descriptor, and of none after it was asked to stop", { skip: !onLinux }, async () => {
    const path = join(directory, "watched");
    const file = await nodeDisk.open(path, "create");
    let changed = 0;
    const unwatch = nodeDisk.watch?.(path, () => changed++);
    assert(unwatch !== undefined && unwatch !== null);
    file.writeSync(new Uint8Array([1, 2, 3]), 0, 3, 0);
    while (changed === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    unwatch();
    const told = changed;
    file.writeSync(new Uint8Array([4, 5, 6]), 0, 3, 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(changed, told);
    await file.close();
    assert.equal(
      nodeDisk.watch?.(join(directory, "absent"), () => {}),
      null,
    );
    const gone = new Promise<void>((resolve) => nodeDisk.watch?.(path, (isGone) => isGone && resolve()));
    rmSync(path);
    while (!(await Promise.race([gone.then(() => true), new Promise<boolean>((resolve) => setTimeout(resolve, 1, false))])));
  });

  it("writes durably through a second descriptor of the same file, also after it was renamed", { skip: !onLinux }, async () => {
    const path = join(directory, "durable");
    const file = await nodeDisk.open(path, "create");
    await nodeDisk.rename(path, join(directory, "renamed"));
    writeFileSync(path, "a stranger under the old name");
    await file.write(new TextEncoder().encode("mine"), 0, 4, 0, true);
    const synchronous = descriptors().filter((line) => (flagsOf(line) & 0o10000) !== 0);
    assert.equal(synchronous.length, 1, "a descriptor with O_DSYNC is open");
    await file.close();
    assert.equal(readFileSync(join(directory, "renamed"), "utf8"), "mine");
    assert.equal(readFileSync(path, "utf8"), "a stranger under the old name");
    assert.equal(descriptors().filter((line) => (flagsOf(line) & 0o10000) !== 0).length, 0, "and closed with the file");
  });

  it("goes on where the system wrote or read less than it was asked to", async (context) => {
    let calls = 0;
    for (const name of ["read", "write", "readSync", "writeSync"] as const) {
      const whole = fs[name] as (...given: unknown[]) => unknown;
      context.mock.method(fs, name, (descriptor: number, bytes: Uint8Array, offset: number, length: number, ...rest: unknown[]) => {
        calls++;
        return whole(descriptor, bytes, offset, Math.min(length, 700), ...rest);
      });
    }
    syncBuiltinESMExports();
    const bytes = Uint8Array.from({ length: 6000 }, (_, i) => (i * 7) % 251);
    const file = await nodeDisk.open(join(directory, "short"), "create");
    await file.write(bytes, 0, 2000, 0, false);
    await file.write(bytes, 2000, 2000, 2000, true);
    file.writeSync(bytes, 4000, 2000, 4000);
    const found = new Uint8Array(6100);
    assert.equal(await file.read(found, 50, 6050, 0), 6000);
    assert.deepEqual(found.subarray(50, 6050), bytes);
    found.fill(0);
    assert.equal(file.readSync(found, 0, 6100, 0), 6000);
    assert.deepEqual(found.subarray(0, 6000), bytes);
    await file.close();
    context.mock.restoreAll();
    syncBuiltinESMExports();
    assert.ok(calls >= 27, `${calls} calls`);
  });

  it("closes a large file that lost its name beside the event loop: that may have to give its space back", {
    skip: !onLinux,
  }, async (context) => {
    const closings: string[] = [];
    for (const name of ["close", "closeSync"] as const) {
      const plain = fs[name] as (...given: unknown[]) => unknown;
      context.mock.method(fs, name, (...given: unknown[]) => {
        closings.push(name);
        return plain(...given);
      });
    }
    syncBuiltinESMExports();
    const path = join(directory, "nameless");
    for (const way of ["close", "closeSync"] as const) {
      for (const becomes of ["named", "removed", "replaced", "removed, small"]) {
        writeFileSync(path, "some");
        if (!becomes.endsWith("small")) truncateSync(path, 4 * 1024 * 1024);
        const file = nodeDisk.openSync(path);
        if (becomes.startsWith("removed")) await nodeDisk.remove(path);
        if (becomes === "replaced") {
          writeFileSync(`${path}-new`, "other");
          await nodeDisk.rename(`${path}-new`, path);
        }
        closings.length = 0;
        await file[way]();
        // The descriptor of a small one is free at once: a reader that goes over to what was compacted needs as many again.
        const isAtOnce = becomes === "named" || becomes.endsWith("small");
        assert.deepEqual(closings, [isAtOnce ? "closeSync" : "close"], `${way} of one that is ${becomes}`);
        await file.close();
      }
    }
    context.mock.restoreAll();
    syncBuiltinESMExports();
  });

  // Found by a review: a reader at its limit that goes over to what was compacted had to wait for the thread pool to come to the old files.
  it("closes large files without a name one at a time, and at once where no descriptor is left", { skip: !onLinux }, async (context) => {
    const path = join(directory, "nameless");
    const files = [];
    for (let i = 0; i < 4; i++) {
      writeFileSync(path, "some");
      truncateSync(path, 4 * 1024 * 1024);
      files.push(nodeDisk.openSync(path));
      await nodeDisk.remove(path);
    }
    writeFileSync(path, "some");
    const calls: string[] = [];
    for (const name of ["close", "closeSync", "openSync"] as const) {
      const plain = fs[name] as (...given: unknown[]) => unknown;
      context.mock.method(fs, name, (...given: unknown[]) => {
        calls.push(name);
        if (name === "openSync" && calls.filter((call) => call === name).length <= 2) {
          throw Object.assign(new Error("none left"), { code: "EMFILE" });
        }
        return plain(...given);
      });
    }
    syncBuiltinESMExports();
    const closings = files.map((file) => file.close());
    const file = nodeDisk.openSync(path);
    assert.deepEqual(calls.splice(0), ["close", "openSync", "closeSync", "openSync", "closeSync", "openSync"]);
    await Promise.all(closings);
    assert.deepEqual(calls, ["close"]);
    file.closeSync();
    context.mock.restoreAll();
    syncBuiltinESMExports();
  });

  // Found by a review: only files that are opened at once had those closed that wait. A listing was refused, and so was a new segment, which poisons the store.
  for (const [what, name, run] of [
    ["list a directory", "readdir", () => nodeDisk.list(directory)],
    ["sync a directory", "open", () => nodeDisk.syncDirectory(directory)],
    ["make a file", "open", async () => await (await nodeDisk.open(join(directory, "made"), "create")).close()],
  ] as const) {
    it(`waits to ${what} for large files that are being closed`, { skip: !onLinux }, async (context) => {
      const path = join(directory, "nameless");
      writeFileSync(path, "some");
      truncateSync(path, 4 * 1024 * 1024);
      const file = nodeDisk.openSync(path);
      await nodeDisk.remove(path);
      const plain = fs[name] as (...given: unknown[]) => void;
      const close = fs.close as (descriptor: number, done: (error: Error | null) => void) => void;
      let isClosed = false;
      context.mock.method(fs, "close", (descriptor: number, done: (error: Error | null) => void) =>
        close(descriptor, (error) => {
          isClosed = true;
          done(error);
        }),
      );
      context.mock.method(fs, name, (...given: unknown[]) => {
        if (isClosed) return plain(...given);
        const done = given[given.length - 1] as (error: Error) => void;
        return setImmediate(() => done(Object.assign(new Error("none left"), { code: "EMFILE" })));
      });
      syncBuiltinESMExports();
      const closing = file.close();
      try {
        await run();
      } finally {
        context.mock.restoreAll();
        syncBuiltinESMExports();
        await closing;
      }
    });
  }

  // A system tells a descriptor once that it could not write something back: the second of two syncs succeeded over bytes that the first had lost.
  it("does not let a sync succeed beside one that failed, nor after it", async (context) => {
    const file = await createNodeDisk({ synchronousWrites: false }).open(join(directory, "synced"), "create");
    const answers: ((error: Error | null) => void)[] = [];
    context.mock.method(fs, "fdatasync", (_: number, done: (error: Error | null) => void) => void answers.push(done));
    syncBuiltinESMExports();
    try {
      const failing = file.sync();
      const beside = file.write(new Uint8Array(10), 0, 10, 0, true);
      for (const sync of [failing, beside]) sync.catch(() => {});
      while (answers.length < 2) await new Promise((resolve) => setImmediate(resolve));
      // Another thread's answer may be here first.
      answers[1](null);
      await new Promise((resolve) => setImmediate(resolve));
      answers[0](Object.assign(new Error("lost"), { code: "EIO" }));
      await assert.rejects(failing, { code: "EIO" });
      await assert.rejects(beside, { code: "EIO" });
      await assert.rejects(file.sync(), { code: "EIO" });
      assert.equal(answers.length, 2, "a sync was tried again");
    } finally {
      context.mock.restoreAll();
      syncBuiltinESMExports();
    }
    await file.close();
  });

  it("writes to a file whose size is limited as far as it goes, and reports what the system says", {
    skip: !existsSync("/dev/full"),
  }, async () => {
    const full = await createNodeDisk({ synchronousWrites: false }).open("/dev/full", "write");
    await assert.rejects(full.write(new Uint8Array(10), 0, 10, 0, false), { code: "ENOSPC" });
    assert.throws(() => full.writeSync(new Uint8Array(10), 0, 10, 0), { code: "ENOSPC" });
    await full.close();
  });

  it("tells the living from the dead, from zombies, and from those that got a dead one's number", { skip: !onLinux }, async () => {
    assert.match(nodeDisk.self.startTime, /^\d+$/);
    const child = spawn("sleep", ["60"]);
    const { pid } = child;
    assert.ok(pid !== undefined);
    const identity = {
      pid,
      startTime: parseProcessStat(readFileSync(`/proc/${pid}/stat`, "utf8"))?.startTime ?? "",
      bootId: nodeDisk.self.bootId,
    };
    assert.equal(nodeDisk.isAlive(identity), true);
    assert.equal(nodeDisk.isAlive({ ...identity, startTime: "" }), true);
    assert.equal(nodeDisk.isAlive({ ...identity, startTime: "5" }), false);
    assert.equal(nodeDisk.isAlive({ ...identity, bootId: "00000000-0000-0000-0000-000000000000" }), false);
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await exited;
    assert.equal(nodeDisk.isAlive(identity), false);
  });

  it("takes a zombie for dead", { skip: !onLinux }, async () => {
    // The shell's child ends after the shell, become `sleep`, has forgotten how to ask for it.
    const shell = spawn("sh", ["-c", "sh -c 'sleep 0.3; exit 0' & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      const pid = Number(await new Promise((resolve) => shell.stdout.once("data", (data) => resolve(String(data)))));
      while (parseProcessStat(readFileSync(`/proc/${pid}/stat`, "utf8"))?.state !== "Z")
        await new Promise((resolve) => setTimeout(resolve, 2));
      assert.equal(nodeDisk.isAlive({ pid, startTime: "", bootId: "" }), false);
    } finally {
      shell.kill("SIGKILL");
    }
  });
});

describe("process stat", () => {
  it("counts fields from the last parenthesis, whatever the command is called", () => {
    const fields = "S 1 1 1 0 -1 4194304 136 0 0 0 0 0 0 0 20 0 1 0 107904 3133440 373";
    assert.deepEqual(parseProcessStat(`56 (cat) ${fields}\n`), { state: "S", threads: 1, startTime: "107904" });
    assert.deepEqual(parseProcessStat(`56 (a) Z 1 (b) c) ${fields}\n`), { state: "S", threads: 1, startTime: "107904" });
    for (const garbage of ["", "56 cat S", "56 (cat", "56 (cat) S 1 2", `56 (cat) 7 ${fields}`])
      assert.equal(parseProcessStat(garbage), null);
    assert.deepEqual(
      ["Z", "X", "S", "R"].map((state) => hasEnded({ state, threads: 1, startTime: "1" })),
      [true, true, false, false],
    );
  });

  // A writer without a kernel lock was killed while a thread of it waited for the disk: its directory was taken, and what the thread wrote came after that.
  it("takes a process for ended once all of its threads have", () => {
    const killed = "Z 12696 12696 5534 0 -1 4227084 2929 6501 4 1 5 2 4 3 20 0 2 0 741925 0 0";
    const waiting = parseProcessStat(`12699 (bun) ${killed}\n`);
    assert.ok(waiting !== null && !hasEnded(waiting));
    const ended = parseProcessStat(`12699 (bun) ${killed.replace("20 0 2 0", "20 0 1 0")}\n`);
    assert.ok(ended !== null && hasEnded(ended));
  });
});

/** The flags lines of this process's open regular files, as "fd flags". */
function descriptors(): string[] {
  return readdirSync("/proc/self/fdinfo").map((name) => {
    try {
      return `${name} ${/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${name}`, "utf8"))?.[1] ?? "0"}`;
    } catch {
      return `${name} 0`;
    }
  });
}

function flagsOf(line: string): number {
  return Number.parseInt(line.split(" ")[1] ?? "0", 8);
}

describe("a pipe in a file's place", { skip: process.platform === "win32" }, () => {
  it("is opened without waiting for somebody who writes to it, and cannot be read as a file", async () => {
    const path = join(directory, "pipe");
    assert.equal(spawnSync("mkfifo", [path]).status, 0);
    const file = await nodeDisk.open(path, "read");
    await assert.rejects(file.read(new Uint8Array(1), 0, 1, 0), { code: "ESPIPE" });
    await file.close();
    assert.equal((await nodeDisk.status(path))?.type, "other");
  });
});
