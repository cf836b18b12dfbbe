// Reads an npm archive (a gzipped ustar) without a tar program: what npm would unpack for a user.

import { gunzipSync } from "node:zlib";

/** One file of the archive; `path` is below the package's own folder. */
export interface ArchivedFile {
  readonly path: string;
  readonly mode: number;
  readonly bytes: Uint8Array;
}

const blockBytes = 512;
const nameField = { start: 0, end: 100 };
const modeField = { start: 100, end: 108 };
const sizeField = { start: 124, end: 136 };
const typeFlagAt = 156;
const prefixField = { start: 345, end: 500 };
const regularFile = "0".charCodeAt(0);

/** The regular files in `archive`. Throws at any other kind of entry: npm puts none into a package of this shape. */
export function readArchive(archive: Uint8Array): ArchivedFile[] {
  const tar = gunzipSync(archive);
  const text = (header: Buffer, field: { start: number; end: number }): string =>
    header.toString("utf8", field.start, field.end).replace(/\0.*$/s, "").trim();
  const files: ArchivedFile[] = [];
  let offset = 0;
  while (offset + blockBytes <= tar.length && tar[offset] !== 0) {
    const header = tar.subarray(offset, offset + blockBytes);
    const prefix = text(header, prefixField);
    const name = `${prefix === "" ? "" : `${prefix}/`}${text(header, nameField)}`;
    if (header[typeFlagAt] !== regularFile) throw new Error(`Cannot read the archive: ${name} is no regular file`);
    const sizeBytes = Number.parseInt(text(header, sizeField), 8);
    const start = offset + blockBytes;
    files.push({
      path: name.replace(/^package\//, ""),
      mode: Number.parseInt(text(header, modeField), 8),
      bytes: tar.subarray(start, start + sizeBytes),
    });
    offset = start + Math.ceil(sizeBytes / blockBytes) * blockBytes;
  }
  return files;
}
