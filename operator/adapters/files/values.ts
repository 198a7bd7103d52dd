import type { Schema } from '../../api/v1/index.ts';

export type Mapping = Readonly<Record<string, unknown>>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Fields of a mapping and items of a list with the schema of each; nothing for scalars and unknown fields. */
export function childrenOf(schema: Schema, value: unknown): readonly (readonly [string | number, Schema, unknown])[] {
  if (schema.type === 'array' && Array.isArray(value)) {
    return (value as unknown[]).map((item, index) => [index, schema.items, item] as const);
  }
  if (schema.type !== 'object' || !isMapping(value)) return [];
  return Object.entries(value).flatMap(([name, field]) => {
    const known = schema.additionalProperties ?? ownProperty(schema.properties, name);
    return known === undefined ? [] : [[name, known, field] as const];
  });
}

function ownProperty(properties: Readonly<Record<string, Schema>> | undefined, name: string): Schema | undefined {
  return properties !== undefined && Object.hasOwn(properties, name) ? properties[name] : undefined;
}

/**
 * A copy without the fields that are null, which the API server takes for absent; null in a list stays and is refused.
 * So `scopes:` without a value is no allow-list at all, here as there.
 */
export function withoutNulls(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) {
    return schema.type === 'array' ? (value as unknown[]).map((item) => withoutNulls(schema.items, item)) : value;
  }
  if (!isMapping(value)) return value;
  const known = new Map(childrenOf(schema, value).map(([name, child]) => [name, child]));
  const kept = Object.entries(value).flatMap(([name, field]) => {
    const child = known.get(name);
    if (child === undefined) return [[name, field]];
    return field === null ? [] : [[name, withoutNulls(child, field)]];
  });
  return Object.fromEntries(kept) as Mapping;
}
