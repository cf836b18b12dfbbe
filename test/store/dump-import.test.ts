// What `dump` prints, imported into another store: events are what they were, by name, version, metadata and key, whatever the other store holds.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Disk } from "../../src/disk/disk.ts";
import { batchNumbers, dumpLine } from "../../src/cli/dump-line.ts";
import { type AnyNewEvent, type Coordinate, defineEvent, isStoreError, rawEvent, type Store, type } from "../../src/index.ts";
import type { StoredEvent } from "../../src/events/event.ts";
import { createMemoryDisk, openMemoryStore } from "../../src/testing/index.ts";

/** As the command line does it, which knows no definitions. */
async function dump(disk: Disk): Promise<string[]> {
  const store = await openMemoryStore({ disk, readOnly: true });
  const batchOf = batchNumbers();
  const lines: string[] = [];
  for await (const batch of store.readPlaced())
    for (const placed of batch) lines.push(dumpLine(placed, { batch: batchOf(placed) }, assert.fail));
  await store.close();
  return lines;
}

function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const SEEDS = Number(process.env["BATPAK_DUMP_SEEDS"] ?? 30);
const NAMES = ["A", "B", "C", "D", "E"];

/** Definitions as a program has them at one time: of the first or the second version, "E" with a kind of its own. */
const defined = (version: 1 | 2) =>
  NAMES.map((name) =>
    defineEvent(name, {
      schema: type<Record<string, unknown>>(),
      version,
      ...(name === "E" ? { kind: 0xe123 } : {}),
      ...(version === 1 ? {} : { upcast: { 1: (old: unknown) => ({ cents: (old as { euros: number }).euros * 100 }) } }),
    } as object),
  );
const DEFINITIONS = { 1: defined(1), 2: defined(2) } as const;

interface Keyed {
  readonly coordinate: Coordinate;
  readonly events: readonly AnyNewEvent[];
  readonly key: string;
  readonly ids: readonly string[];
}

/** A store with everything that a dump has to carry, and what may be tried again with its key. */
async function fill(random: (below: number) => number) {
  const disk = createMemoryDisk();
  const keyed: Keyed[] = [];
  for (const version of [1, 2] as const) {
    const definitions = DEFINITIONS[version];
    const store = await openMemoryStore({ disk, events: definitions });
    for (let n = 0; n < 25; n++) {
      const coordinate = { entity: `e${random(4)}`, scope: `s${random(2)}` };
      const make = (): AnyNewEvent => {
        if (random(6) === 0) return rawEvent(0x2000 + random(2), { n }, 1 + random(3)) as AnyNewEvent;
        return definitions[random(NAMES.length)](version === 1 ? { euros: n } : { cents: n, at: new Date(n), big: 2n ** 70n });
      };
      const events = Array.from({ length: 1 + (random(3) === 0 ? random(5) : 0) }, make);
      const key = random(2) === 0 ? `k${version}-${n}` : null;
      const metadata = random(2) === 0 ? { by: `u${n}`, ...(random(4) === 0 ? { import: { wall_ms: 5 } } : {}) } : null;
      const receipts = await store.append(coordinate, events, {
        ...(key === null ? {} : { idempotencyKey: key }),
        ...(metadata === null ? {} : { metadata }),
      });
      if (key !== null && version === 2) keyed.push({ coordinate, events, key, ids: receipts.map(({ id }) => id) });
    }
    if (version === 1) await store.close();
    else return { disk, store, keyed };
  }
  throw new Error("not reached");
}

const picture = (event: StoredEvent) => {
  const { id, entity, scope, type: name, storedVersion, version, data, metadata, causationId, correlationId, timestamp } = event;
  const { import: noted, ...rest } = metadata ?? {};
  const note = noted as { readonly wall_ms: number } | undefined;
  return { id, entity, scope, name, storedVersion, version, data, metadata: rest, note, causationId, correlationId, timestamp };
};

async function contents(store: Store) {
  return ((await store.read().toArray()) as StoredEvent[]).map(picture);
}

test(`a dump imported into any store has the types, data, versions, metadata and keys of its source (${SEEDS} seeds)`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = randomOf(seed);
    const { disk: sourceDisk, store: source, keyed } = await fill(random);
    const wanted = await contents(source);
    await source.close();
    const lines = await dump(sourceDisk);
    // A store of its own life, where the automatic kinds of the same names are others, and those of the source are taken.
    const other = defineEvent("Other");
    const given = random(2) === 0;
    const disk = createMemoryDisk();
    const filled = await openMemoryStore({ disk, events: [other] });
    await filled.append({ entity: "x", scope: "s" }, other({ n: 1 }));
    for (const definition of DEFINITIONS[2].toReversed().slice(random(5)))
      await filled.append({ entity: "x", scope: "s" }, definition({ cents: 1 }));
    await filled.close();
    for (const place of [createMemoryDisk(), disk]) {
      const target = await openMemoryStore({ disk: place, events: given ? DEFINITIONS[2] : [] });
      const before = await target.count();
      const result = await target.import(lines);
      assert.deepEqual(result, { imported: wanted.length, skipped: 0, bad: [] }, `seed ${seed}`);
      assert.deepEqual(await target.import(lines), { imported: 0, skipped: wanted.length, bad: [] }, `seed ${seed}`);
      await target.close();
      const again = await openMemoryStore({ disk: place, events: DEFINITIONS[2] });
      const timeless = (events: Awaited<ReturnType<typeof contents>>) =>
        events.map(({ note: _note, timestamp: _timestamp, ...rest }) => rest);
      const copied = (await contents(again)).slice(before);
      assert.deepEqual(timeless(copied), timeless(wanted), `seed ${seed}`);
      for (const [n, { note, timestamp }] of wanted.entries()) {
        // Where nothing was before, nothing is clamped. Elsewhere the first given time is noted.
        if (before === 0 || copied[n].timestamp === timestamp)
          assert.deepEqual([copied[n].timestamp, copied[n].note], [timestamp, note], `seed ${seed}`);
        else assert.deepEqual(copied[n].note, note ?? { wall_ms: timestamp }, `seed ${seed}`);
      }
      for (const { coordinate, events, key, ids } of keyed) {
        const receipts = await again.append(coordinate, events, { idempotencyKey: key });
        assert.deepEqual(
          receipts.map(({ id }) => id),
          ids,
          `seed ${seed}`,
        );
      }
      assert.equal(await again.count(), before + wanted.length, `seed ${seed}`);
      assert.deepEqual((await again.verify()).problems, [], `seed ${seed}`);
      await again.close();
    }
  }
});

const coordinate = { entity: "e", scope: "s" };
const Claimed = defineEvent("Claimed", { kind: 0x3000 });
const Known = defineEvent("Known", { kind: 0x3000 });
const line = (more: object) => ({ entity: "e", scope: "s", kind: 0x1001, payload: 1, ...more });

test("a name gets the kind that the store has for it, keeps its own where that is free, and is recorded", async () => {
  const disk = createMemoryDisk();
  const B = defineEvent("B");
  const store = await openMemoryStore({ disk, events: [B] });
  await store.append(coordinate, B(1));
  await store.append(coordinate, rawEvent(0x1003, 1));
  // 0x1001 is B's, 0x1003 is in use without a name.
  await store.import([
    line({ type: "A" }),
    line({ type: "B", kind: 0x2000 }),
    line({ type: "C", kind: 0x2001 }),
    line({ type: "D", kind: 0x1003 }),
    line({}),
    line({ type: "E", kind: 0xd001 }),
  ]);
  await store.close();
  const again = await openMemoryStore({ disk });
  const kinds = (await again.read().toArray()).map(({ kind, type: name }) => [kind, name]);
  const stored = [
    [0x1001, "B"],
    [0x1003, null],
  ];
  const imported = [
    [0x1002, "A"],
    [0x1001, "B"],
    [0x2001, "C"],
    [0x2002, "D"],
    [0x1001, "B"],
    [0xd001, "E"],
  ];
  assert.deepEqual(kinds, [...stored, ...imported]);
  // A definition that is new here finds its events, and takes the kind that its name was given.
  await again.append(coordinate, defineEvent("A")(2));
  assert.deepEqual(
    (await again.read({ kind: defineEvent("A") }).toArray()).map(({ kind }) => kind),
    [0x1002, 0x1002],
  );
  await again.close();
});

test("a bad name, version, metadata or batch is a bad line; so is a name whose kind another name has", async () => {
  const store = await openMemoryStore({ events: [Claimed] });
  const wrong: [object, RegExp][] = [
    [{ type: "" }, /^the type is empty/],
    [{ type: 5 }, /^the type is 5/],
    [{ version: 0 }, /^version is 0, whole numbers from 1 to 65535/],
    [{ version: 70_000 }, /^version is 70000/],
    [{ metadata: [1] }, /^metadata is no plain object/],
    [{ metadata: { $date: "2024-01-01T00:00:00Z" } }, /^metadata is no plain object/],
    [{ batch: -1 }, /^batch is -1/],
  ];
  const { imported, bad } = await store.import(
    wrong.map(([more]) => line(more)),
    { skipBad: true },
  );
  assert.deepEqual([imported, bad.length], [0, wrong.length]);
  for (const [n, { reason }] of bad.entries()) assert.match(reason, wrong[n][1]);
  await store.close();
  const old = await openMemoryStore({ layout: "batpak-0.3", events: [Claimed] });
  await assert.rejects(old.import([line({}), line({ type: "Other", kind: 0x3000 })]), {
    code: "INVALID_LINE",
    message: "Cannot import line 2: Other: the kind 0x3000 belongs to Claimed, a kind of its own is allowed",
  });
  await old.close();
});

test("a batpak 0.3 store takes the kind of a name, and refuses versions and metadata with the line's number", async () => {
  const store = await openMemoryStore({ layout: "batpak-0.3", events: [Known] });
  await store.import([line({ type: "Unknown" }), line({ type: "Known" }), line({ type: "Unknown", version: 1, metadata: null })]);
  assert.deepEqual(
    (await store.read().toArray()).map(({ kind }) => kind),
    [0x1001, 0x3000, 0x1001],
  );
  for (const more of [{ metadata: { a: 1 } }, { version: 2 }]) {
    await assert.rejects(store.import([line({}), line(more)]), (error) => {
      assert.ok(isStoreError(error, "UNSUPPORTED_BY_LAYOUT"));
      assert.match(error.message, /^Cannot import line 2: the batpak 0\.3 layout has no room for/);
      return error.details.line === 2;
    });
    assert.deepEqual((await store.import([line(more)], { skipBad: true })).bad.length, 1);
  }
  assert.equal(await store.count(), 3);
  await store.close();
});

test("a batch stays one, up to what the store takes; its lines may come in between others and in any portion", async () => {
  for (const layout of ["native", "batpak-0.3"] as const) {
    const store = await openMemoryStore({ batchEventsMax: 3, layout });
    const batches = [null, 7, 7, 7, 7, 9, 9, null, null, 9, null, 1, 1, 1, 2, 2];
    await store.import(batches.map((batch) => line({ batch })));
    const ends: boolean[] = [];
    for await (const found of store.readPlaced()) for (const { endsBatch } of found) ends.push(endsBatch);
    // The fourth 7 is one too many for a batch here.
    assert.equal(ends.map((last) => (last ? "|" : "-")).join(""), "|--||-|||||--|-|", layout);
    assert.deepEqual((await store.verify()).problems, []);
    await store.close();
  }
});

test("what an earlier import noted in the metadata stays when the time is clamped again, and so does a user's own", async () => {
  const store = await openMemoryStore();
  const noted = [{ import: { wall_ms: 1 } }, { by: "me" }, { import: { from: "there" } }, { import: "mine" }, null];
  await store.import([line({ wall_ms: 9000 }), ...noted.map((metadata) => line({ wall_ms: 5000, metadata }))]);
  const [, ...events] = await store.read().toArray();
  assert.deepEqual(
    events.map(({ metadata }) => metadata),
    [
      { import: { wall_ms: 1 } },
      { by: "me", import: { wall_ms: 5000 } },
      { import: { wall_ms: 5000, from: "there" } },
      { import: "mine" },
      { import: { wall_ms: 5000 } },
    ],
  );
  await store.close();
});
