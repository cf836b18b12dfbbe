/**
 * Runs a scenario on a simulated disk up to a crash at a chosen operation, opens the store on what the crash may have left, and checks it.
 *
 * A state is one disk that was opened: after the crash, after a crash of the recovery that followed it, or after a power cut that followed
 * the recovery from a mere kill. Two are the same when every name and byte is. `crash-enumeration.ts` chooses the states.
 */
import assert from "node:assert/strict";
import { isStoreError } from "../../src/base/store-error.ts";
import { StoredReading } from "../../src/reading.ts";
import { prepareNative, readNativeLog } from "../../src/native-engine.ts";
import { listDirectory } from "../../src/open-directory.ts";
import { readMark } from "../../src/log/mark-file.ts";
import { segmentName } from "../../src/log/segment-files.ts";
import { Store } from "../../src/store.ts";
import type { StoreOptions } from "../../src/store-options.ts";
import type { SimulatedDisk } from "../../src/testing/sim-disk.ts";
import { DIRECTORY, Driver, KIND, repeatable, type Scenario } from "./driver.ts";
import { type Ledger, look, type Seen } from "./ledger.ts";

/** Runs the scenario until it ends or the disk has crashed. */
export async function runScenario(scenario: Scenario, disk: SimulatedDisk): Promise<Driver> {
  const driver = new Driver(disk, scenario.options);
  try {
    await scenario.run(driver);
  } catch (error) {
    if (!disk.crashed) throw error;
  }
  if (disk.crashed) await driver.abandon();
  return driver;
}

/** Opens what is left for writing, and tells of the disk where that fails: no crash may leave a store that does not open. */
async function reopen(disk: SimulatedDisk, options: StoreOptions): Promise<Store> {
  try {
    return await Store.open(DIRECTORY, { ...options, ...repeatable(), disk });
  } catch (error) {
    if (disk.crashed || !isStoreError(error)) throw error;
    throw new Error(`a store that crashed does not open: ${error.message}`, { cause: error });
  }
}

export interface StateChecks {
  /** What may be there and what must be. */
  readonly ledger: Ledger;
  readonly options: StoreOptions;
  readonly powerCut: boolean;
  readonly random: () => number;
  /** Counts every disk that was opened. */
  counted(disk: SimulatedDisk, fingerprint?: string): void;
  /** Of the disk, where it is known. */
  readonly fingerprint?: string;
  /** Also crashes recovery itself, cuts the power after it, and looks at this many disks that either may leave. */
  readonly secondCrashDisks: number;
  /** Of the states, how many are verified, seen by a reader and by every route, and closed and opened once more: 0 to 1. */
  readonly fullShare: number;
}

/** Checks one disk in every way there is. Uses up `disk`. */
export async function checkState(disk: SimulatedDisk, checks: StateChecks): Promise<void> {
  const { ledger, options, powerCut, random, secondCrashDisks } = checks;
  checks.counted(disk, checks.fingerprint);
  const isFull = random() < checks.fullShare;
  const before = disk.diskAfterKill();
  const reader = isFull ? await lookReadOnly(disk, options) : null;
  const started = disk.operationCount;
  const store = await reopen(disk, options);
  const recoveryOperations = disk.operationCount - started;
  const seen = await look(store);
  ledger.check(seen, powerCut);
  const { cut } = store.openReport;
  if (cut !== null) {
    const kept = `${DIRECTORY}/${cut.keptIn}`;
    assert.ok(disk.isDurable(kept, 0, cut.bytes), "what was cut is not durable where it is kept aside");
    const file = `${DIRECTORY}/${segmentName(cut.segmentId)}`;
    assert.deepEqual(
      Buffer.from(disk.bytesOf(kept)),
      Buffer.from(before.bytesOf(file)).subarray(cut.offset, cut.offset + cut.bytes),
      "what is kept aside is not what was cut",
    );
  }
  if (reader !== null) assert.deepEqual(reader, seen, "a reader saw something else than the recovering writer");
  if (isFull) {
    const { ok, problems } = await store.verify();
    assert.ok(ok, `a recovered store does not verify: ${JSON.stringify(problems)}`);
    if (options.layout !== "batpak-0.3") await checkRoutes(before, options, seen);
    await checkPromises(store, ledger, disk, seen);
  }
  // What was shown, even if nobody had acknowledged it, must never go away again.
  for (const left of disk.possibleDisks({ limit: secondCrashDisks, seed: Math.floor(random() * 2 ** 31) })) {
    checks.counted(left);
    await checkShown(left, options, seen, true);
  }
  await store.close();
  if (isFull) await checkShown(disk.diskAfterCrash(), options, seen, false);
  if (secondCrashDisks > 0 && recoveryOperations > 0) await crashRecovery(before, recoveryOperations, checks);
  if (!powerCut) await appendThenCutPower(before, options, seen);
}

/** Keys are answered, consumers stand where they were promised to, copies are whole. */
async function checkPromises(store: Store, ledger: Ledger, disk: SimulatedDisk, seen: readonly Seen[]): Promise<void> {
  for (const { again, durable, number, receipts } of ledger.attempts) {
    if (again === null || receipts === null || !durable) continue;
    const answered = await again(store);
    assert.deepEqual(
      answered.map(({ id, sequence, clock, hash }) => ({ id, sequence, clock, hash })),
      receipts.map(({ id, sequence, clock, hash }) => ({ id, sequence, clock, hash })),
      `attempt ${number} had a key, and was answered otherwise when it was repeated`,
    );
  }
  assert.equal(await store.count(), seen.length, "a repeated key appended something");
  for (const [name, { asked, promised }] of ledger.commits) {
    const consumer = await store.consumer(name);
    const { position } = consumer;
    await consumer.close();
    assert.ok(
      position >= promised && position <= asked,
      `consumer ${name} is at ${position}: ${promised} was promised, ${asked} asked for`,
    );
  }
  for (const { directory, events } of ledger.copies) {
    const copy = await Store.open(directory, { readOnly: true, disk });
    assert.equal(await copy.count(), events, `${directory} has lost events`);
    assert.ok((await copy.verify()).ok, `${directory} does not verify`);
    await copy.close();
  }
}

/** What a recovered store shows and what it then acknowledges survives a power cut, though recovery itself has never been closed. */
async function appendThenCutPower(before: SimulatedDisk, options: StoreOptions, seen: readonly Seen[]): Promise<void> {
  const disk = before.diskAfterKill();
  const store = await reopen(disk, options);
  const { durable } = await store.append({ entity: "after", scope: "scope:a" }, { kind: KIND, data: { attempt: -1, item: 0, pad: "" } });
  const survivor = await reopen(disk.diskAfterCrash(), options);
  const found = await look(survivor);
  assert.deepEqual(found.slice(0, seen.length), seen, "what a recovered store had shown is gone after a power cut");
  if (durable) assert.equal(found.length, seen.length + 1, "what a recovered store had acknowledged is gone after a power cut");
  await survivor.close();
  await store.close();
}

/** Crashes a recovery at one of its operations, and looks at what a power cut then may leave, and at what a kill leaves. */
async function crashRecovery(before: SimulatedDisk, recoveryOperations: number, checks: StateChecks): Promise<void> {
  const { ledger, options, powerCut, random, secondCrashDisks } = checks;
  const again = before.diskAfterKill();
  again.crashDuring(again.operationCount + 1 + Math.floor(random() * recoveryOperations));
  await reopen(again, options).then(
    (opened) => opened.close().catch(() => {}),
    (error: unknown) => assert.ok(again.crashed, `recovery failed without a crash: ${String(error)}`),
  );
  const survive = async (left: SimulatedDisk, power: boolean): Promise<void> => {
    checks.counted(left);
    const survivor = await reopen(left, options);
    ledger.check(await look(survivor), power);
    await survivor.close();
  };
  for (const left of again.possibleDisks({ limit: secondCrashDisks, seed: Math.floor(random() * 2 ** 31) })) await survive(left, true);
  await survive(again.diskAfterKill(), powerCut);
}

/** A store that showed these events shows them again, and takes more. */
async function checkShown(disk: SimulatedDisk, options: StoreOptions, shown: readonly Seen[], appends: boolean): Promise<void> {
  const store = await reopen(disk, options);
  assert.deepEqual(await look(store), shown, "what a recovered store had shown is there no more, or something else is");
  if (appends) {
    const data = { attempt: -1, item: 0, pad: "after" };
    const entity = shown[shown.length - 1]?.entity ?? "entity:new";
    const clock = (shown.findLast((event) => event.entity === entity)?.clock ?? -1) + 1;
    const sequence = (shown.at(-1)?.sequence ?? -1) + 1;
    const receipt = await store.append({ entity, scope: "scope:a" }, { kind: KIND, data });
    assert.deepEqual({ sequence: receipt.sequence, clock: receipt.clock }, { sequence, clock }, "appending after a crash");
    assert.equal((await look(store)).length, shown.length + 1, "the event appended after a crash is not there");
  }
  await store.close();
  const again = await reopen(disk.diskAfterCrash(), options);
  assert.equal(await again.count(), shown.length + (appends ? 1 : 0), "events after a clean close");
  await again.close();
}

/** Null where no store has begun. */
async function lookReadOnly(disk: SimulatedDisk, options: StoreOptions): Promise<Seen[] | null> {
  try {
    const { events, indexCacheBytes } = options;
    const reader = await Store.open(DIRECTORY, {
      ...(events === undefined ? {} : { events }),
      ...(indexCacheBytes === undefined ? {} : { indexCacheBytes }),
      readOnly: true,
      disk,
    });
    const seen = await look(reader);
    assert.deepEqual(reader.openReport.problems, [], "a reader reports damage after a crash");
    await reader.close();
    return seen;
  } catch (error) {
    if (isStoreError(error, "NOT_FOUND")) return null;
    throw error;
  }
}

/** The same events without the checkpoint, and from the frames alone. */
async function checkRoutes(disk: SimulatedDisk, options: StoreOptions, seen: readonly Seen[]): Promise<void> {
  const { segmentIds } = await listDirectory(disk, DIRECTORY).catch(() => ({ segmentIds: [] as number[] }));
  const mark = segmentIds.length === 0 ? null : await readMark(disk, DIRECTORY);
  for (const routes of [{ checkpoint: false }, { checkpoint: false, blocks: false }]) {
    const parts = prepareNative(disk, DIRECTORY, options.indexCacheBytes ?? 2 ** 20, "native");
    await readNativeLog(disk, parts, { segmentIds, mark, tolerant: false, limit: null, routes });
    const { index } = parts.log;
    const reading = {
      index,
      frames: parts.frames,
      loader: parts.loader,
      typeOf: () => null,
      asError: (error: unknown) => error,
      assertReadable: () => {},
    };
    const all = { direction: "forward", limit: Number.POSITIVE_INFINITY, signal: undefined, after: undefined } as const;
    const events = await new StoredReading(reading, [{}], all, index.visible.sequence).toArray();
    assert.deepEqual(
      events.map(({ id, sequence, clock, hash }) => ({ id, sequence, clock, hash })),
      seen.map(({ id, sequence, clock, hash }) => ({ id, sequence, clock, hash })),
      `another route shows other events (${JSON.stringify(routes)})`,
    );
    for (const event of seen) {
      const entityId = index.entities.find(event.entity);
      const last = seen.findLast((other) => other.entity === event.entity) as Seen;
      assert.equal(index.heads.clock(entityId), last.clock, `the head of ${event.entity} by ${JSON.stringify(routes)}`);
      assert.equal(
        Buffer.from(index.heads.hash(entityId)).toString("hex"),
        last.hash,
        `the head's hash of ${event.entity} by ${JSON.stringify(routes)}`,
      );
    }
    assert.equal(index.visibleEvents, seen.length, "the number of events by another route");
    parts.files.closeAll();
  }
}
