/** Everything wrong that can be given: its typed error with a code, and nothing written or lost. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isStoreError, type StoreErrorCode } from "../../src/base/store-error.ts";
import { type AnyNewEvent, defineEvent, rawEvent, type } from "../../src/events/definition.ts";
import { compactStore } from "../../src/compaction.ts";
import { convertStore } from "../../src/convert.ts";
import { repairStore } from "../../src/repair.ts";
import { Store } from "../../src/store.ts";
import type { StoreOptions } from "../../src/store-options.ts";
import { createMemoryDisk } from "../../src/testing/memory-disk.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { Counted, DIRECTORY, known, numbersIn, openStore } from "./support/log-image.ts";

const at = { entity: "counter", scope: "test" };

type Expected = StoreErrorCode | "INVALID_ARGUMENT";

function hasCode(error: unknown, code: Expected): boolean {
  if (code === "INVALID_ARGUMENT") {
    assert(error instanceof TypeError || error instanceof RangeError, String(error));
    assert.equal((error as { code?: unknown }).code, code);
  } else assert(isStoreError(error, code), String(error));
  assert.match((error as Error).message, /^Cannot .+: /s);
  return true;
}

/** Tries what is wrong beside two good events, and sees that those alone are there, also after opening again. */
async function refuses(
  code: Expected,
  attempts: readonly ((store: Store<typeof known.events>) => Promise<unknown>)[],
  options: StoreOptions = {},
): Promise<void> {
  const disk = new SimulatedDisk();
  const store = await openStore(disk, options);
  await store.append(at, Counted({ n: 0 }));
  const { bytes, commits } = await store.stats();
  for (const [i, attempt] of attempts.entries()) {
    await assert.rejects(
      async () => attempt(store),
      (error) => hasCode(error, code),
      `attempt ${i}`,
    );
  }
  const after = await store.stats();
  assert.deepEqual([after.events, after.bytes, after.commits, after.queuedBytes], [1, bytes, commits, 0]);
  assert.equal((await store.append(at, Counted({ n: 1 }))).sequence, 1);
  await store.close();
  const again = await openStore(disk);
  assert.deepEqual(await numbersIn(again), [0, 1]);
  await again.close();
}

test("empty, over-long and reserved names", () =>
  refuses(
    "INVALID_ARGUMENT",
    [
      { entity: "", scope: "s" },
      { entity: "e", scope: "" },
      { entity: "x".repeat(1025), scope: "s" },
      { entity: "e", scope: "ø".repeat(513) },
      { entity: "_batpak", scope: "s" },
      { entity: "\ud800", scope: "s" },
      { entity: 5 as unknown as string, scope: "s" },
      null as unknown as typeof at,
    ].map((coordinate) => (store) => store.append(coordinate, Counted({ n: 9 }))),
  ));

test("reserved, unknown and out of range kinds", () =>
  refuses(
    "INVALID_ARGUMENT",
    [0, 6, 7, 8, 0x0fff, 0xd000, 0xd003, 0xdfff, 65_536, -1, 1.5].map(
      (kind) => async (store: Store<typeof known.events>) => store.append(at, rawEvent(kind, { n: 9 })),
    ),
  ));

test("the library's own kinds that are open at the public door are taken", async () => {
  const store = await openStore(new SimulatedDisk());
  for (const kind of [1, 2, 3, 4, 5, 0x0ffe, 0xd001, 0xd002, 0xd004, 0xd005, 0xd006, 0xd007, 0x1000]) {
    const receipt = await store.append(at, rawEvent(kind, null));
    assert.equal((await store.get(receipt.id))?.kind, kind);
  }
  await store.close();
});

test("payloads that cannot be encoded, with the path to what is wrong", async () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = { cycle };
  let deep: unknown = 1;
  for (let i = 0; i < 101; i++) deep = [deep];
  const payloads: readonly unknown[] = [
    { a: () => 1 },
    { a: [Symbol("s")] },
    cycle,
    { a: new Map() },
    { a: new (class Point {})() },
    { at: new Date(Number.NaN) },
    Object.defineProperty({}, "__proto__", { value: 1, enumerable: true }),
    { text: "\udc00" },
    deep,
    undefined,
  ];
  await refuses(
    "PAYLOAD_UNSUPPORTED",
    payloads.map((payload) => async (store) => store.append(at, rawEvent(0x1000, payload))),
  );
});

test("a schema that says no, in time and later", async () => {
  const issue = { issues: [{ message: "no", path: ["n"] }] };
  const schemaOf = (validate: () => unknown) => ({
    "~standard": { version: 1 as const, vendor: "test", validate: validate as () => typeof issue },
  });
  const Never = defineEvent("Never", { schema: schemaOf(() => issue) });
  const Later = defineEvent("Later", { schema: schemaOf(async () => issue) });
  const make = (definition: typeof Never | typeof Later) => (definition as unknown as (data: unknown) => AnyNewEvent)({ n: 1 });
  await refuses("INVALID_EVENT", [
    (store) => store.append(at, make(Never)),
    (store) => store.append(at, make(Later)),
    (store) => store.append(at, [Counted({ n: 5 }), make(Later)]),
    (store) =>
      store.appendBatch([
        { coordinate: at, event: Counted({ n: 5 }) },
        { coordinate: at, event: make(Never) },
      ]),
  ]);
  const silent = [() => undefined, () => null, () => "fine", async () => undefined].map((validate) =>
    defineEvent("Silent", { schema: schemaOf(validate) }),
  );
  await refuses(
    "INVALID_ARGUMENT",
    silent.map((definition) => async (store) => store.append(at, make(definition as unknown as typeof Never))),
  );
});

test("a batch that is refused for one of its definitions claims no name for the others", async () => {
  const Known = defineEvent("Known", { kind: 0xf005 });
  const store = await Store.open("/store", { disk: new SimulatedDisk(), events: [Known] });
  const New = defineEvent("New");
  const Rival = defineEvent("Rival", { kind: 0xf005 });
  await assert.rejects(store.append(at, [New(1), Rival(2)]), { code: "INVALID_ARGUMENT" });
  const Again = defineEvent("New", { version: 2 });
  assert.equal((await store.append(at, Again(1))).sequence, 0);
  await store.close();
});

test("what is far over the limit is not encoded to its end, and the error has a size and the limit", async () => {
  const store = await Store.open("/store", { disk: new SimulatedDisk(), payloadBytesMax: 100_000 });
  const many = (count: number): string[] => Array.from({ length: count }, () => "x".repeat(1000));
  for (const data of ["x".repeat(1e6), many(1000)]) {
    await assert.rejects(store.append(at, { kind: 0xf001, data }), (error) => {
      assert(isStoreError(error, "TOO_LARGE") && error.message.includes("100000"), String(error));
      const { what, bytes, bytesMax } = error.details;
      assert.deepEqual([what, bytesMax, bytes > 100_000 && bytes <= 1_010_000], ["the payload", 100_000, true], `${bytes} bytes`);
      return true;
    });
  }
  await assert.rejects(store.append(at, { kind: 0xf001, data: 1 }, { metadata: { more: many(1000) } }), {
    code: "TOO_LARGE",
    message: /^Cannot append: the (?:payload with the )?metadata is .*\d+ bytes, at most \d+ is allowed$/,
  });
  await store.close();
});

test("payloads and batches over the limits", async () => {
  const pad = (length: number) => Counted({ n: 9, pad: "x".repeat(length) });
  await refuses("TOO_LARGE", [(store) => store.append(at, pad(2000)), (store) => store.append(at, [pad(1), pad(2000)])], {
    payloadBytesMax: 1000,
  });
  await refuses("TOO_LARGE", [(store) => store.append(at, [pad(600), pad(600)])], { batchBytesMax: 1000 });
  let encoded = 0;
  const counted = () =>
    Counted({
      n: 9,
      pad: "x".repeat(600),
      get more() {
        return encoded++;
      },
    } as never);
  await refuses("TOO_LARGE", [(store) => store.append(at, Array.from({ length: 50 }, counted))], { batchBytesMax: 1000 });
  assert.equal(encoded, 2, "no more is encoded than shows that it is too much");
  const metadata = { note: "x".repeat(600) };
  await refuses("TOO_LARGE", [(store) => store.append(at, [pad(1), pad(1)], { metadata })], { batchBytesMax: 1000 });
  await refuses("TOO_LARGE", [(store) => store.append(at, pad(1), { metadata: { note: "x".repeat(2000) } })], { payloadBytesMax: 1000 });
  await refuses(
    "TOO_LARGE",
    [
      (store) => store.append(at, [pad(1), pad(1), pad(1)]),
      (store) => store.appendBatch([1, 2, 3].map((n) => ({ coordinate: at, event: Counted({ n }) }))),
    ],
    { batchEventsMax: 2 },
  );
});

test("an event that is none, batches of nothing, unknown and wrong options", () =>
  refuses("INVALID_ARGUMENT", [
    (store) => store.append(at, {} as AnyNewEvent),
    (store) => store.append(at, null as unknown as AnyNewEvent),
    (store) => store.appendBatch([{ coordinate: at }] as never),
    (store) => store.append(at, Counted({ n: 9 }), { idempotenceKey: "k" } as never),
    (store) => store.append(at, Counted({ n: 9 }), { idempotencyKey: "" }),
    (store) => store.append(at, Counted({ n: 9 }), { idempotencyKey: "k".repeat(1025) }),
    (store) => store.append(at, Counted({ n: 9 }), { causedBy: "no id" }),
    (store) => store.append(at, Counted({ n: 9 }), { correlationId: "12" }),
    (store) => store.append(at, Counted({ n: 9 }), { expect: "never" as never }),
    (store) => store.append(at, Counted({ n: 9 }), { expect: { clock: -1 } }),
    (store) => store.append(at, Counted({ n: 9 }), { metadata: [] as never }),
    (store) => store.append(at, Counted({ n: 9 }), { signal: {} as never }),
    (store) =>
      store.appendBatch([
        { coordinate: at, event: Counted({ n: 9 }), idempotencyKey: "one" },
        { coordinate: at, event: Counted({ n: 9 }), idempotencyKey: "one" },
      ]),
    async (store) => store.read({ entitty: "x" } as never).toArray(),
    async (store) => store.read({ clock: { from: 1, after: 1 } }).toArray(),
    async (store) => store.read({}, { limit: -1 }).toArray(),
    async (store) => store.read({}, { direction: "up" as never }).toArray(),
    (store) => store.get("nothing like an id"),
    (store) => store.head(""),
    async (store) => store.entities({ prefx: "x" } as never).toArray(),
  ]));

test("what is wrong with an append of no events, which resolves to no receipts whatever is so", async () => {
  await refuses("INVALID_ARGUMENT", [
    (store) => store.append({ entity: "", scope: "s" }, []),
    (store) => store.append({ entity: "e", scope: 5 as never }, []),
    (store) => store.append(null as never, []),
    (store) => store.append(at, [], { expect: "bogus" as never }),
    (store) => store.append(at, [], { idempotencyKey: "" }),
    (store) => store.append(at, [], { causedBy: "no id" }),
    (store) => store.append(at, [], { metadata: [] as never }),
  ]);
  const store = await openStore(new SimulatedDisk());
  await store.append(at, Counted({ n: 0 }));
  assert.deepEqual(await store.append(at, [], { expect: "none", idempotencyKey: "key" }), []);
  await store.close();
});

test("metadata that is stored as something else than an object, which no event could be read with", () =>
  refuses("INVALID_ARGUMENT", [
    (store) => store.append(at, Counted({ n: 9 }), { metadata: new Date() as never }),
    (store) => store.append(at, Counted({ n: 9 }), { metadata: new Uint8Array(2) as never }),
    (store) => store.appendBatch([{ coordinate: at, event: Counted({ n: 9 }), metadata: Buffer.from("x") as never }]),
  ]));

test("what is true or false, and is neither, and signals that are none", async () => {
  await refuses("INVALID_ARGUMENT", [
    (store) => store.import([], { skipBad: "yes" as never }),
    (store) => store.verify({ signal: 1 as never }),
    (store) => store.verify({ onProgress: 1 as never }),
    () => convertStore("/store", "/other", { layout: "batpak-0.3", lossy: "yes" as never }),
    () => convertStore("/store", "/other", { layout: "batpak-0.3", onProgress: 1 as never }),
    () => convertStore("/store", "/other", { layout: "batpak-0.3", signal: 1 as never }),
  ]);
});

test("metadata that cannot be encoded", () =>
  refuses("PAYLOAD_UNSUPPORTED", [(store) => store.append(at, Counted({ n: 9 }), { metadata: { f: () => 1 } as never })]));

test("options of open that are unknown or out of range, before anything is made", async () => {
  const disk = createMemoryDisk();
  let options = 0;
  for (const wrong of [
    { segmentBytes: 1 },
    { segmentBytesMax: 100 },
    { segmentBytesMax: 2 ** 31 },
    { payloadBytesMax: 0 },
    { batchEventsMax: 1.5 },
    { batchBytesMax: "1" },
    { queuedBytesMax: 1 },
    { indexCacheBytes: Number.NaN },
    { durability: "never" },
    { durability: { everyMs: 0 } },
    { durability: { everyMs: 5, every: 1 } },
    { checkpoint: true },
    { checkpoint: { everyEvents: 0 } },
    { layout: "other" },
    { readOnly: 1 },
    { lockWaitMs: -1 },
    { events: [{}] },
    { events: "x" },
    { clock: 5 },
    { clock: {} },
    { clock: null },
    { clock: { nowMicros: () => 0 } },
    { random: 5 },
    { random: null },
    { disk: 5 },
    { disk: null },
    { disk: { open: () => {} } },
    [],
    null,
  ]) {
    await assert.rejects(
      async () => Store.open("/new", (Array.isArray(wrong) || wrong === null ? wrong : { disk, ...wrong }) as never),
      (error) => hasCode(error, "INVALID_ARGUMENT"),
      JSON.stringify(wrong),
    );
    options++;
  }
  assert.equal(options, 29);
  await assert.rejects(Store.open(""), { code: "INVALID_ARGUMENT" });
  await assert.rejects(Store.open(new URL("file:///new") as never), { code: "INVALID_ARGUMENT", message: /fileURLToPath/ });
  for (const wrong of [{ disk: 5 }, { clock: {} }] as never[]) {
    await assert.rejects(repairStore("/new", wrong), (error) => hasCode(error, "INVALID_ARGUMENT"));
    await assert.rejects(compactStore("/new", { keepLast: 1, ...(wrong as object) }), (error) => hasCode(error, "INVALID_ARGUMENT"));
  }
  await assert.rejects(convertStore("/new", "/other", { layout: "native", disk: 5 as never }), (error) =>
    hasCode(error, "INVALID_ARGUMENT"),
  );
  assert.equal(await disk.status("/new"), null);
});

test("a path that is a file, a directory without permission, a reader of nothing", async () => {
  const folder = mkdtempSync(join(tmpdir(), "batpak-bad-"));
  try {
    const file = join(folder, "file");
    writeFileSync(file, "hello");
    for (const readOnly of [false, true]) {
      await assert.rejects(Store.open(file, { readOnly }), (error) => hasCode(error, "IO"));
      await assert
        .rejects(Store.open(join(file, "below"), { readOnly }), (error) => hasCode(error, readOnly ? "NOT_FOUND" : "IO"))
        .catch(async () => {
          await assert.rejects(Store.open(join(file, "below"), { readOnly }), (error) => hasCode(error, "IO"));
        });
    }
    await assert.rejects(Store.open(join(folder, "none"), { readOnly: true }), (error) => hasCode(error, "NOT_FOUND"));
    mkdirSync(join(folder, "empty"));
    await assert.rejects(Store.open(join(folder, "empty"), { readOnly: true }), (error) => hasCode(error, "NOT_FOUND"));
    // The superuser may write anywhere: the refusal is then the simulated disk's.
    if (process.getuid?.() !== 0) {
      mkdirSync(join(folder, "closed"));
      chmodSync(join(folder, "closed"), 0o500);
      await assert.rejects(Store.open(join(folder, "closed")), (error) => hasCode(error, "IO"));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  for (const kind of ["makeDirectory", "create", "write", "sync", "lock", "syncDirectory"] as const) {
    const disk = new SimulatedDisk({ faults: (operation) => (operation.kind === kind ? { error: "EACCES" } : undefined) });
    await assert.rejects(openStore(disk), (error) => hasCode(error, "IO"), kind);
    assert.equal(disk.openFileCount, 0, kind);
    disk.faults = undefined;
    const store = await openStore(disk);
    await store.append(at, Counted({ n: 1 }));
    await store.close();
  }
});

test("a full disk: what is in flight is not known, the rest is refused, and what was acknowledged is there after opening again", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  await store.append(at, Counted({ n: 0 }));
  disk.faults = ({ kind, path }) => (kind === "write" && path.endsWith(".fbat") ? { error: "ENOSPC", afterBytes: 40 } : undefined);
  await assert.rejects(store.append(at, Counted({ n: 1 })), (error) => hasCode(error, "COMMIT_UNKNOWN"));
  await assert.rejects(store.append(at, Counted({ n: 2 })), (error) => hasCode(error, "POISONED"));
  assert.deepEqual(await numbersIn(store), [0]);
  await assert.rejects(store.close());
  disk.faults = undefined;
  assert.equal(disk.openFileCount, 0);
  const again = await openStore(disk);
  assert.deepEqual(await numbersIn(again), [0]);
  assert.equal((await again.append(at, Counted({ n: 3 }))).sequence, 1);
  await again.close();
});

test("a second writer of the same process, and of another, is refused until the first lets go", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  await store.append(at, Counted({ n: 0 }));
  for (const [other, sameProcess] of [
    [disk, true],
    [disk.asProcess(2222), false],
  ] as const) {
    await assert.rejects(Store.open(DIRECTORY, { ...known, disk: other }), (error) => {
      assert(isStoreError(error, "LOCKED"));
      assert.deepEqual([error.details.pid, error.details.sameProcess], [disk.self.pid, sameProcess]);
      return true;
    });
  }
  await store.append(at, Counted({ n: 1 }));
  await store.close();
  const next = await openStore(disk);
  assert.deepEqual(await numbersIn(next), [0, 1]);
  await next.close();
});

test("two definitions that claim one kind or one name", async () => {
  const disk = new SimulatedDisk();
  const schema = type<{ n: number }>();
  const SameKind = defineEvent("Other", { schema, kind: { category: 1, type: 7 } });
  const SameName = defineEvent("Counted", { schema, kind: { category: 1, type: 8 } });
  for (const other of [SameKind, SameName]) {
    await assert.rejects(Store.open("/new", { disk, events: [Counted, other] }), (error) => hasCode(error, "INVALID_ARGUMENT"));
  }
  await refuses("INVALID_ARGUMENT", [(store) => store.append(at, SameKind({ n: 1 })), (store) => store.append(at, SameName({ n: 1 }))]);
});
