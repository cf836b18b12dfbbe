/** Filters of one query that differ in one name or kind alone, as one: rows are looked at once for all of them. */
import { PrefixSet } from "../base/prefix-set.ts";
import type { RowFilter } from "../index/segment-index.ts";
import type { StoreIndex } from "../index/store-index.ts";

/** Of more filters by prefixes, which differ in more than these, the entities are not looked for: each may look through thousands of names. */
const PREFIX_FILTERS_MAX = 16;

/** Filters that match the same rows together, mostly fewer. */
export function mergedFilters(filters: readonly RowFilter[]): readonly RowFilter[] {
  if (filters.length === 1) return filters;
  const merged: RowFilter[] = [];
  const groups = new Map<string, RowFilter[]>();
  for (const filter of filters) {
    const key = groupKey(filter);
    const group = key === null ? undefined : groups.get(key);
    if (key === null) merged.push(filter);
    else if (group === undefined) groups.set(key, [filter]);
    else group.push(filter);
  }
  for (const group of groups.values()) merged.push(oneOf(group));
  return merged;
}

/** What those have in common that can be one; null where a filter asks for more than a scope or a prefix, and kinds. */
function groupKey({ scope, entityPrefix, kinds, category, ...rest }: RowFilter): string | null {
  for (const value of Object.values(rest)) if (value !== undefined) return null;
  if (scope !== undefined && entityPrefix !== undefined) return null;
  if (scope === undefined && entityPrefix === undefined) return kinds === undefined ? null : "kinds";
  const what = scope === undefined ? "prefix" : "scope";
  return `${what} ${category === undefined ? (kinds?.join() ?? "any") : `category ${category}`}`;
}

function oneOf(group: readonly RowFilter[]): RowFilter {
  const [first] = group as readonly [RowFilter];
  if (group.length === 1) return first;
  const { scope, entityPrefix, ...rest } = first;
  if (scope !== undefined) return { ...rest, scopes: [...new Set(group.map((filter) => filter.scope as string))] };
  if (entityPrefix !== undefined) return { ...rest, entityPrefixes: new PrefixSet(group.map((filter) => filter.entityPrefix as string)) };
  const kinds = new Set<number>();
  for (const filter of group) for (const kind of filter.kinds ?? []) kinds.add(kind);
  return { kinds: [...kinds].sort((a, b) => a - b) };
}

/**
 * The filters, and to those by prefixes the entities whose names begin so, where these are known, and no more than `entitiesMax`: for a search of what
 * there is now, since it says nothing of entities to come.
 */
export function withEntities(filters: readonly RowFilter[], index: StoreIndex, entitiesMax: number): readonly RowFilter[] {
  if (filters.filter(asksPrefix).length > PREFIX_FILTERS_MAX) return filters;
  return filters.map((filter) => {
    if (!asksPrefix(filter)) return filter;
    const { entityPrefix = "", entityPrefixes = new PrefixSet([entityPrefix]) } = filter;
    const ids = index.entityOrder.find(entityPrefixes, entitiesMax);
    return ids === null ? filter : { ...filter, entityPrefixes, entities: ids.map((id) => index.entities.name(id)) };
  });
}

/** Whether a filter asks for names that begin with something, and not for one of them. */
export function asksPrefix({ entity, entityPrefix, entityPrefixes }: RowFilter): boolean {
  return entity === undefined && (entityPrefix !== undefined || entityPrefixes !== undefined);
}

/** The entities that a filter asks for; null where it asks for others than are known. */
export function entitiesAsked({ entity, entities }: RowFilter): readonly string[] | null {
  return entity === undefined ? (entities ?? null) : [entity];
}
