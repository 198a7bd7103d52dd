/** Variations of a full object, one per field and bound, made from the schema itself. */
import type { Schema } from '../../../operator/api/v1/index.ts';

export interface Mutation {
  readonly sentence: string;
  readonly spec: unknown;
}

type Path = readonly (string | number)[];

/** Every field of `spec` wrongly typed, null, removed, joined by an unknown one, and at and beyond its bounds. */
export function mutationsOf(schema: Schema, spec: unknown): readonly Mutation[] {
  return placesIn(schema, spec, []).flatMap(({ path, schema: at, value }) => {
    const set = (label: string, changed: unknown) => ({
      sentence: `${path.join('.')}: ${label}`,
      spec: replaced(spec, path, changed),
    });
    return [
      ...wrongTypes(at).map((wrong) => set(JSON.stringify(wrong), wrong)),
      { sentence: `${path.join('.')}: removed`, spec: replaced(spec, path, undefined) },
      ...variations(at, value).map(([label, changed]) => set(label, changed)),
    ];
  });
}

interface Place {
  readonly path: Path;
  readonly schema: Schema;
  readonly value: unknown;
}

function placesIn(schema: Schema, value: unknown, path: Path): readonly Place[] {
  return [...(path.length > 0 ? [{ path, schema, value }] : []), ...placesBelow(schema, value, path)];
}

function placesBelow(schema: Schema, value: unknown, path: Path): readonly Place[] {
  if (schema.type === 'array') {
    return (value as unknown[]).flatMap((item, index) => placesIn(schema.items, item, [...path, index]));
  }
  if (schema.type !== 'object') return [];
  return Object.entries(value as object).flatMap(([name, field]) => {
    const child = schema.additionalProperties ?? schema.properties?.[name];
    return child === undefined ? [] : placesIn(child, field, [...path, name]);
  });
}

function wrongTypes(schema: Schema): readonly unknown[] {
  const samples: Readonly<Record<string, unknown>> = { string: 'x', integer: 7, boolean: true, array: [], object: {} };
  return [...Object.entries(samples).flatMap(([type, value]) => (type === schema.type ? [] : [value])), null, 1.5];
}

function variations(schema: Schema, value: unknown): readonly (readonly [string, unknown])[] {
  switch (schema.type) {
    case 'string':
      return textVariations(schema, value as string);
    case 'integer':
      return [
        ...near(schema.minimum).map((bound) => [`number ${String(bound)}`, bound] as const),
        ...near(schema.maximum).map((bound) => [`number ${String(bound)}`, bound] as const),
      ];
    case 'boolean':
      return [['the other', value !== true]];
    case 'array':
      return listVariations(schema, value as unknown[]);
    case 'object':
      return [
        ['no fields', {}],
        ['one unknown field', { ...(value as object), unknownField: 'x' }],
      ];
  }
}

function textVariations(schema: Schema & { type: 'string' }, value: string): readonly (readonly [string, unknown])[] {
  return [
    ['empty', ''],
    ['padded', ` ${value}`],
    ['with a line break', `${value}\n`],
    ['with a letter of another alphabet', `${value}ß`],
    ...near(schema.maxLength).map((length) => [`length ${String(length)}`, 'a'.repeat(length)] as const),
    ...(schema.enum ?? []).map((choice) => [`choice ${choice}`, choice] as const),
  ];
}

function listVariations(schema: Schema & { type: 'array' }, value: unknown[]): readonly (readonly [string, unknown])[] {
  const first = value[0];
  return [
    ['empty', []],
    ['first item twice', [first, first]],
    ...near(schema.maxItems).map(
      (length) => [`${String(length)} items`, Array.from({ length }, () => first)] as const,
    ),
  ];
}

function near(value: number | undefined): readonly number[] {
  return value === undefined ? [] : [value - 1, value, value + 1].filter((number) => number >= 0);
}

function replaced(value: unknown, [step, ...rest]: Path, changed: unknown): unknown {
  if (step === undefined) return changed;
  if (Array.isArray(value)) {
    const items = (value as unknown[]).map((item, index) => (index === step ? replaced(item, rest, changed) : item));
    return items.filter((item) => item !== undefined);
  }
  const fields = value as Readonly<Record<string, unknown>>;
  const all = Object.entries({ ...fields, [step]: replaced(fields[step], rest, changed) });
  return Object.fromEntries(all.filter(([, field]) => field !== undefined));
}
