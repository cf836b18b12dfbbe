/** What somebody gave, for a message that says what is allowed instead. */

const TEXT_UNITS_MAX = 60;
const MEMBERS_MAX = 5;

/**
 * Text in quotes and cut where it is long, numbers and the like as they are written, anything else by its type and, of an object, its members' names.
 *
 * @example
 * describeValue({ clok: 1 }); // "an object with clok"
 */
export function describeValue(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(cut(value));
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  if (typeof value !== "object" || value === null) return String(value);
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value instanceof Date) return "a Date";
  const members = Object.keys(value);
  if (members.length === 0) return "an object without members";
  return `an object with ${members.slice(0, MEMBERS_MAX).map(cut).join(", ")}${members.length > MEMBERS_MAX ? " and more" : ""}`;
}

function cut(text: string): string {
  return text.length > TEXT_UNITS_MAX ? `${text.slice(0, TEXT_UNITS_MAX)}…` : text;
}
