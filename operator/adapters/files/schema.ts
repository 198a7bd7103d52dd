import { nameMaxLength } from '../../api/v1/crd.ts';
import { formats } from '../../api/v1/formats.ts';
import { kinds, type KindDefinition, type ObjectSchema, type Schema } from '../../api/v1/index.ts';
import { labelKeyRule, labelsSchema } from '../../api/v1/selectors.ts';

/** What the JSON Schema validator gets. `true` accepts anything. */
export type JsonSchema = true | Readonly<Record<string, unknown>>;

/** The kinds by name. */
export const kindsByName: ReadonlyMap<string, KindDefinition> = new Map(kinds.map((kind) => [kind.kind, kind]));

/** The whole object as a schema of ours, so that rules and suggestions work on it. `status` is ignored, as on create. */
export function objectSchema(kind: KindDefinition): ObjectSchema {
  return {
    type: 'object',
    required: ['metadata', 'spec'],
    'x-kubernetes-validations': kind.rootRules,
    properties: { metadata: metadataSchema(nameMaxLength(kind), kind.scope === 'Namespaced'), spec: kind.spec },
  };
}

/** metadata of any object: what users write; what the API server fills in is dropped before. */
export function metadataSchema(maxLength: number, namespaced: boolean | undefined): ObjectSchema {
  return {
    type: 'object',
    required: namespaced === true ? ['name', 'namespace'] : ['name'],
    properties: {
      name: {
        type: 'string',
        minLength: 1,
        maxLength,
        pattern: formats.dnsSubdomain.pattern,
        description: 'Example: `reports`.',
      },
      ...(namespaced !== false && {
        namespace: {
          type: 'string',
          minLength: 1,
          maxLength: 63,
          pattern: formats.dnsLabel.pattern,
          description: 'Example: `metaveil-samples`.',
        },
      }),
      labels: { ...labelsSchema('Example: `{app: web}`.'), minProperties: 0, maxProperties: 1_000 },
      annotations: {
        type: 'object',
        description: 'Example: `{example.com/owner: platform}`.',
        additionalProperties: { type: 'string', description: 'Example: `"true"`.' },
        'x-kubernetes-validations': [labelKeyRule],
      },
    },
  };
}

/** Fields of metadata that the API server writes; files got by `kubectl get -o yaml` have them. */
export const serverMetadata: ReadonlySet<string> = new Set([
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'finalizers',
  'generation',
  'managedFields',
  'ownerReferences',
  'resourceVersion',
  'selfLink',
  'uid',
]);

/** The same schema for the validator: strict about unknown fields, with sets as unique items, without extensions. */
export function strictJsonSchema(schema: Schema): JsonSchema {
  const plain = Object.fromEntries(Object.entries(schema).filter(([name]) => !name.startsWith('x-kubernetes-')));
  if (schema.type === 'array') {
    const unique = schema['x-kubernetes-list-type'] === 'set';
    return { ...plain, items: strictJsonSchema(schema.items), ...(unique && { uniqueItems: true }) };
  }
  if (schema.type !== 'object') return plain;
  if (schema.additionalProperties !== undefined) {
    return { ...plain, additionalProperties: strictJsonSchema(schema.additionalProperties) };
  }
  const properties = Object.entries(schema.properties ?? {}).map(([name, value]) => [name, strictJsonSchema(value)]);
  return { ...plain, properties: Object.fromEntries(properties) as object, additionalProperties: false };
}

/** The schema at a path of field names and indexes, undefined where the schema knows nothing. */
export function schemaAt(schema: Schema | undefined, path: readonly (string | number)[]): Schema | undefined {
  const [step, ...rest] = path;
  if (step === undefined || schema === undefined) return schema;
  if (schema.type === 'array') return schemaAt(schema.items, rest);
  if (schema.type !== 'object') return undefined;
  return schemaAt(schema.additionalProperties ?? schema.properties?.[step], rest);
}
