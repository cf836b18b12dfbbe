/** The events that every contestant stores: the same names, kinds and payloads of 93 bytes of JSON, from numbers alone. */

export const SCOPES = 16;
export const KINDS = 8;
export const PAYLOAD_BYTES = 93;

export function entityName(number) {
  return `order:${String(number).padStart(7, "0")}`;
}

export function scopeName(number) {
  return `shop:${String(number % SCOPES).padStart(2, "0")}`;
}

/** Category 0xF, types 1 to KINDS. */
export function kindOf(number) {
  return 0xf001 + (number % KINDS);
}

/** What event `number` says: as JSON, `PAYLOAD_BYTES` bytes. */
export function payloadOf(number) {
  return {
    product: `article-${String((number * 7919) % 1_000_000).padStart(6, "0")}`,
    quantity: 10 + (number % 90),
    cents: 100_000 + ((number * 31) % 900_000),
    paid: number % 2 === 0 ? "yes" : "not",
    note: "on time again",
  };
}

const bytes = JSON.stringify(payloadOf(0)).length;
if (bytes !== PAYLOAD_BYTES) throw new Error(`The payload has ${bytes} bytes as JSON, ${PAYLOAD_BYTES} are meant`);

/** A batch item of batpak's: event `number` of `entities` entities in turn. */
export function itemOf(rawEvent, coordinates, number) {
  return { coordinate: coordinates[number % coordinates.length], event: rawEvent(kindOf(number), payloadOf(number)) };
}

export function coordinateOf(number) {
  return { entity: entityName(number), scope: scopeName(number) };
}

export function coordinatesOf(entities) {
  return Array.from({ length: entities }, (_, i) => coordinateOf(i));
}

/** Numbers that look random and are the same in each run. */
export function randomNumbers(seed) {
  let state = seed >>> 0 || 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
