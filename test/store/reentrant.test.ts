/** A payload's getter runs while the payload is encoded where it will be written: whatever it does there, the store stays whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineDecider, defineEvent, isStoreError, Store, type } from "../../src/index.ts";
import { SimulatedDisk } from "../../src/testing/sim-disk.ts";

const at = { entity: "a", scope: "s" };
const event = (data: unknown): { kind: number; data: unknown } => ({ kind: 0x1001, data });

for (const layout of ["native", "batpak-0.3"] as const) {
  test(`a getter that appends does not disturb the append that it is of (${layout})`, async () => {
    const disk = new SimulatedDisk();
    const store = await Store.open("/store", { disk, layout });
    const inner: Promise<unknown>[] = [];
    const data = {
      before: 1,
      get other() {
        inner.push(store.append(at, event({ inner: true })), store.append(at, [event({ inner: true }), event(1)]));
        return 2;
      },
      after: 3,
    };
    const receipts = await Promise.all([store.append(at, event(data)), store.append(at, event(4))]);
    const answers = await Promise.allSettled(inner);
    assert.equal(answers.length, 2);
    for (const answer of answers) assert.ok(answer.status === "rejected" && isStoreError(answer.reason, "PAYLOAD_UNSUPPORTED"));
    await store.close();
    const again = await Store.open("/store", { disk, checkpoint: false });
    const events = await again.read().toArray();
    assert.deepEqual(
      events.map(({ id }) => id),
      receipts.map(({ id }) => id),
    );
    assert.deepEqual(
      events.map((one) => one.data),
      [{ before: 1, other: 2, after: 3 }, 4],
    );
    assert.ok((await again.verify()).ok);
    await again.close();
  });

  test(`a getter that closes the store and throws holds up nobody (${layout})`, { timeout: 10_000 }, async () => {
    const store = await Store.open("/store", { disk: new SimulatedDisk(), layout });
    const closed: Promise<void>[] = [];
    const data = {
      get other() {
        closed.push(store.close());
        throw new Error("no value");
      },
    };
    await assert.rejects(store.append(at, event(data)));
    await Promise.all(closed);
  });
}

/** Resolves with what came of it, or "pending". */
async function stateOf(promise: Promise<unknown>): Promise<string> {
  const settled = promise.then(
    () => "resolved",
    (error: unknown) => (isStoreError(error) ? error.code : (error as Error).message),
  );
  return await Promise.race([settled, new Promise<string>((resolve) => setTimeout(resolve, 200, "pending"))]);
}

// What it appended waited for room that its own bytes took, and nothing was in flight that would have made some: everybody waited for ever.
for (const way of ["throws", "is refused"] as const) {
  test(`a getter appends where its own append fills the queue, and then ${way}: nobody waits`, async () => {
    const store = await Store.open("/store", { disk: new SimulatedDisk(), queuedBytesMax: 65_536 });
    await store.append(at, event(0));
    const inner: Promise<unknown>[] = [];
    const data = {
      big: new Uint8Array(70_000),
      get other() {
        inner.push(store.append(at, event("inner")));
        if (way === "throws") throw new Error("no value");
        return 1;
      },
    };
    const outer = store.append(at, event(data), way === "throws" ? {} : { expect: "none" });
    assert.equal(await stateOf(outer), way === "throws" ? "no value" : "CONFLICT");
    assert.notEqual(await stateOf(inner[0]), "pending");
    assert.equal(await stateOf(store.append(at, event("later"))), "resolved");
    await store.close();
  });
}

test("a getter that aborts the append that it is of: it is not stored, also where it had waited for room", async () => {
  for (const waits of [false, true]) {
    const store = await Store.open("/store", { disk: new SimulatedDisk(), queuedBytesMax: 65_536 });
    const first = store.append(at, event(waits ? new Uint8Array(70_000) : 0));
    const controller = new AbortController();
    const data = {
      get other() {
        controller.abort();
        return 1;
      },
    };
    await assert.rejects(store.append(at, event(data), { signal: controller.signal }), { name: "AbortError" });
    await first;
    assert.equal(await store.count(), 1);
    await store.close();
  }
});

test("a schema that aborts the append and never answers holds up nobody", async () => {
  const controller = new AbortController();
  const validate = (): Promise<never> => {
    controller.abort(new Error("too late"));
    return new Promise(() => {});
  };
  const Silent = defineEvent("Silent", { schema: { "~standard": { version: 1, vendor: "test", validate } } });
  const store = await Store.open("/store", { disk: new SimulatedDisk() });
  await assert.rejects(store.append(at, Silent(1 as never), { signal: controller.signal }), /too late/);
  await store.close();
});

test("a raw event whose getters answer otherwise the second time is stored as it was checked", async () => {
  const store = await Store.open("/store", { disk: new SimulatedDisk() });
  let asked = 0;
  const shifty = {
    get kind() {
      return asked++ === 0 ? 0x1001 : 2;
    },
    get version() {
      return asked++ < 2 ? 3 : 70_000;
    },
    data: 1,
  };
  await store.append(at, shifty);
  const [stored] = await store.read().toArray();
  assert.deepEqual([stored.kind, stored.version], [0x1001, 3]);
  await store.close();
});

test("what a schema appends within a command that has a place kept waits behind those who wait for the place", async () => {
  const store = await Store.open("/store", { disk: new SimulatedDisk() });
  let attempt = 0;
  const others: Promise<unknown>[] = [];
  const append = (entity: string): void => void others.push(store.append({ entity, scope: "s" }, event(attempt)));
  const Told = defineEvent("Told", {
    schema: {
      "~standard": {
        ...type<{ n: number }>()["~standard"],
        validate: (value) => {
          if (attempt === 4) append("of the schema");
          return { value: value as { n: number } };
        },
      },
    },
  });
  const Late = defineDecider({
    events: [Told],
    initial: 0,
    decide: (_command: null, n) => {
      // Too late three times; then with a place kept, behind which somebody waits.
      append(++attempt < 4 ? "a" : "of somebody else");
      return Told({ n });
    },
    evolve: { Told: (n: number) => n + 1 },
  });
  await store.handle(at, Late, null);
  await Promise.all(others);
  const entities = (await store.read().toArray()).map(({ entity }) => entity);
  assert.deepEqual(entities, ["a", "a", "a", "a", "of somebody else", "of the schema"]);
  await store.close();
});
