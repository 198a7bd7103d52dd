import { meaningOf } from '../../api/v1/formats.ts';
import type { CelRule, ObjectSchema, Schema } from '../../api/v1/index.ts';

/** One row of a field table. */
export interface FieldRow {
  /** From the object's root, as `spec.tolerations[].key` or `spec.podLabels.<key>`. */
  readonly path: string;
  /** As `string`, `[]object`, `map of string`. */
  readonly type: string;
  readonly required: boolean;
  /** JSON text, '' if there is none. */
  readonly default: string;
  /** Bounds in words, in a fixed order. */
  readonly bounds: readonly string[];
  readonly description: string;
}

/** A CEL rule and the field it stands at. */
export interface RuleRow extends CelRule {
  readonly path: string;
}

/** All fields below `schema` (itself excluded), parents before children. */
export function fieldRows(path: string, schema: Schema): readonly FieldRow[] {
  return childrenOf(path, schema).flatMap((child) => [
    rowOf(child.path, child.schema, child.required),
    ...fieldRows(child.path, child.schema),
  ]);
}

/** All rules at and below `schema`. */
export function ruleRows(path: string, schema: Schema): readonly RuleRow[] {
  const own = (schema['x-kubernetes-validations'] ?? []).map((rule) => ({ ...rule, path }));
  return [...own, ...childrenOf(path, schema).flatMap((child) => ruleRows(child.path, child.schema))];
}

interface Child {
  readonly path: string;
  readonly schema: Schema;
  readonly required: boolean;
}

function childrenOf(path: string, schema: Schema): readonly Child[] {
  if (schema.type === 'array') return itemsOf(path, schema.items);
  if (schema.type !== 'object') return [];
  const values = schema.additionalProperties;
  return values === undefined ? propertiesOf(path, schema) : itemsOf(path, values, '.<key>');
}

function itemsOf(path: string, items: Schema, suffix = '[]'): readonly Child[] {
  return [{ path: `${path}${suffix}`, schema: items, required: false }];
}

function propertiesOf(path: string, schema: ObjectSchema): readonly Child[] {
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    path: `${path}.${name}`,
    schema: property,
    required: schema.required?.includes(name) ?? false,
  }));
}

function rowOf(path: string, schema: Schema, required: boolean): FieldRow {
  return {
    path,
    type: typeName(schema),
    required,
    default: 'default' in schema && schema.type !== 'object' ? JSON.stringify(schema.default) : '',
    bounds: boundsOf(schema),
    description: schema.description ?? '',
  };
}

function typeName(schema: Schema): string {
  if (schema.type === 'array') return `[]${typeName(schema.items)}`;
  if (schema.type === 'object' && schema.additionalProperties) return `map of ${typeName(schema.additionalProperties)}`;
  return schema.type;
}

const notEmpty = (value: unknown) => (value === 1 ? 'not empty' : `at least ${String(value)}`);

const boundNames: readonly (readonly [string, (value: unknown) => string])[] = [
  ['enum', (values) => `one of ${(values as readonly string[]).map((value) => `\`${value}\``).join(', ')}`],
  ['minimum', (value) => `≥ ${String(value)}`],
  ['maximum', (value) => `≤ ${String(value)}`],
  ['minLength', notEmpty],
  ['maxLength', (value) => `at most ${String(value)} characters`],
  ['minItems', notEmpty],
  ['maxItems', (value) => `at most ${String(value)} items`],
  ['minProperties', notEmpty],
  ['maxProperties', (value) => `at most ${String(value)} keys`],
  ['format', (value) => `format ${String(value)}`],
  ['x-kubernetes-list-type', (value) => (value === 'set' ? 'no duplicates' : '')],
  ['pattern', (value) => meaningOf(String(value)) ?? `matches \`${String(value)}\``],
];

function boundsOf(schema: Schema): readonly string[] {
  const values: Readonly<Record<string, unknown>> = { ...schema };
  return boundNames
    .map(([name, say]) => (values[name] === undefined ? '' : say(values[name])))
    .filter((text) => text !== '');
}
