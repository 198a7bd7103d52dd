import { Ajv, type ValidateFunction } from 'ajv';
import type { KindDefinition, ObjectSchema } from '../../api/v1/index.ts';
import type { ForeignObject, OwnResource } from '../../local/ports.ts';
import type { Finding } from './finding.ts';
import { typeFindings, scopeOf } from './kinds.ts';
import { ruleFindings } from './rules.ts';
import { kindsByName, metadataSchema, objectSchema, serverMetadata, strictJsonSchema } from './schema.ts';
import { schemaFinding } from './sentences.ts';
import { isMapping, withoutNulls, type Mapping } from './values.ts';

export type Verdict =
  | { readonly kind: 'resource'; readonly object: OwnResource }
  | { readonly kind: 'foreign'; readonly object: ForeignObject }
  | { readonly kind: 'invalid'; readonly findings: readonly Finding[] };

/**
 * What the API server would say to `kubectl apply` of this value: our kinds with defaults filled in, or every mistake.
 * Kubernetes' own kinds pass with a look at apiVersion, kind and metadata.
 */
export function validateObject(value: unknown): Verdict {
  const findings = typeFindings(value);
  if (findings.length > 0 || !isMapping(value)) return { kind: 'invalid', findings };
  const kind = kindsByName.get(String(value['kind']));
  return kind === undefined ? validateForeign(value) : validateOwn(kind, value);
}

function validateOwn(kind: KindDefinition, value: Mapping): Verdict {
  const { apiVersion, kind: name, metadata, ...rest } = value;
  const body: Mapping = { ...rest, ...present({ metadata: userMetadata(metadata) }) };
  const { object, findings } = checkAgainst(objectSchema(kind), without(body, 'status'), kind.kind);
  if (findings.length > 0) return { kind: 'invalid', findings };
  return { kind: 'resource', object: { apiVersion, kind: name, ...object } as unknown as OwnResource };
}

function validateForeign(value: Mapping): Verdict {
  const scope = scopeOf(value);
  const schema: ObjectSchema = {
    type: 'object',
    required: ['metadata'],
    properties: { metadata: metadataSchema(253, scope) },
  };
  const body = present({ metadata: userMetadata(value['metadata']) });
  const { object, findings } = checkAgainst(schema, body, `metadata of scope ${String(scope)}`);
  if (findings.length > 0) return { kind: 'invalid', findings };
  return { kind: 'foreign', object: { ...value, ...object } as ForeignObject };
}

function without(fields: Mapping, name: string): Mapping {
  return Object.fromEntries(Object.entries(fields).filter(([field]) => field !== name));
}

function present(fields: Mapping): Mapping {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function userMetadata(metadata: unknown): unknown {
  if (!isMapping(metadata)) return metadata;
  return Object.fromEntries(Object.entries(metadata).filter(([name]) => !serverMetadata.has(name)));
}

export interface Checked {
  readonly object: Mapping;
  readonly findings: readonly Finding[];
}

/** Fills in defaults and lists every violation of the schema and its rules. `cacheKey` names the schema. */
export function checkAgainst(schema: ObjectSchema, body: Mapping, cacheKey: string): Checked {
  // A copy: the validator writes the defaults into what it is given.
  const object = structuredClone(withoutNulls(schema, body)) as Mapping;
  const validate = validatorOf(schema, cacheKey);
  const valid = validate(object);
  const violations = valid ? [] : firstPerPlace((validate.errors ?? []).map((error) => schemaFinding(error, schema)));
  const broken = violations.flatMap(({ path, fix }) => [path, ...meantBy(path, fix)]);
  return { object, findings: [...violations, ...ruleFindings(schema, object, broken)] };
}

/** A misspelt field is missing under its right name too; one mistake is reported once. */
function meantBy(path: Finding['path'], fix: string): readonly Finding['path'][] {
  const meant = /^did you mean (\w+)\?$/.exec(fix)?.[1];
  return meant === undefined ? [] : [[...path.slice(0, -1), meant]];
}

/** An empty string breaks both its minimum length and its pattern; the first sentence is enough. */
function firstPerPlace(findings: readonly Finding[]): readonly Finding[] {
  const places = new Set<string>();
  return findings.filter(({ path }) => {
    const place = JSON.stringify(path);
    if (places.has(place)) return false;
    places.add(place);
    return true;
  });
}

const validators = new Map<string, ValidateFunction>();

/** Compiled when first needed: it takes longer than all the rest of a start. */
function validatorOf(schema: ObjectSchema, cacheKey: string): ValidateFunction {
  const known = validators.get(cacheKey);
  if (known !== undefined) return known;
  const ajv = new Ajv({ strict: false, allErrors: true, verbose: true, useDefaults: true, formats: kubernetesFormats });
  const validate = ajv.compile(strictJsonSchema(schema) as object);
  validators.set(cacheKey, validate);
  return validate;
}

const int32 = 2 ** 31;

/** The formats our schemas use, as the API server reads them. */
const kubernetesFormats = {
  int32: { type: 'number', validate: (value: number) => value >= -int32 && value < int32 },
  int64: { type: 'number', validate: Number.isSafeInteger },
} as const;
