/**
 * Snapshots: a fold that goes on from one gives what a full fold gives, whatever was appended between and wherever the store was closed; one
 * that is stale, foreign, damaged or ahead of the log is not used, and says why.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { defineEvent, defineProjection, rawEvent, Store, type } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import {
  type Account,
  accountProjection,
  at,
  Deposited,
  Noted,
  only,
  openAccounts,
  snapshotPaths,
  snapshotsTold,
  Withdrawn,
} from "./support.ts";

type Step =
  | { readonly do: "append"; readonly entity: string; readonly cents: number; readonly count: number }
  | { readonly do: "project"; readonly target: number; readonly everyEvents: number }
  | { readonly do: "stop"; readonly target: number }
  | { readonly do: "reopen" };

const entityOf = fc.constantFrom("a", "b", "c/../d", "é😀");
const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("append" as const),
        entity: entityOf,
        cents: fc.integer({ min: -9, max: 9 }),
        count: fc.integer({ min: 1, max: 30 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant("project" as const), target: fc.nat(3), everyEvents: fc.integer({ min: 1, max: 40 }) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("stop" as const), target: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.constant({ do: "reopen" as const }) },
  ),
  { maxLength: 25 },
);

test("going on from snapshots gives what a full fold gives", async () => {
  const full = accountProjection({ snapshot: false });
  const targets = ["a", "é😀", { query: { scope: "bank", kind: Withdrawn } }, undefined];
  const run = async (plan: readonly Step[]): Promise<void> => {
    const disk = new SimulatedDisk();
    let store = await openAccounts(disk, { segmentBytesMax: 8192 });
    const told = await snapshotsTold(async () => {
      for (const step of plan) {
        if (step.do === "append") {
          const { entity, cents, count } = step;
          const made = Array.from({ length: count }, (_, i) =>
            i % 5 === 4 ? Noted({ text: "n" }) : cents < 0 ? Withdrawn({ cents: -cents }) : Deposited({ cents: cents + i }),
          );
          await store.append(at(entity), made);
        } else if (step.do === "reopen") {
          await store.close();
          store = await openAccounts(disk, { segmentBytesMax: 8192 });
        } else if (step.do === "stop") {
          const stop = new AbortController();
          const kept = accountProjection({ snapshot: { everyEvents: 1000 } });
          await store
            .project(kept, targets[step.target], { signal: stop.signal, onProgress: () => stop.abort(new Error("stop")) })
            .catch(() => {});
        } else {
          const target = targets[step.target];
          const kept = await store.project(accountProjection({ snapshot: { everyEvents: step.everyEvents } }), target);
          const { state, sequence, events } = await store.project(full, target);
          assert.deepEqual([kept.state, kept.sequence, kept.events], [state, sequence, events]);
        }
      }
    });
    assert.deepEqual(told, [], "kinds are learnt on the way, which makes no snapshot useless");
    await store.close();
  };
  await fc.assert(fc.asyncProperty(steps, run), { numRuns: 60 });
});

/** A disk with ten deposits of 1 by entity "a" and their snapshot; the snapshot's path. */
async function withSnapshot(): Promise<{ disk: SimulatedDisk; path: string }> {
  const disk = new SimulatedDisk();
  const store = await openAccounts(disk);
  await store.append(
    at("a"),
    Array.from({ length: 10 }, () => Deposited({ cents: 1 })),
  );
  await store.project(Kept, "a");
  await store.close();
  return { disk, path: only(snapshotPaths(disk)) };
}

const Kept = accountProjection({ snapshot: { everyEvents: 5 } });

/** Projects "a", and holds the state; what was told, and how many events were read. */
async function projectA(disk: SimulatedDisk, projection = Kept, cents = 10): Promise<{ told: string[]; eventsRead: number }> {
  const store = await openAccounts(disk);
  let eventsRead = -1;
  const told = await snapshotsTold(async () => {
    const projected = await store.project(projection, "a");
    assert.equal(projected.state.cents, cents);
    ({ eventsRead } = projected);
  });
  await store.close();
  return { told, eventsRead };
}

test("a sound snapshot is used, and lies in a folder of its own under a safe name", async () => {
  const { disk, path } = await withSnapshot();
  assert.match(path, /^\/store\/projections\/account-[0-9a-f]{16}\/[0-9a-f]{32}\.snapshot$/);
  assert.deepEqual(await projectA(disk), { told: [], eventsRead: 0 });
  const odd = accountProjection({ name: "../../Ünsafe\0 name?", snapshot: { everyEvents: 1 } });
  const store = await openAccounts(disk);
  await store.project(odd, "a");
  const written = only(snapshotPaths(disk).filter((other) => other !== path));
  assert.match(written, /^\/store\/projections\/-nsafe-name--[0-9a-f]{16}\/[0-9a-f]{32}\.snapshot$/);
  await store.close();
});

test("a snapshot with any byte changed or cut off is not used, and is replaced", async () => {
  const { disk, path } = await withSnapshot();
  const bytes = disk.bytesOf(path).slice();
  for (let i = 0; i < bytes.length; i++) {
    const flipped = bytes.slice();
    flipped[i] ^= 0x10;
    disk.put(path, flipped);
    const { told, eventsRead } = await projectA(disk);
    assert.equal(eventsRead, 10, `byte ${i}`);
    assert.match(only(told), /^ignored: it is no snapshot|^ignored: its checksum does not match/);
    assert.deepEqual(disk.bytesOf(path).slice(), bytes, "written anew, the same");
    i += 6;
  }
  for (const length of [0, 7, 19, 20, bytes.length - 1]) {
    disk.put(path, bytes.slice(0, length));
    assert.equal((await projectA(disk)).eventsRead, 10, `${length} bytes`);
  }
});

test("a snapshot of another version, other events, another store or another target is not used", async () => {
  const { disk, path } = await withSnapshot();
  const v2 = accountProjection({ version: 2, snapshot: { everyEvents: 5 } });
  assert.deepEqual(await projectA(disk, v2), { told: ["ignored: the projection has another version"], eventsRead: 10 });
  const Deposited2 = defineEvent("Deposited", {
    version: 2,
    schema: type<{ cents: number }>(),
    upcast: { 1: (old: { cents: number }) => old },
  });
  const newer = defineProjection({
    name: "account",
    version: 2,
    events: [Deposited2],
    initial: { cents: 0, trace: "" } as Account,
    on: { Deposited: (state, { data }) => ({ ...state, cents: state.cents + data.cents }) },
  });
  assert.deepEqual((await projectA(disk, newer)).told, ["ignored: the projection's events are others"]);

  const other = await withSnapshot();
  disk.put(path, other.disk.bytesOf(other.path).slice());
  assert.deepEqual(await projectA(disk), { told: ["ignored: it belongs to another store"], eventsRead: 10 });

  const store = await openAccounts(disk);
  await store.append(
    at("b"),
    Array.from({ length: 7 }, () => Deposited({ cents: 2 })),
  );
  await store.project(Kept, "b");
  await store.close();
  const ofB = only(snapshotPaths(disk).filter((candidate) => candidate !== path));
  disk.put(path, disk.bytesOf(ofB).slice());
  assert.deepEqual(await projectA(disk), { told: ["ignored: it was folded of something else"], eventsRead: 10 });
});

test("a snapshot is used when events get a first kind, and not when they get one that was written before", async () => {
  const disk = new SimulatedDisk();
  let store = await openAccounts(disk);
  await store.append(at("a"), rawEvent(0x1777, { cents: 5 }));
  await store.append(
    at("a"),
    Array.from({ length: 10 }, () => Deposited({ cents: 1 })),
  );
  await store.project(Kept);
  await store.append(at("a"), Withdrawn({ cents: 1 }));
  assert.deepEqual(await store.project(Kept), {
    state: { cents: 9, trace: "+1+1+1+1+1+1+1+1+1+1-1" },
    sequence: 11,
    events: 11,
    eventsRead: 1,
  });
  await store.close();

  const Claiming = defineEvent("Deposited", { schema: type<{ cents: number }>(), kind: 0x1777 });
  const claimed = accountProjection({ snapshot: { everyEvents: 5 }, deposited: Claiming });
  store = await Store.open("/store", { disk });
  const told = await snapshotsTold(async () => {
    assert.equal((await store.project(claimed)).state.cents, 14);
  });
  assert.deepEqual(told, ["ignored: events of a kind that it did not know stand before its end"]);
  await store.close();
});

test("a snapshot ahead of the log, or of a log that was rolled back and written anew, is not used", async () => {
  const disk = new SimulatedDisk();
  let store = await openAccounts(disk);
  await store.append(at("a"), Deposited({ cents: 1 }));
  await store.close();
  const before = new Map(disk.paths().map((path) => [path, disk.bytesOf(path).slice()]));
  store = await openAccounts(disk);
  await store.append(
    at("a"),
    Array.from({ length: 9 }, () => Deposited({ cents: 1 })),
  );
  await store.project(Kept, "a");
  await store.close();
  const path = only(snapshotPaths(disk));
  const snapshot = disk.bytesOf(path).slice();
  for (const name of disk.paths()) if (name !== path) disk.put(name, before.get(name) ?? null);

  const ahead = await projectA(disk, Kept, 1);
  assert.deepEqual(ahead, { told: ["ignored: the log has no such event at sequence 9"], eventsRead: 1 });

  store = await openAccounts(disk);
  await store.append(
    at("a"),
    Array.from({ length: 20 }, () => Deposited({ cents: 3 })),
  );
  await store.close();
  disk.put(path, snapshot);
  const rewritten = await projectA(disk, Kept, 61);
  assert.deepEqual(rewritten, { told: ["ignored: the log has no such event at sequence 9"], eventsRead: 21 });
});

test("a disk that takes no snapshot, a state that cannot be kept, and one that cannot be read: the fold is right all the same", async () => {
  const { disk, path } = await withSnapshot();
  disk.put(path, null);
  disk.faults = ({ path: touched }) => (touched.includes("projections") ? { error: "ENOSPC" as never } : undefined);
  assert.equal((await projectA(disk)).eventsRead, 10);
  disk.faults = undefined;
  assert.equal((await projectA(disk)).eventsRead, 10);
  assert.equal((await projectA(disk)).eventsRead, 0);

  const store = await openAccounts(disk);
  const Odd = defineProjection({
    name: "odd",
    events: [Deposited],
    initial: [] as unknown[],
    on: { Deposited: () => [new Set([1])] },
    snapshot: { everyEvents: 1 },
  });
  const told = await snapshotsTold(async () => {
    assert.deepEqual((await store.project(Odd, "a")).state, [new Set([1])]);
  });
  assert.match(only(told), /^not written: .*\$\[0\]/);
  await store.close();
});

test("a reader uses snapshots and writes none", async () => {
  const { disk } = await withSnapshot();
  const writer = await openAccounts(disk);
  await writer.append(
    at("a"),
    Array.from({ length: 20 }, () => Deposited({ cents: 1 })),
  );
  const reader = await Store.open("/store", { disk, readOnly: true });
  const before = disk.paths().sort();
  const { state, eventsRead } = await reader.project(Kept, "a");
  assert.deepEqual([state.cents, eventsRead], [30, 20]);
  assert.deepEqual(disk.paths().sort(), before);
  assert.equal((await reader.project(Kept, "a")).eventsRead, 20, "nothing was kept");
  await reader.project(Kept);
  assert.deepEqual(disk.paths().sort(), before);
  await reader.close();
  await writer.close();
});

test("what a kill left half written is removed by the next process that writes there", async () => {
  const { disk, path } = await withSnapshot();
  const leftover = `${path}.4242-0.tmp`;
  disk.put(leftover, new Uint8Array(5));
  const store = await openAccounts(disk);
  await store.append(
    at("a"),
    Array.from({ length: 6 }, () => Deposited({ cents: 1 })),
  );
  await store.project(Kept, "a");
  assert.ok(!disk.paths().includes(leftover));
  await store.close();
});

// It was the state that goes to disk: whoever sorted it for display had it so from every later opening.
test("what a watcher does with its state is not kept on disk, and what the events come to is", async () => {
  const disk = new SimulatedDisk();
  const Cents = defineProjection({
    name: "cents",
    events: [Deposited],
    initial: { list: [] as number[] },
    on: { Deposited: ({ list }, { data }) => ({ list: [...list, data.cents] }) },
    snapshot: { everyEvents: 3 },
  });
  const store = await openAccounts(disk);
  const watching = store.watch(Cents, "a");
  for (let cents = 0; cents <= 10; cents++) {
    const { value } = await watching.next();
    value?.state.list.sort((first, second) => second - first);
    await store.append(at("a"), Deposited({ cents }));
  }
  await watching.return(undefined);
  await store.close();
  const again = await openAccounts(disk);
  const { state, events, eventsRead } = await again.project(Cents, "a");
  assert.deepEqual([state.list, events], [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 11]);
  assert.ok(eventsRead <= 3, `${eventsRead} events read`);
  await again.close();
});
