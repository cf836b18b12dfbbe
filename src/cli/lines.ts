/** The lines of a file or of standard input, as bytes without their line ends; and standard input as a whole. */
import { isUtf8 } from "node:buffer";
import { nodeDisk } from "../disk/node-disk.ts";
import { UsageError } from "./exit-code.ts";

const READ_BYTES = 1024 * 1024;
/** More than any line that could be imported. */
const LINE_BYTES_MAX = 512 * 1024 * 1024;
const NEWLINE = 0x0a;

/** Lines of the file at `path`; of standard input for "-". The signal ends waiting for that. */
export async function* linesOf(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array, undefined> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const chunks = path === "-" ? inputChunks(signal) : fileChunks(path);
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      yield joined(pieces, chunk.subarray(start, end));
      pieces.length = bytes = 0;
      start = end + 1;
    }
    if (start === chunk.length) continue;
    pieces.push(chunk.subarray(start));
    bytes += chunk.length - start;
    if (bytes > LINE_BYTES_MAX)
      throw new UsageError(`Cannot read ${path}: a line has more than ${LINE_BYTES_MAX} bytes, fewer are allowed`);
  }
  if (pieces.length > 0) yield joined(pieces, new Uint8Array());
}

function joined(pieces: readonly Uint8Array[], last: Uint8Array): Uint8Array {
  return pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
}

async function* inputChunks(signal: AbortSignal): AsyncGenerator<Uint8Array, undefined> {
  const end = (): void => void process.stdin.destroy(signal.reason as Error);
  signal.addEventListener("abort", end);
  try {
    yield* process.stdin as AsyncIterable<Uint8Array>;
  } finally {
    signal.removeEventListener("abort", end);
  }
}

async function* fileChunks(path: string): AsyncGenerator<Uint8Array, undefined> {
  const file = await nodeDisk.open(path, "read");
  try {
    for (let position = 0; ; ) {
      const chunk = new Uint8Array(READ_BYTES);
      const count = await file.read(chunk, 0, READ_BYTES, position);
      if (count === 0) return;
      yield chunk.subarray(0, count);
      position += count;
    }
  } finally {
    await file.close();
  }
}

/** Throws where there is no file to read. */
export async function assertFile(path: string): Promise<void> {
  if (path === "-") return;
  const status = await nodeDisk.status(path);
  if (status === null) throw new UsageError(`Cannot read ${path}: there is nothing, a file or - for standard input is allowed`);
  if (status.type === "directory")
    throw new UsageError(`Cannot read ${path}: it is a directory, a file or - for standard input is allowed`);
}

/** All of standard input, as text. */
export async function standardInput(): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) pieces.push(chunk);
  const bytes = Buffer.concat(pieces);
  if (!isUtf8(bytes)) throw new UsageError("Cannot read standard input: its bytes are not UTF-8, text in UTF-8 is allowed");
  return new TextDecoder().decode(bytes);
}
