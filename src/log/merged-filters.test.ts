import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RowFilter } from "../index/segment-index.ts";
import { mergedFilters } from "./merged-filters.ts";

interface Row {
  readonly entity: string;
  readonly scope: string;
  readonly kind: number;
}

const entity = fc.constantFrom("a", "ab", "abc", "b");
const scope = fc.constantFrom("s", "t", "u");
const kind = fc.integer({ min: 1, max: 4 });
const filter: fc.Arbitrary<RowFilter> = fc.record(
  { entity, entityPrefix: entity, scope, kinds: fc.uniqueArray(kind, { minLength: 1 }), sequenceFrom: fc.constant(0) },
  { requiredKeys: [] },
);

function matches(given: RowFilter, row: Row): boolean {
  return (
    (given.entity === undefined || given.entity === row.entity) &&
    (given.entityPrefix === undefined || row.entity.startsWith(given.entityPrefix)) &&
    (given.entityPrefixes === undefined || given.entityPrefixes.beginsOne(Buffer.from(row.entity), 0, row.entity.length)) &&
    (given.scope === undefined || given.scope === row.scope) &&
    (given.scopes === undefined || given.scopes.includes(row.scope)) &&
    (given.kinds === undefined || given.kinds.includes(row.kind))
  );
}

test("merged filters match what the filters match", () => {
  const row = fc.record({ entity, scope, kind });
  fc.assert(
    fc.property(fc.array(filter, { minLength: 1, maxLength: 8 }), fc.array(row, { maxLength: 20 }), (filters, rows) => {
      const merged = mergedFilters(filters);
      assert.ok(merged.length <= filters.length);
      const ofAny = (given: readonly RowFilter[]): Row[] => rows.filter((one) => given.some((any) => matches(any, one)));
      assert.deepEqual(ofAny(merged), ofAny(filters));
    }),
    { numRuns: 3000 },
  );
});

test("filters that differ in a scope, a prefix or kinds alone become one", () => {
  const kinds = [1, 2];
  const filters = Array.from({ length: 100 }, (_, i): RowFilter[] => [
    { scope: `s${i}` },
    { scope: `s${i}`, kinds },
    { entityPrefix: `e${i}` },
    { kinds: [i] },
  ]).flat();
  assert.equal(mergedFilters(filters).length, 4);
});
