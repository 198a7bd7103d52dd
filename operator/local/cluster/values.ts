/** Reading of manifests of foreign kinds, of which nothing but apiVersion, kind and metadata was checked. */

export type Mapping = Readonly<Record<string, unknown>>;

export function mappingAt(mapping: Mapping | undefined, field: string): Mapping | undefined {
  const value = mapping?.[field];
  return isMapping(value) ? value : undefined;
}

export function mappingsAt(mapping: Mapping | undefined, field: string): readonly Mapping[] {
  const value = mapping?.[field];
  return Array.isArray(value) ? value.filter(isMapping) : [];
}

export function textsAt(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
