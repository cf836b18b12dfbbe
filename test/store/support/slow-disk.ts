/** A disk whose asynchronous operations take a few turns of the event loop, so that what goes on beside them gets its share; and may be held. */
import type { Disk, DiskFile } from "../../../src/disk/disk.ts";

export interface SlowDisk extends Disk {
  /** Called before each operation on a name, and after it: what it returns is waited for, what it throws is what the operation does. */
  before: (verb: "rename" | "remove" | "syncDirectory", path: string) => Promise<void> | void;
  after: (verb: "rename" | "remove" | "syncDirectory", path: string) => Promise<void> | void;
}

/** @param turns how many turns of the event loop an operation takes */
export function slowDisk(disk: Disk, turns: () => number): SlowDisk {
  const pass = async (): Promise<void> => {
    for (let left = turns(); left > 0; left--) await new Promise((resolve) => setImmediate(resolve));
  };
  const slowFile = (file: DiskFile): DiskFile =>
    Object.assign(Object.create(file) as DiskFile, {
      read: async (...given: Parameters<DiskFile["read"]>) => (await pass(), await file.read(...given)),
      write: async (...given: Parameters<DiskFile["write"]>) => (await pass(), await file.write(...given)),
      sync: async () => (await pass(), await file.sync()),
      readSync: (...given: Parameters<DiskFile["readSync"]>) => file.readSync(...given),
      writeSync: (...given: Parameters<DiskFile["writeSync"]>) => file.writeSync(...given),
      truncate: (size: number) => file.truncate(size),
      size: () => file.size(),
      sizeSync: () => file.sizeSync(),
      close: () => file.close(),
      closeSync: () => file.closeSync(),
    });
  const slow: SlowDisk = Object.assign(Object.create(disk) as SlowDisk, {
    before: () => {},
    after: () => {},
    open: async (...given: Parameters<Disk["open"]>) => (await pass(), slowFile(await disk.open(...given))),
    openSync: (path: string) => slowFile(disk.openSync(path)),
    // The kernel's lock is on the file itself.
    lock: (file: DiskFile) => disk.lock(Object.getPrototypeOf(file) as DiskFile),
    rename: async (from: string, to: string) => {
      await pass();
      await slow.before("rename", to);
      await disk.rename(from, to);
      await slow.after("rename", to);
    },
    remove: async (path: string) => {
      await pass();
      await slow.before("remove", path);
      await disk.remove(path);
      await slow.after("remove", path);
    },
    syncDirectory: async (path: string) => {
      await pass();
      await slow.before("syncDirectory", path);
      await disk.syncDirectory(path);
      await slow.after("syncDirectory", path);
    },
  });
  return slow;
}
