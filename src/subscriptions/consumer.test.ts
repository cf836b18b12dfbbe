/** Consumers, on the real store. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isStoreError } from "../base/store-error.ts";
import { defineEvent, type } from "../events/definition.ts";
import { Store } from "../store.ts";
import { Consumer } from "./consumer.ts";
import { createMemoryDisk } from "../testing/memory-disk.ts";
import { openMemoryStore } from "../testing/memory-store.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";

const Ticked = defineEvent("Ticked", { schema: type<{ n: number }>() });
const Noted = defineEvent("Noted", { schema: type<{ n: number }>() });
const at = (entity: string): { entity: string; scope: string } => ({ entity, scope: "test" });
const OPTIONS = { events: [Ticked, Noted], segmentBytesMax: 8192 } as const;

async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "batpak-consumer-"));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function fill(store: Pick<Store, "append">, count: number): Promise<void> {
  await store.append(
    at("a"),
    Array.from({ length: count }, (_, n) => Ticked({ n })),
  );
}

async function take<Item>(from: AsyncIterable<Item>, count: number): Promise<Item[]> {
  const taken: Item[] = [];
  for await (const item of from) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}

for (const positionIn of ["file", "log"] as const) {
  test(`a consumer resumes behind its last commit, in whatever it was killed (${positionIn})`, () =>
    inDirectory(async (directory) => {
      let store = await Store.open(directory, OPTIONS);
      await fill(store, 10);
      let consumer = await store.consumer("mailer", { kind: Ticked }, { positionIn });
      assert.equal(consumer.position, -1);
      assert.equal(await consumer.lag(), 10);
      for (const event of await take(consumer, 4)) await consumer.commit(event);
      await take(consumer, 3);
      assert.equal(consumer.position, 3);
      await store.close();
      store = await Store.open(directory, OPTIONS);
      consumer = await store.consumer("mailer", { kind: Ticked });
      assert.equal(consumer.positionIn, positionIn);
      assert.equal(consumer.position, 3);
      const seen = await take(consumer, 6);
      assert.deepEqual(
        seen.map((event) => event.data.n),
        [4, 5, 6, 7, 8, 9],
      );
      // Follows what comes.
      const next = take(consumer, 7);
      await store.append(at("b"), Ticked({ n: 10 }));
      assert.equal((await next)[6].data.n, 10);
      await consumer.commit(10);
      const { name, position, lag, held, problem } = (await store.consumers())[0];
      assert.deepEqual({ name, position, lag, held, problem }, { name: "mailer", position: 10, lag: 0, held: true, problem: null });
      await consumer.close();
      assert.equal((await store.consumers())[0].held, false);
      assert((await store.verify()).ok);
      await store.close();
    }));

  test(`reset and delete (${positionIn})`, async () => {
    const store = await openMemoryStore();
    await fill(store, 5);
    let consumer = await store.consumer("c", undefined, { positionIn, after: "end" });
    assert.equal(consumer.position, 4);
    await assert.rejects(consumer.commit(2), { code: "INVALID_ARGUMENT" });
    await assert.rejects(consumer.commit(5), { code: "INVALID_ARGUMENT" });
    await consumer.reset(1);
    assert.equal(consumer.position, 1);
    assert.deepEqual(
      (await take(consumer, 3)).map(({ sequence }) => sequence),
      [2, 3, 4],
    );
    await consumer.delete();
    assert.deepEqual(await store.consumers(), []);
    await assert.rejects(consumer.commit(3), { code: "CLOSED" });
    consumer = await store.consumer("c");
    assert.equal(consumer.position, -1);
    await store.close();
  });
}

test("two holders of one name are refused, and the name is free when the first lets go", () =>
  inDirectory(async (directory) => {
    const store = await Store.open(directory, OPTIONS);
    const first = await store.consumer("one");
    await assert.rejects(store.consumer("one"), (error) => isStoreError(error, "LOCKED") && error.details.pid === process.pid);
    const reader = await Store.open(directory, { readOnly: true });
    await assert.rejects(reader.consumer("one"), { code: "LOCKED" });
    const other = await reader.consumer("two");
    const waiting = reader.consumer("one", undefined, { lockWaitMs: 5000 });
    await first.close();
    await (await waiting).close();
    await other.close();
    await reader.close();
    await store.close();
  }));

test("a read-only process consumes beside the writer, and changes nothing of the log", () =>
  inDirectory(async (directory) => {
    const writer = await Store.open(directory, OPTIONS);
    await fill(writer, 5);
    const reader = await Store.open(directory, { readOnly: true });
    const logFiles = (): string[] => readdirSync(directory).filter((name) => name !== "consumers");
    const before = logFiles();
    const consumer = await reader.consumer("beside", { kind: Ticked });
    const taking = take(consumer, 8);
    await writer.append(at("a"), [Ticked({ n: 5 }), Ticked({ n: 6 }), Ticked({ n: 7 })]);
    const taken = await taking;
    assert.deepEqual(
      taken.map((event) => event.sequence),
      [0, 1, 2, 3, 4, 5, 6, 7],
    );
    await consumer.commit(taken[7]);
    assert.deepEqual(logFiles(), before);
    await assert.rejects(reader.consumer("log", undefined, { positionIn: "log" }), { code: "READ_ONLY" });
    assert.deepEqual(
      (await writer.consumers()).map(({ name, position, held }) => ({ name, position, held })),
      [{ name: "beside", position: 7, held: true }],
    );
    await reader.close();
    assert.equal((await writer.consumers())[0].held, false);
    await writer.close();
  }));

test("a commit is written before whoever closes the consumer next lets go of it", () =>
  inDirectory(async (directory) => {
    const store = await Store.open(directory, OPTIONS);
    await fill(store, 5);
    const events = await store.read().toArray();
    for (const [name, done] of [
      ["by event", events[2]],
      ["by number", 2],
    ] as const) {
      const consumer = await store.consumer(name);
      const committed = consumer.commit(done as never);
      await consumer.close();
      await committed;
      const again = await store.consumer(name);
      assert.equal(again.position, 2, name);
      await again.close();
    }
    await store.close();
  }));

test("an event of another log is not committed; a position that cannot be read is told beside the others", () =>
  inDirectory(async (directory) => {
    const store = await Store.open(directory, OPTIONS);
    await fill(store, 5);
    const other = await Store.open(join(directory, "other"), OPTIONS);
    await fill(other, 5);
    const consumer = await store.consumer("one");
    const [event] = await other.read().toArray();
    assert.ok(event !== undefined);
    await assert.rejects(consumer.commit(event as never), { code: "INVALID_ARGUMENT", message: /another event stands there/ });
    await assert.rejects(consumer.commit({ sequence: 2, hash: "00" } as never), { code: "INVALID_ARGUMENT" });
    assert.equal(consumer.position, -1);
    await consumer.commit((await store.read().toArray())[2] as never);
    assert.equal(consumer.position, 2);
    mkdirSync(join(directory, "consumers", "two", "position"), { recursive: true });
    const told = await store.consumers();
    assert.deepEqual(
      told.map(({ name, position, problem }) => [name, position, problem === null]),
      [
        ["one", 2, true],
        ["two", null, false],
      ],
    );
    await other.close();
    await store.close();
  }));

test("a damaged position is refused and never begins anew by itself; resetTo takes it up", () =>
  inDirectory(async (directory) => {
    const store = await Store.open(directory, OPTIONS);
    await fill(store, 5);
    const consumer = await store.consumer("frail");
    await consumer.commit(3);
    await consumer.close();
    const path = join(directory, "consumers", "frail", "position");
    const whole = readFileSync(path);
    for (let byte = 0; byte < whole.length; byte += 7) {
      const bad = Buffer.from(whole);
      bad[byte] ^= 0x40;
      writeFileSync(path, bad);
      await assert.rejects(store.consumer("frail"), { code: "CORRUPT" }, `byte ${byte}`);
    }
    for (const length of [0, 1, 72, whole.length - 1]) {
      writeFileSync(path, whole.subarray(0, length));
      await assert.rejects(store.consumer("frail"), { code: "CORRUPT" });
    }
    const [status] = await store.consumers();
    assert.equal(status.position, null);
    assert.match(status.problem ?? "", /resetTo/);
    const again = await store.consumer("frail", undefined, { resetTo: 2 });
    assert.equal(again.position, 2);
    await again.close();
    assert.equal((await store.consumer("frail")).position, 2);
    await store.close();
  }));

test("a position that the log cannot have given is refused: ahead of it, of another history, of another store", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "consumers", "c", "position");
    const positionAt = async (name: string, events: number, position: number): Promise<Buffer> => {
      const store = await Store.open(join(directory, name), OPTIONS);
      await fill(store, events);
      const consumer = await store.consumer("c");
      await consumer.commit(position);
      await store.close();
      return readFileSync(join(directory, name, "consumers", "c", "position"));
    };
    const foreign = await positionAt("other", 9, 2);
    const store = await Store.open(directory, OPTIONS);
    await fill(store, 5);
    const consumer = await store.consumer("c");
    await consumer.commit(4);
    await consumer.close();
    const own = readFileSync(path);
    writeFileSync(path, foreign);
    await assert.rejects(store.consumer("c"), { code: "CORRUPT" });
    const { encodeConsumerPosition } = await import("../format/consumer-position.ts");
    const storeId = own.subarray(16, 32);
    writeFileSync(path, encodeConsumerPosition({ storeId, name: "c", position: 5, hash: null, turn: 0 }));
    await assert.rejects(store.consumer("c"), (error) => isStoreError(error, "POSITION_MISMATCH") && error.details.position === 5);
    assert.equal((await store.consumers())[0].position, 5);
    writeFileSync(path, encodeConsumerPosition({ storeId, name: "c", position: 3, hash: "ab".repeat(32), turn: 0 }));
    await assert.rejects(store.consumer("c"), { code: "POSITION_MISMATCH" });
    writeFileSync(path, own);
    assert.equal((await store.consumer("c")).position, 4);
    await store.close();
  }));

test("names of every script have folders of their own, apart by case", () =>
  inDirectory(async (directory) => {
    const store = await Store.open(directory, OPTIONS);
    await fill(store, 3);
    const names = ["mailer", "Mailer", "..", "a/b", "a\\b", "Überweisung", "注文", "con.", "%41", "💸", "x".repeat(80), " "];
    for (const [i, name] of names.entries()) await (await store.consumer(name)).commit(i % 3);
    const listed = await store.consumers();
    assert.deepEqual(listed.map(({ name }) => name).sort(), [...names].sort());
    for (const { name, position } of listed) assert.equal(position, names.indexOf(name) % 3);
    assert(readdirSync(join(directory, "consumers")).every((folder) => /^[a-z0-9_%-]+$/.test(folder)));
    for (const bad of ["", "x".repeat(81), "\ud800", 5]) await assert.rejects(store.consumer(bad as string), { code: "INVALID_ARGUMENT" });
    await store.close();
  }));

test("a position in the log goes with its batch, is one record for each consumer, and survives every route of opening", () =>
  inDirectory(async (directory) => {
    let store = await Store.open(directory, OPTIONS);
    await fill(store, 200);
    let consumer = await store.consumer("twin", { kind: Ticked }, { positionIn: "log" });
    const other = await store.consumer("other", { kind: Ticked }, { positionIn: "log" });
    await other.commit(7);
    for await (const event of consumer) {
      await store.appendBatch([{ coordinate: at("b"), event: Noted({ n: event.data.n }) }], { commit: consumer.at(event) });
      assert.equal(consumer.position, event.sequence);
      if (event.sequence === 199) break;
    }
    // A batch that is refused moves nothing.
    await store.append(at("a"), Ticked({ n: 200 }));
    const refused = [{ coordinate: at("b"), event: Noted({ n: 0 }), expect: "none" as const }];
    await assert.rejects(store.appendBatch(refused, { commit: consumer.at(400) }), { code: "CONFLICT" });
    assert.equal(consumer.position, 199);
    // A retry of a batch that is there moves the position all the same.
    const keyed = [{ coordinate: at("b"), event: Noted({ n: 1 }), idempotencyKey: "k" }];
    await store.appendBatch(keyed);
    await store.appendBatch(keyed, { commit: consumer.at(300) });
    assert((await store.stats()).segments > 3);
    assert((await store.verify()).ok);
    const events = await store.count();
    await store.close();
    for (const lost of [[], ["index.ckpt"]]) {
      for (const name of lost) rmSync(join(directory, name));
      store = await Store.open(directory, OPTIONS);
      assert.equal(store.openReport.route, lost.length === 0 ? "checkpoint" : "index-blocks");
      consumer = await store.consumer("twin", { kind: Ticked });
      assert.equal(consumer.position, 300);
      assert.equal((await store.consumer("other")).position, 7);
      assert.equal(await store.count(), events);
      assert((await store.verify()).ok);
      await store.close();
    }
    const reader = await Store.open(directory, { readOnly: true });
    assert.equal((await reader.consumers()).length, 2);
    await assert.rejects(reader.consumer("twin"), { code: "READ_ONLY" });
    await reader.close();
    // 200 positions were written; a checkpoint has one of each consumer.
    const { readFileSync: read } = await import("node:fs");
    const checkpoint = read(join(directory, "index.ckpt")).toString("latin1");
    assert(checkpoint.split("twin").length - 1 < 8, `the checkpoint names it ${checkpoint.split("twin").length - 1} times`);
  }));

test("a position that batches take along goes forward only, in whatever order they are accepted, and goes back by reset", async () => {
  const disk = createMemoryDisk();
  let store = await openMemoryStore({ ...OPTIONS, disk });
  await fill(store, 20);
  let consumer = await store.consumer("c", undefined, { positionIn: "log" });
  const batch = (n: number, expect?: { noneMatching: { entity: string } } | "none") => [
    { coordinate: at("b"), event: Noted({ n }), ...(expect === undefined ? {} : { expect }) },
  ];
  const later = (entity: string) => ({ noneMatching: { entity } });
  const frames = (): number => store.segments().reduce((sum, segment) => sum + segment.frames, 0);
  let events = 20;
  const stands = async (position: number, noted: number): Promise<void> => {
    assert.equal(consumer.position, position);
    events += noted;
    assert.equal(await store.count(), events);
    // What is in force on disk is what is in memory.
    await store.close();
    store = await openMemoryStore({ ...OPTIONS, disk });
    consumer = await store.consumer("c");
    assert.equal(consumer.position, position);
  };
  // One taken before, appended after the other is written: the definition that it brings is recorded all the same.
  const three = consumer.at(3);
  await store.appendBatch([], { commit: consumer.at(5) });
  const before = frames();
  assert.equal((await store.appendBatch(batch(3), { commit: three })).length, 1);
  assert.equal(frames() - before, 2);
  await stands(5, 1);
  // The further one is accepted and not visible yet; so it is where nothing but the position is left to say.
  await Promise.all([
    store.appendBatch(batch(8), { commit: consumer.at(8) }),
    store.appendBatch(batch(7), { commit: consumer.at(7) }),
    store.appendBatch([], { commit: consumer.at(6) }).then((receipts) => {
      assert.deepEqual(receipts, []);
      assert.equal(consumer.position, 8, "it is answered with the one that is further");
    }),
    consumer.commit(6),
  ]);
  await stands(8, 2);
  // The further one waits to be judged: it is accepted …
  await Promise.all([
    store.appendBatch(batch(11, later("nobody")), { commit: consumer.at(11) }),
    store.appendBatch(batch(10), { commit: consumer.at(10) }),
    store.appendBatch([], { commit: consumer.at(9) }),
  ]);
  await stands(11, 2);
  // … or refused, and then takes no position of those behind it away.
  const refused = store.appendBatch(batch(14, later("a")), { commit: consumer.at(14) });
  const accepted = store.appendBatch(batch(12), { commit: consumer.at(12) });
  await assert.rejects(refused, { code: "CONFLICT" });
  await accepted;
  await stands(12, 1);
  // A position alone that waits behind one of those is not there before it is.
  await Promise.all([store.appendBatch(batch(15, later("nobody")), { commit: consumer.at(15) }), consumer.commit(16)]);
  await stands(16, 1);
  await consumer.reset(2);
  await stands(2, 0);
  await store.appendBatch(batch(4), { commit: consumer.at(4) });
  await stands(4, 1);
  assert((await store.verify()).ok);
  await store.close();
});

test("a position goes with a batch of its own store only, and from the log only", async () => {
  const store = await openMemoryStore();
  const stranger = await openMemoryStore();
  await fill(store, 2);
  await fill(stranger, 2);
  const filed = await store.consumer("filed");
  assert.throws(() => filed.at(1), { code: "INVALID_ARGUMENT" });
  const logged = await stranger.consumer("logged", undefined, { positionIn: "log" });
  await assert.rejects(store.appendBatch([], { commit: logged.at(1) }), { code: "INVALID_ARGUMENT" });
  await assert.rejects(store.appendBatch([], { commit: {} as never }), { code: "INVALID_ARGUMENT" });
  assert.deepEqual(await stranger.appendBatch([], { commit: logged.at(1) }), []);
  assert.equal(logged.position, 1);
  await filed.close();
  await assert.rejects(store.consumer("filed", undefined, { positionIn: "log" }), { code: "INVALID_ARGUMENT" });
  await store.close();
  await stranger.close();
});

test("commits made together write the furthest position once, and all of them resolve", async () => {
  const disk = createMemoryDisk();
  let renames = 0;
  const counting = new Proxy(disk, {
    get: (target, name) => {
      const value = Reflect.get(target, name) as unknown;
      if (name === "rename") renames++;
      return typeof value === "function" ? (value as () => unknown).bind(target) : value;
    },
  });
  const store = await openMemoryStore({ disk: counting });
  await fill(store, 100);
  const consumer = await store.consumer("many");
  renames = 0;
  const events = await take(consumer, 100);
  await Promise.all(events.map((event) => consumer.commit(event)));
  assert.equal(consumer.position, 99);
  assert(renames <= 2, `${renames} writes`);
  await store.close();
});

test("closing the store ends iterations and lets go of the names", () =>
  inDirectory(async (directory) => {
    const store = await Store.open(directory, OPTIONS);
    const consumer = await store.consumer("ending");
    const following = take(consumer, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await store.close();
    assert.deepEqual(await following, []);
    await assert.rejects(consumer.commit(0), { code: "CLOSED" });
    const again = await Store.open(directory, OPTIONS);
    await (await again.consumer("ending")).close();
    assert(existsSync(join(directory, "consumers", "ending", "position")));
    await again.close();
  }));

// On a real disk: half of the rounds told of an earlier write that had failed, of a file that was closed already.
test("a commit beside closing succeeds or is told that the store is closed, also where commits are not synced one by one", async () => {
  const outcomes = new Set<string>();
  for (let round = 0; round < 20; round++) {
    await inDirectory(async (directory) => {
      const store = await Store.open(directory, { ...OPTIONS, durability: "os" });
      await fill(store, 2000);
      const consumer = await store.consumer("c");
      const commits = (async () => {
        for await (const event of consumer) await consumer.commit(event);
      })().then(
        () => "ended",
        (error: unknown) => (isStoreError(error) ? error.code : String(error)),
      );
      await new Promise((resolve) => setTimeout(resolve, round));
      await store.close();
      outcomes.add(await commits);
    });
  }
  assert.ok(
    [...outcomes].every((outcome) => outcome === "ended" || outcome === "CLOSED"),
    [...outcomes].join(),
  );
});

test("a commit that is passed by one under way writes nothing; one that failed is asked for again", async () => {
  const begun: { readonly position: number; readonly end: (error?: Error) => void }[] = [];
  const keeper = {
    kind: "file" as const,
    write: (position: number) =>
      new Promise<void>((resolve, reject) => {
        begun.push({ position, end: (error) => (error === undefined ? resolve() : reject(error)) });
      }),
    remove: () => Promise.resolve(),
  };
  const source = {
    follow: () => assert.fail("nobody reads"),
    countBehind: () => Promise.resolve(0),
    visible: () => 100,
    hashAt: () => Promise.resolve(null),
    hashNow: () => null,
    assertReadable: () => {},
    owner: {},
    release: () => Promise.resolve(),
  };
  const consumer = new Consumer("stub", source, keeper, -1, {});
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const far = consumer.commit(60);
  await turn();
  const near = consumer.commit(40);
  const further = consumer.commit(70);
  await turn();
  assert.deepEqual(
    begun.map(({ position }) => position),
    [60],
  );
  begun[0].end();
  await far;
  await turn();
  assert.deepEqual(
    begun.map(({ position }) => position),
    [60, 70],
  );
  assert.equal(consumer.position, 60);
  const passed = consumer.commit(65);
  begun[1].end(new Error("disk full"));
  await assert.rejects(Promise.all([near, further]), /disk full/);
  await turn();
  assert.deepEqual(
    begun.map(({ position }) => position),
    [60, 70, 65],
  );
  begun[2].end();
  await passed;
  const again = consumer.commit(80);
  await turn();
  const less = consumer.commit(75);
  begun[3].end();
  await Promise.all([again, less]);
  assert.equal(begun.length, 4);
  assert.equal(consumer.position, 80);
  await consumer.close();
});

test("in the batpak 0.3 layout positions are in files, for the writer and beside it", () =>
  inDirectory(async (directory) => {
    const kinded = defineEvent("Kinded", { schema: type<{ n: number }>(), kind: { category: 2, type: 1 } });
    const writer = await Store.open(directory, { layout: "batpak-0.3", events: [kinded] });
    await writer.append(
      at("a"),
      Array.from({ length: 10 }, (_, n) => kinded({ n })),
    );
    await assert.rejects(writer.consumer("log", undefined, { positionIn: "log" }), { code: "UNSUPPORTED_BY_LAYOUT" });
    const own = await writer.consumer("own", { kind: kinded });
    await own.commit((await take(own, 4))[3]);
    const reader = await Store.open(directory, { readOnly: true });
    const beside = await reader.consumer("beside");
    const taking = take(beside, 12);
    await writer.append(at("b"), [kinded({ n: 10 }), kinded({ n: 11 })]);
    await beside.commit((await taking)[11]);
    assert.deepEqual(
      (await writer.consumers()).map(({ name, position, lag }) => [name, position, lag]),
      [
        ["beside", (await writer.head("b"))?.sequence, 0],
        ["own", own.position, 8],
      ],
    );
    await reader.close();
    await writer.close();
  }));

test("whatever is asked for at once is done one after the other, and nothing after it is closed", () =>
  inDirectory(async (directory) => {
    const store = await Store.open(directory, OPTIONS);
    await fill(store, 12);
    const positionOf = async (name: string): Promise<number | null | undefined> =>
      (await store.consumers()).find((consumer) => consumer.name === name)?.position;
    const descriptors = (): number => (existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0);
    type Ask = (consumer: Consumer<{ sequence: number; hash: string }>) => Promise<unknown>;
    const asks: [string, Ask][] = [
      ["reset 8", (consumer) => consumer.reset(8)],
      ["reset 3", (consumer) => consumer.reset(3)],
      ["commit 9", (consumer) => consumer.commit(9)],
    ];
    let number = 0;
    // Found by looking: two resets at once wrote at once, and commits after them went to a file without a name.
    for (const [first, askFirst] of asks) {
      for (const [second, askSecond] of asks) {
        const name = `c${number++}`;
        const consumer = await store.consumer(name);
        await Promise.allSettled([askFirst(consumer), askSecond(consumer)]);
        assert.equal(await positionOf(name), consumer.position, `${first} beside ${second}`);
        await consumer.commit(10);
        await consumer.commit(11);
        assert.equal(await positionOf(name), 11, `commits after ${first} beside ${second}`);
        await consumer.close();
      }
    }
    const open = descriptors();
    for (const [what, ask] of asks) {
      for (const end of ["close", "delete"] as const) {
        for (let turns = 0; turns < 12; turns++) {
          const name = `e${number++}`;
          const consumer = await store.consumer(name);
          const asked = ask(consumer).then(
            () => "done",
            (error: unknown) => (isStoreError(error, "CLOSED") ? "closed" : error),
          );
          for (let turn = 0; turn < turns; turn++) await Promise.resolve();
          await consumer[end]();
          const told = await asked;
          assert(told === "done" || told === "closed", `${what} beside ${end}: ${String(told)}`);
          // Held by nobody, and as it is left: gone, or where it was last told to be.
          const left = await positionOf(name);
          if (end === "delete") assert.equal(left, undefined, `${what} beside delete`);
          else assert.equal(left, told === "done" ? consumer.position : -1, `${what} beside close`);
          await (await store.consumer(name)).close();
        }
      }
    }
    const twice = await store.consumer("twice");
    const both = await Promise.allSettled([twice.delete(), twice.delete()]);
    assert.deepEqual(
      both.map(({ status }) => status),
      ["fulfilled", "rejected"],
    );
    assert(both[1].status === "rejected" && isStoreError(both[1].reason, "CLOSED"));
    assert.equal(descriptors(), open, "no file is left open");
    await store.close();
  }));

test("after a kill the position that is found is written before it is relied on, and damage to it is told from then on", () =>
  inDirectory(async (directory) => {
    const store = await Store.open(directory, OPTIONS);
    await fill(store, 6);
    const path = join(directory, "consumers", "killed", "position");
    const consumer = await store.consumer("killed");
    await consumer.commit(4);
    await consumer.commit(5);
    const asKilled = readFileSync(path);
    await consumer.close();
    writeFileSync(path, asKilled);
    await (await store.consumer("killed")).close();
    const bytes = readFileSync(path);
    assert(bytes.length < asKilled.length, "one record");
    bytes[32] ^= 1;
    writeFileSync(path, bytes);
    await assert.rejects(store.consumer("killed"), { code: "CORRUPT" });
    await store.close();
  }));

test("where the disk is full a consumer is refused as it is opened, its position stands, and its name is free", async () => {
  const disk = new SimulatedDisk();
  const store = await Store.open("/store", { ...OPTIONS, disk });
  await fill(store, 6);
  const consumer = await store.consumer("full");
  await consumer.commit(2);
  await consumer.commit(3);
  await consumer.close();
  const path = "/store/consumers/full/position";
  const left = disk.bytesOf(path);
  for (const kind of ["write", "sync", "rename"]) {
    disk.faults = (operation) => (operation.kind === kind && operation.path.includes("position") ? { error: "ENOSPC" } : undefined);
    await assert.rejects(store.consumer("full"), (error) => isStoreError(error, "IO"), kind);
    disk.faults = undefined;
    assert.deepEqual(disk.bytesOf(path), left, kind);
  }
  // One whose commit found no room goes on from the last that did.
  const again = await store.consumer("full");
  disk.faults = ({ kind, durable }) => (kind === "write" && durable === true ? { error: "ENOSPC", afterBytes: 40 } : undefined);
  await assert.rejects(again.commit(5), (error) => isStoreError(error, "IO"));
  disk.faults = undefined;
  assert.equal(again.position, 3);
  await again.close();
  assert.equal((await store.consumer("full")).position, 3);
  await store.close();
});

/** A store with twelve events, whose position in the log a batch takes along to the last but one. */
async function withBatch(
  use: (
    store: Store,
    consumer: Consumer<{ readonly sequence: number; readonly hash: string }>,
    batch: () => Promise<unknown>,
  ) => Promise<void>,
): Promise<void> {
  const store = await openMemoryStore(OPTIONS);
  await fill(store, 12);
  const consumer = await store.consumer("c", {}, { positionIn: "log" });
  const place = consumer.at(10);
  await use(store, consumer, () => store.appendBatch([{ coordinate: at("b"), event: Noted({ n: 1 }) }], { commit: place }));
  await store.close();
}

const positions = async (store: Store): Promise<(number | null)[]> => (await store.consumers()).map(({ position }) => position);

test("a reset comes behind the batches that take the position along and were appended before it", () =>
  withBatch(async (store, consumer, batch) => {
    await Promise.all([batch(), consumer.reset("start")]);
    assert.equal(consumer.position, -1);
    assert.deepEqual(await positions(store), [-1]);
  }));

test("a consumer that is deleted beside such a batch is gone", () =>
  withBatch(async (store, consumer, batch) => {
    await Promise.all([batch(), consumer.delete()]);
    assert.deepEqual(await positions(store), []);
    assert.equal((await store.consumer("c")).position, -1);
  }));

test("a consumer lets go of its name when such batches have ended: who opens it next goes on behind them", () =>
  withBatch(async (store, consumer, batch) => {
    const appended = batch();
    await consumer.close();
    const next = await store.consumer("c");
    assert.equal(next.position, 10);
    await appended;
    assert.deepEqual(
      (await take(next, 1)).map(({ sequence }) => sequence),
      [11],
    );
  }));

test("the place of a consumer that is closed moves nothing", () =>
  withBatch(async (store, consumer, batch) => {
    await consumer.close();
    const next = await store.consumer("c", {}, { positionIn: "log", resetTo: 3 });
    await assert.rejects(batch(), { code: "CLOSED" });
    assert.equal(next.position, 3);
    assert.deepEqual(await positions(store), [3]);
    assert.equal(await store.count({ kind: Noted }), 0);
  }));

test("a reset gets through beside batches that never rest, and a batch that comes during it comes behind it", {
  timeout: 20_000,
}, async () => {
  const store = await openMemoryStore(OPTIONS);
  await fill(store, 40);
  const consumer = await store.consumer("c", {}, { positionIn: "log" });
  let isOver = false;
  const lane = async (): Promise<void> => {
    while (!isOver) await store.appendBatch([{ coordinate: at("b"), event: Noted({ n: 1 }) }], { commit: consumer.at(consumer.position) });
  };
  const lanes = [lane(), lane(), lane()];
  await consumer.reset(10);
  isOver = true;
  await Promise.all(lanes);
  assert.ok(consumer.position >= 10);
  for (let microtasks = 0; microtasks < 12; microtasks++) {
    const place = consumer.at(38);
    const reset = consumer.reset("start");
    for (let n = 0; n < microtasks; n++) await Promise.resolve();
    await Promise.all([reset, store.appendBatch([{ coordinate: at("b"), event: Noted({ n: 2 }) }], { commit: place })]);
    assert.deepEqual([consumer.position, ...(await positions(store))], [38, 38], `${microtasks} turns of the microtask queue`);
  }
  await store.close();
});

test("a consumer that the schema of such a batch closes is closed behind the batch", async () => {
  const store = await openMemoryStore(OPTIONS);
  await fill(store, 12);
  const consumer = await store.consumer("c", {}, { positionIn: "log" });
  const order: string[] = [];
  let closing: Promise<unknown> = Promise.resolve();
  const validate = (value: unknown): { readonly value: unknown } => {
    closing = consumer.close().then(() => order.push("closed"));
    return { value };
  };
  const Closing = defineEvent("Closing", { schema: { "~standard": { version: 1 as const, vendor: "test", validate } } });
  await store.appendBatch([{ coordinate: at("b"), event: Closing({}) }], { commit: consumer.at(10) });
  order.push("stored");
  await closing;
  assert.deepEqual(order, ["stored", "closed"]);
  assert.equal((await store.consumer("c")).position, 10);
  await store.close();
});
