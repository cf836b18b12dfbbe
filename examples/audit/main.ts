/**
 * An audit log: who looked at which record. Somebody changes one entry in a copy of the files, and `verify` says which.
 *
 *   npm run example:audit
 */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineEvent, Store, type } from "batpak";

const RecordRead = defineEvent("RecordRead", { schema: type<{ by: string; reason: string }>() });
const RecordChanged = defineEvent("RecordChanged", { schema: type<{ by: string; field: string }>() });
const events = [RecordRead, RecordChanged] as const;

const folder = await mkdtemp(join(tmpdir(), "batpak-audit-"));
try {
  const directory = join(folder, "log");
  await keepLog(directory);
  console.log("The log as it was kept:");
  await verify(directory);

  const copy = join(folder, "copy");
  await cp(directory, copy, { recursive: true });
  console.log("\nA copy in which mallory's name was replaced by another:");
  await replaceText(copy, "mallory", "dr.chen");
  await verify(copy);

  console.log("\nWhat is whole in the copy can still be read:");
  await readWhole(copy);
} finally {
  await rm(folder, { recursive: true });
}

async function keepLog(directory: string): Promise<void> {
  const store = await Store.open(directory, { events });
  const entry = (patient: number): { entity: string; scope: string } => ({ entity: `patient:${patient}`, scope: "ward:4" });
  for (let day = 1; day <= 20; day++) {
    // Metadata says where it came from, and is covered by the hash like everything else.
    const from = { metadata: { terminal: `T-${day % 3}` } };
    await store.append(entry(day % 4), RecordRead({ by: day === 13 ? "mallory" : "dr.osei", reason: "round" }), from);
    if (day % 5 === 0) await store.append(entry(day % 4), RecordChanged({ by: "dr.osei", field: "medication" }), from);
  }
  await store.close();
}

async function verify(directory: string): Promise<void> {
  // Read-only: a log that is damaged does not open for writing at all, and looking at it changes nothing.
  const store = await Store.open(directory, { events, readOnly: true });
  const { ok, events: count, entities, problems } = await store.verify();
  console.log(`  ${count} events of ${entities} patients: ${ok ? "all as they were written" : "NOT as they were written"}`);
  for (const { code, message, segmentId, offset } of problems) {
    const place = segmentId === undefined ? "" : ` (segment ${segmentId}, offset ${offset ?? "?"})`;
    console.log(`  ${code}${place}: ${message}`);
  }
  await store.close();
}

/** What somebody with an editor would do: change the bytes, and nothing else. */
async function replaceText(directory: string, text: string, other: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.endsWith(".fbat")) continue;
    const bytes = await readFile(join(directory, name));
    const at = bytes.indexOf(text);
    if (at < 0) continue;
    bytes.write(other, at);
    await writeFile(join(directory, name), bytes);
    console.log(`  (it stood at offset ${at} of ${name})`);
  }
}

async function readWhole(directory: string): Promise<void> {
  const store = await Store.open(directory, { events, readOnly: true });
  let whole = 0;
  const lost: number[] = [];
  for await (const batch of store.readPlaced({}, { onDamage: (_error, sequence) => lost.push(sequence) })) whole += batch.length;
  console.log(`  ${whole} events are whole; damaged: sequence ${lost.join(", ")}`);
  await store.close();
}
