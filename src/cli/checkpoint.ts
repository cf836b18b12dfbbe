/** `batpak checkpoint write DIR` and `batpak checkpoint show FILE`. */
import type { Command } from "commander";
import { join } from "node:path";
import { type CheckpointBytes, readCheckpoint } from "../checkpoint/checkpoint-file.ts";
import { nodeDisk } from "../disk/node-disk.ts";
import { SYSTEM_ENTITY } from "../events/coordinate.ts";
import { payloadToJson } from "../events/payload-json.ts";
import { CHECKPOINT_FILE, checkpointVersion, decodeCheckpoint } from "../format/native/checkpoint.ts";
import { UsageError } from "./exit-code.ts";
import { addWait, type WaitFlags, withWriter } from "./open-directory.ts";
import { isBatpak03Checkpoint, showBatpak03Checkpoint } from "./checkpoint-batpak03.ts";
import { printable, type Terminal } from "./terminal.ts";

const SYSTEM_NAME = Buffer.from(SYSTEM_ENTITY);

export function addCheckpoint(program: Command, terminal: Terminal): void {
  const checkpoint = program.command("checkpoint").description("write a checkpoint of the index, or show one");
  addWait(checkpoint.command("write"))
    .argument("<dir>", "the store's directory")
    .description("write a checkpoint, so that the next opening is quick")
    .action((directory: string, flags: WaitFlags) =>
      withWriter(directory, null, flags, async (store) => {
        await store.checkpoint();
        const file = join(store.directory, CHECKPOINT_FILE);
        const { nextSequence } = await store.stats();
        await terminal.print(
          terminal.json
            ? `${JSON.stringify({ file, nextSequence })}\n`
            : `${printable(file)} pictures the log before sequence ${nextSequence}\n`,
        );
      }),
    );
  checkpoint
    .command("show")
    .argument("<file>", "the checkpoint: index.ckpt")
    .description("show what a checkpoint says")
    .action(async (path: string) => {
      await assertCheckpointFile(path);
      if (await isBatpak03Checkpoint(path)) return await showBatpak03Checkpoint(path, terminal);
      const file = await readFile(path);
      const { bytes } = file;
      const prefix = checkpointVersion(bytes);
      const outcome = file.kind === "unfit" ? ({ ...file, kind: "ignored" } as const) : decodeCheckpoint(bytes);
      const version = "version" in prefix ? prefix.version : null;
      if (outcome.kind === "ignored") {
        terminal.tellProblem(`${path} would be ignored: ${outcome.reason}`);
        if (version !== null)
          await terminal.print(terminal.json ? `${JSON.stringify({ version, ignored: outcome.reason })}\n` : `version  ${version}\n`);
        return;
      }
      const { columns: _columns, filling: _filling, entityCount: names, ...described } = outcome.content.description;
      const entityCount = Number(names) - (hasSystemEntity(outcome.content.columns) ? 1 : 0);
      const description = { ...described, entityCount };
      // One without a name fills up the one before it.
      const named = [...outcome.content.columns].filter(([name]) => name !== "");
      const columns = Object.fromEntries(named.map(([name, column]) => [name, column.length]));
      if (terminal.json) return terminal.print(`${payloadToJson({ version, bytes: bytes.length, ...readable(description), columns })}\n`);
      const lines = Object.entries({ version, bytes: bytes.length, ...readable(description) }).map(([name, value]) => [
        name,
        payloadToJson(value),
      ]);
      const columnLines = Object.entries(columns).map(([name, length]) => [`column ${name}`, `${length} bytes`]);
      await terminal.print([...lines, ...columnLines].map(([name, value]) => `${name.padEnd(34)}${printable(value)}\n`).join(""));
    });
}

/** Whether the library's own entity is one of the names. */
function hasSystemEntity(columns: ReadonlyMap<string, Uint8Array>): boolean {
  const bytes = Buffer.from(columns.get("entities.bytes") ?? []);
  const offsets = Buffer.from(columns.get("entities.offsets") ?? []);
  for (let at = 4; at < offsets.length; at += 4)
    if (bytes.subarray(offsets.readUInt32LE(at - 4), offsets.readUInt32LE(at)).equals(SYSTEM_NAME)) return true;
  return false;
}

/** Bytes as hex digits, for people. */
function readable(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, readableValue(member)]));
}

function readableValue(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(readableValue);
  return typeof value === "object" && value !== null ? readable(value as Record<string, unknown>) : value;
}

async function assertCheckpointFile(path: string): Promise<void> {
  const status = await nodeDisk.status(path);
  if (status === null) throw new UsageError(`Cannot show the checkpoint: there is nothing at ${path}, a file is allowed`);
  if (status.type === "directory")
    throw new UsageError(`Cannot show the checkpoint: ${path} is a directory, its ${CHECKPOINT_FILE} is allowed`);
}

async function readFile(path: string): Promise<CheckpointBytes> {
  const file = await nodeDisk.open(path, "read");
  try {
    return await readCheckpoint(file);
  } finally {
    await file.close();
  }
}
