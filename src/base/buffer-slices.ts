/** Text of bytes, without a Buffer made for it: methods of `Buffer` that take any Uint8Array. They are not documented, so their absence is provided for. */

type Slice = (bytes: Uint8Array, start: number, end: number) => string;
type NativeSlice = (this: Uint8Array, start: number, end: number) => string;

function sliceOf(name: "utf8Slice" | "latin1Slice" | "hexSlice", encoding: "utf8" | "latin1" | "hex"): Slice {
  const native = (Buffer.prototype as unknown as Partial<Record<typeof name, NativeSlice>>)[name];
  if (native !== undefined) return (bytes, start, end) => native.call(bytes, start, end);
  return (bytes, start, end) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(encoding, start, end);
}

/** What is no UTF-8 comes as replacement characters. */
export const utf8Slice: Slice = sliceOf("utf8Slice", "utf8");
export const latin1Slice: Slice = sliceOf("latin1Slice", "latin1");
/** Lower-case hex digits, two for each byte. */
export const hexSlice: Slice = sliceOf("hexSlice", "hex");
