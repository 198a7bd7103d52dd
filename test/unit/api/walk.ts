import type { KindDefinition, Schema } from '../../../operator/api/v1/index.ts';

export interface Field {
  readonly path: string;
  readonly schema: Schema;
  readonly required: boolean;
}

/** Every schema at and below spec (or status) of a kind, with its path. */
export function fieldsOf(kind: KindDefinition, part: 'spec' | 'status'): readonly Field[] {
  return walk({ path: `${kind.kind}.${part}`, schema: kind[part], required: part === 'spec' });
}

function walk(field: Field): readonly Field[] {
  return [field, ...childrenOf(field).flatMap(walk)];
}

function childrenOf({ path, schema }: Field): readonly Field[] {
  if (schema.type === 'array') return [{ path: `${path}[]`, schema: schema.items, required: false }];
  if (schema.type !== 'object') return [];
  const values = schema.additionalProperties;
  if (values !== undefined) return [{ path: `${path}.<key>`, schema: values, required: false }];
  return Object.entries(schema.properties ?? {}).map(([name, child]) => ({
    path: `${path}.${name}`,
    schema: child,
    required: schema.required?.includes(name) ?? false,
  }));
}
