/** What a compaction holds in memory while it goes over the events: of millions of them it must make no objects that stay. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Disk } from "../../src/disk/disk.ts";
import { rawEvent } from "../../src/events/definition.ts";
import { Store } from "../../src/store.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";

const DIRECTORY = "/store";
const KIND = 0xf001;
const EVENTS = 48 * 1024;
/** On the heap: what there are as many of as events lies in flat memory. */
const HEAP_BYTES_PER_EVENT = 300;

/** The disk, with a look before each read of a segment's file in steps. */
function watchingReads(disk: Disk, look: () => void): Disk {
  return Object.assign(Object.create(disk) as Disk, {
    openSync(path: string) {
      const file = disk.openSync(path);
      const read = file.read.bind(file);
      file.read = (...given) => {
        look();
        return read(...given);
      };
      return file;
    },
  });
}

/** Each second event of an entity is of the same kind: as many runs of clocks as events. */
async function fill(store: Store): Promise<void> {
  for (let from = 0; from < EVENTS; from += 1024) {
    const kind = KIND + ((from / 1024) % 2);
    const items = Array.from({ length: 1024 }, (_, i) => ({
      coordinate: { entity: `e:${i}`, scope: "s" },
      event: rawEvent(kind, { n: from + i }),
      idempotencyKey: `k${from + i}`,
    }));
    await store.appendBatch(items);
  }
}

test("a compaction makes no object that stays for an event that it removes", { timeout: 60_000 }, async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const held = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  let [before, most, looks] = [0, 0, 0];
  const disk = watchingReads(createMemoryDisk(), () => {
    if (++looks % 4 === 0 && before > 0) most = Math.max(most, held() - before);
  });
  const store = await Store.open(DIRECTORY, { disk, segmentBytesMax: 4 * 1024 * 1024, checkpoint: false });
  await fill(store);
  before = held();
  const { removedEvents } = await store.compact({ query: { kind: KIND } });
  assert.ok(removedEvents > EVENTS / 4, String(removedEvents));
  assert.ok(looks > 40, `${looks} looks`);
  assert.ok(most <= removedEvents * HEAP_BYTES_PER_EVENT, `${Math.round(most / removedEvents)} bytes for each of ${removedEvents}`);
  await store.close();
});
