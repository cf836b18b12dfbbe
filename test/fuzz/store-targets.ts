/** Fuzz targets: a whole directory with one file changed, opened to read and to write, read, verified, planned to be repaired. */
import { isStoreError } from "../../src/base/store-error.ts";
import { repairStore } from "../../src/repair.ts";
import { Store } from "../../src/store.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY, type Files, diskWith } from "../support/small-stores.ts";
import type { FuzzInput, FuzzTarget } from "./fuzz-run.ts";
import { below, joined, type Random } from "./mutation.ts";

/** `COMPACTED`: a forged header with a right checksum tells a reader of a compaction that never was. */
const CODES: ReadonlySet<string> = new Set(["COMPACTED", "CORRUPT", "NOT_FOUND", "LAYOUT_MISMATCH", "UNSUPPORTED_BY_LAYOUT"]);

/** The input's first byte names the file, the rest is what stands in it. */
export function storeTarget(
  name: string,
  files: Files,
  forge?: (file: string, bytes: Uint8Array, random: Random) => Uint8Array,
): FuzzTarget {
  const names = [...files.keys()];
  return {
    name,
    weight: 0.2,
    embedded: false,
    bytesMax: 512 * 1024 * 1024,
    corpus: names.map((file, i) => joined(Uint8Array.of(i), files.get(file) as Uint8Array)),
    ...(forge === undefined ? {} : { mend: (_bytes, random) => forged(names, files, forge, random) }),
    run: ({ bytes }: FuzzInput) => runStore(new Map([...files, [names[(bytes[0] ?? 0) % names.length], bytes.slice(1)]])),
  };
}

function forged(
  names: string[],
  files: Files,
  forge: (file: string, bytes: Uint8Array, random: Random) => Uint8Array,
  random: Random,
): Uint8Array {
  const file = below(random, names.length);
  return joined(Uint8Array.of(file), forge(names[file], files.get(names[file]) as Uint8Array, random));
}

async function runStore(files: Files): Promise<string> {
  const read = await tryTo(() => readAndVerify(diskWith(files)));
  const write = await tryTo(async () => {
    const store = await Store.open(DIRECTORY, { disk: diskWith(files) });
    await store.append({ entity: "after", scope: "s" }, { kind: 0x1000, data: 1 } as never).catch(wanted);
    await store.close();
    return "ok";
  });
  const repair = await tryTo(async () => `planned ${(await repairStore(DIRECTORY, { disk: diskWith(files) })).actions.length}`);
  return `${read.split(" ")[0]}/${write.split(" ")[0]}/${repair.split(" ")[0]}`;
}

async function readAndVerify(disk: SimulatedDisk): Promise<string> {
  const store = await Store.open(DIRECTORY, { disk, readOnly: true });
  try {
    const events = await tryTo(async () => {
      let count = 0;
      for await (const event of store.read()) {
        tryToRead(() => event.data);
        tryToRead(() => event.metadata);
        count++;
      }
      return `read ${count}`;
    });
    await tryTo(async () => String((await store.read({ entity: "e1" }, { direction: "backward", limit: 3 }).toArray()).length));
    const verified = await tryTo(async () => String((await store.verify()).ok));
    return `${events.split(" ")[0]}-${verified} ${store.openReport.problems.length}`;
  } finally {
    await store.close();
  }
}

async function tryTo(action: () => Promise<string>): Promise<string> {
  try {
    return await action();
  } catch (error) {
    return wanted(error);
  }
}

function tryToRead(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    wanted(error);
  }
}

/** The error's code; throws it where it is none that a damaged directory may lead to. */
function wanted(error: unknown): string {
  if (isStoreError(error) && CODES.has(error.code)) return error.code;
  throw error;
}
