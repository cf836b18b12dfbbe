/** A disk that does what another does, to be changed in a verb or two: those of a class need the object that they are of. */
import type { Disk } from "./disk.ts";

export function delegateTo(disk: Disk): Disk {
  return {
    open: (path, mode) => disk.open(path, mode),
    openSync: (path) => disk.openSync(path),
    list: (path) => disk.list(path),
    status: (path) => disk.status(path),
    makeDirectory: (path) => disk.makeDirectory(path),
    rename: (from, to) => disk.rename(from, to),
    link: (from, to) => disk.link(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    lock: (file) => disk.lock(file),
    get self() {
      return disk.self;
    },
    isAlive: (identity) => disk.isAlive(identity),
    ...(disk.openForWriting === undefined ? {} : { openForWriting: disk.openForWriting.bind(disk) }),
    ...(disk.realPath === undefined ? {} : { realPath: disk.realPath.bind(disk) }),
  };
}
