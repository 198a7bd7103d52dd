import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { checkAgainst } from '../../../operator/adapters/files/validate.ts';
import { customResourceDefinition } from '../../../operator/api/v1/crd.ts';
import { exampleIn, formats, meaningOf } from '../../../operator/api/v1/formats.ts';
import { kinds, type Schema } from '../../../operator/api/v1/index.ts';
import { fieldsOf, type Field } from './walk.ts';

const specFields = kinds.flatMap((kind) => fieldsOf(kind, 'spec'));
const allFields = [...specFields, ...kinds.flatMap((kind) => fieldsOf(kind, 'status'))];

function pathsWhere(fields: readonly Field[], wrong: (field: Field) => boolean): readonly string[] {
  return fields.filter(wrong).map(({ path }) => path);
}

function descriptionOf({ schema }: Field): string {
  return schema.description ?? '';
}

function isBoundedString(schema: Schema): boolean {
  if (schema.type !== 'string') return true;
  return schema.maxLength !== undefined || schema.enum !== undefined || schema.format === 'date-time';
}

function isBoundedCollection(schema: Schema): boolean {
  if (schema.type === 'array') return schema.maxItems !== undefined;
  if (schema.type !== 'object' || schema.additionalProperties === undefined) return true;
  return schema.maxProperties !== undefined;
}

describe('schema of every kind', () => {
  it('bounds every string, list and map, or the cost of a CEL rule could not be estimated', () => {
    assert.deepEqual(
      pathsWhere(allFields, ({ schema }) => !isBoundedString(schema) || !isBoundedCollection(schema)),
      [],
    );
  });

  it('says how every list merges, and refuses empty ones in spec', () => {
    const lists = allFields.filter(({ schema }) => schema.type === 'array');
    assert.ok(lists.length > 10);
    assert.deepEqual(
      pathsWhere(lists, ({ schema }) => !('x-kubernetes-list-type' in schema)),
      [],
    );
    const inSpec = specFields.filter(({ schema }) => schema.type === 'array');
    assert.deepEqual(
      pathsWhere(inSpec, ({ schema }) => schema.type === 'array' && schema.minItems !== 1),
      [],
    );
  });

  it('refuses empty maps and selectors in spec', () => {
    const objects = specFields.filter(({ path, schema }) => schema.type === 'object' && !/\.spec$|\[\]$/.test(path));
    assert.ok(objects.length > 10);
    assert.deepEqual(
      pathsWhere(objects, ({ schema }) => schema.type === 'object' && schema.minProperties !== 1),
      [],
    );
  });

  it('has no default inside list items, which GitOps tools would report as drift for ever', () => {
    assert.deepEqual(
      pathsWhere(allFields, ({ path, schema }) => path.includes('[]') && 'default' in schema),
      [],
    );
  });

  it('gives every field a description', () => {
    assert.deepEqual(
      pathsWhere(allFields, (field) => descriptionOf(field).length < 10),
      [],
    );
  });

  it('says of every field in spec what holds without it', () => {
    const ownFields = specFields.filter(({ path }) => !/(\[\]|<key>)$/.test(path));
    const says = (field: Field) => descriptionOf(field).includes(field.required ? 'Required.' : 'Default: ');
    assert.deepEqual(
      pathsWhere(ownFields, (field) => !says(field)),
      [],
    );
  });

  it('describes exactly the default the schema has', () => {
    const withDefault = specFields.filter(({ schema }) => 'default' in schema && schema.type !== 'object');
    assert.ok(withDefault.length > 15);
    const told = (field: Field) => {
      const value = JSON.stringify('default' in field.schema ? field.schema.default : undefined);
      const texts = [`Default: \`${value}\``, `Default: \`${value.replaceAll('"', '')}\``];
      return texts.some((text) => descriptionOf(field).includes(text));
    };
    assert.deepEqual(
      pathsWhere(withDefault, (field) => !told(field)),
      [],
    );
    const without = specFields.filter(
      (field) => /Default: `/.test(descriptionOf(field)) && !('default' in field.schema),
    );
    assert.deepEqual(
      without.map(({ path }) => path),
      [],
    );
  });

  it('gives every field in spec an example, but where the values are listed', () => {
    const free = specFields.filter(({ schema }) => schema.type !== 'boolean' && !('enum' in schema));
    assert.deepEqual(
      pathsWhere(free, (field) => exampleIn(descriptionOf(field)) === undefined),
      [],
    );
  });

  for (const field of specFields) {
    const example = exampleIn(descriptionOf(field));
    if (example === undefined) continue;
    it(`accepts its own example of ${field.path}`, () => {
      const value = field.schema.type === 'string' && !/^"/.test(example) ? example : (parse(example) as unknown);
      const frame = { type: 'object', properties: { value: field.schema } } as const;
      assert.deepEqual(checkAgainst(frame, { value }, `example of ${field.path}`).findings, []);
    });
  }
});

describe('CEL rules', () => {
  const rules = kinds.flatMap((kind) => [
    ...kind.rootRules,
    ...fieldsOf(kind, 'spec').flatMap(({ schema }) => schema['x-kubernetes-validations'] ?? []),
  ]);

  it('say what is wrong, and after one semicolon how to fix it', () => {
    assert.ok(rules.length > 20);
    assert.deepEqual(
      rules.filter(({ message }) => message.split('; ').length !== 2).map(({ message }) => message),
      [],
    );
  });

  it('fit into the 2048 characters a message may have and stand on one line', () => {
    assert.deepEqual(
      rules.filter(({ message }) => message.length > 300 || message.includes('\n')),
      [],
    );
  });
});

describe('patterns', () => {
  const patterns = allFields.flatMap(({ schema }) => ('pattern' in schema && schema.pattern ? [schema.pattern] : []));

  it('all have a meaning in words', () => {
    assert.ok(patterns.length > 20);
    assert.deepEqual(
      patterns.filter((pattern) => meaningOf(pattern) === undefined),
      [],
    );
  });

  it('do not backtrack on long hostile text', { timeout: 60_000 }, () => {
    const size = 100_000;
    const hostile = ['a', '.', '-', '*', 'a.', 'a-', 'a/', '1', 'a@', 'https://a', '.a'].map(
      (unit) => `${unit.repeat(size)}!`,
    );
    for (const [name, { pattern }] of Object.entries(formats)) {
      const matching = hostile.filter((text) => new RegExp(pattern, 'u').test(text));
      assert.deepEqual(matching.length, name === 'visibleAscii' ? hostile.length : 0, name);
    }
  });
});

describe('custom resource definitions', () => {
  for (const kind of kinds) {
    it(`${kind.kind}: one served and stored version with status, category, short name and defaulted status`, () => {
      const { metadata, spec } = customResourceDefinition(kind);
      const version = spec.versions[0];
      assert.ok(version);
      assert.equal(metadata.name, `${kind.plural}.metaveil.dev`);
      assert.deepEqual(spec.names.categories, ['metaveil']);
      assert.deepEqual(spec.names.shortNames, [kind.shortName]);
      assert.equal(spec.versions.length, 1);
      assert.deepEqual(version.subresources, { status: {} });
      assert.deepEqual(version.schema.openAPIV3Schema.required, ['metadata', 'spec']);
      assert.equal(kind.status.default.conditions[0].status, 'Unknown');
      assert.equal(kind.status.default.observedGeneration, -1);
      assert.ok(version.selectableFields.length <= 8);
    });

    it(`${kind.kind}: has only keywords a structural schema knows`, () => {
      const known = new Set([
        'type',
        'description',
        'enum',
        'pattern',
        'minLength',
        'maxLength',
        'format',
        'default',
        'minimum',
        'maximum',
        'items',
        'minItems',
        'maxItems',
        'properties',
        'required',
        'additionalProperties',
        'minProperties',
        'maxProperties',
        'x-kubernetes-validations',
        'x-kubernetes-list-type',
        'x-kubernetes-list-map-keys',
        'x-kubernetes-map-type',
      ]);
      const fields = [...fieldsOf(kind, 'spec'), ...fieldsOf(kind, 'status')];
      const foreign = fields.flatMap(({ path, schema }) =>
        Object.keys(schema)
          .filter((keyword) => !known.has(keyword))
          .map((keyword) => `${path}: ${keyword}`),
      );
      assert.deepEqual(foreign, []);
    });
  }
});
