/** What a consumer's commits write, and what damage, failures and crashes leave of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { isStoreError } from "../base/store-error.ts";
import { CONSUMER_SLOT_BYTES } from "../format/consumer-position.ts";
import { SimulatedDisk } from "../testing/sim-disk.ts";
import { ConsumerFile } from "./consumer-file.ts";

const STORE_ID = new Uint8Array(16).fill(3);
const hashOf = (position: number): string => position.toString(16).padStart(64, "0");

async function held(disk: SimulatedDisk): Promise<{ file: ConsumerFile; letGo: () => Promise<void> }> {
  const file = new ConsumerFile(disk, "/store", "mailer", STORE_ID);
  const lock = await file.hold(systemClock, 0, undefined);
  const letGo = async (): Promise<void> => {
    await file.close();
    await lock.release();
  };
  return { file, letGo };
}

const positionOn = async (disk: SimulatedDisk): Promise<number | undefined> =>
  (await new ConsumerFile(disk, "/store", "mailer", STORE_ID).read())?.position;

test("commits after a holder's first two are one durable write each, and nothing else; closed, the file has one record", async () => {
  const disk = new SimulatedDisk();
  const { file, letGo } = await held(disk);
  await file.write(-1, null);
  await file.write(0, hashOf(0));
  const kinds: string[] = [];
  disk.faults = ({ kind, durable }) => {
    kinds.push(durable === true ? "durable write" : kind);
    return undefined;
  };
  for (let position = 1; position < 5; position++) await file.write(position, hashOf(position));
  disk.faults = undefined;
  assert.deepEqual(kinds, ["durable write", "durable write", "durable write", "durable write"]);
  assert.equal(await positionOn(disk), 4, "others see it while it is held");
  assert(disk.bytesOf(file.path).length > CONSUMER_SLOT_BYTES);
  await letGo();
  assert.equal(await positionOn(disk), 4);
  assert(disk.bytesOf(file.path).length < 200);
});

test("a record that is torn leaves the position before it; of none that is whole nothing is believed", async () => {
  for (const count of [1, 2, 3]) {
    const disk = new SimulatedDisk();
    const { file } = await held(disk);
    for (let position = 0; position <= count; position++) await file.write(position, hashOf(position));
    const newest = (count & 1) * CONSUMER_SLOT_BYTES;
    const bytes = disk.bytesOf(file.path);
    bytes[newest + 32] ^= 1;
    disk.put(file.path, bytes);
    assert.equal(await positionOn(disk), count - 1);
    bytes[CONSUMER_SLOT_BYTES - newest + 50] ^= 1;
    disk.put(file.path, bytes);
    await assert.rejects(positionOn(disk), (error) => isStoreError(error, "CORRUPT"));
  }
});

test("a position that goes back leaves no record that is further", async () => {
  const disk = new SimulatedDisk();
  const { file, letGo } = await held(disk);
  for (const position of [5, 6, 7]) await file.write(position, hashOf(position));
  await file.write(2, hashOf(2));
  assert.equal(await positionOn(disk), 2);
  assert(disk.bytesOf(file.path).length < 200);
  await file.write(3, hashOf(3));
  assert.equal(await positionOn(disk), 3);
  await letGo();
  const again = await held(disk);
  await again.file.write(4, hashOf(4));
  assert(disk.bytesOf(file.path).length < 200, "each holder begins with a whole file");
});

test("after a write that failed the position before stands, and the next is written whole", async () => {
  const disk = new SimulatedDisk();
  const { file, letGo } = await held(disk);
  for (const position of [0, 1, 2]) await file.write(position, hashOf(position));
  disk.faults = ({ kind, durable }) => (kind === "write" && durable === true ? { error: "EIO" } : undefined);
  await assert.rejects(file.write(3, hashOf(3)), (error) => isStoreError(error, "IO"));
  disk.faults = undefined;
  assert.equal(await positionOn(disk), 2);
  await file.write(4, hashOf(4));
  assert.equal(await positionOn(disk), 4);
  assert(disk.bytesOf(file.path).length < 200);
  disk.faults = ({ kind }) => (kind === "rename" ? { error: "EIO" } : undefined);
  await file.write(5, hashOf(5));
  await letGo();
  disk.faults = undefined;
  assert.equal(await positionOn(disk), 5, "what was durable stays so where tidying fails");
});

test("a name whose folder cannot be tidied is free again, and taken once it can", async () => {
  const disk = new SimulatedDisk();
  await (await held(disk)).letGo();
  const left = "/store/consumers/mailer/position.123-0.tmp";
  for (const failing of ["list", "remove"] as const) {
    disk.put(left, Uint8Array.of(1));
    disk.faults = ({ kind, path }) => (kind === failing && !path.includes("lock") ? { error: "EIO" } : undefined);
    await assert.rejects(held(disk), (error) => isStoreError(error, "IO"), failing);
    disk.faults = undefined;
    await (await held(disk)).letGo();
    assert(!disk.paths().includes(left));
  }
});

test("a holder whose last write failed leaves one record, of the last position that was promised", async () => {
  const disk = new SimulatedDisk();
  const { file, letGo } = await held(disk);
  for (const position of [0, 1, 2]) await file.write(position, hashOf(position));
  disk.faults = ({ kind, durable }) => (kind === "write" && durable === true ? { error: "EIO", afterBytes: 60 } : undefined);
  await assert.rejects(file.write(3, hashOf(3)));
  disk.faults = undefined;
  await letGo();
  assert.equal(await positionOn(disk), 2);
  assert(disk.bytesOf(file.path).length < 200);
});
