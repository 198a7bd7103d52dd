import type { ErrorObject } from 'ajv';
import { exampleIn, meaningOf } from '../../api/v1/formats.ts';
import { kinds, type Schema } from '../../api/v1/index.ts';
import { quote } from '../../local/problem.ts';
import { pathText, type Finding, type ValuePath } from './finding.ts';
import { schemaAt } from './schema.ts';
import { nearest } from './suggest.ts';
import { isMapping } from './values.ts';

/** What a schema violation means to a person. `root` is the schema of the whole object. */
export function schemaFinding(error: ErrorObject, root: Schema): Finding {
  const path = pathOf(error.instancePath, root);
  const sentence = sentences[error.keyword] ?? violated;
  const place = { path, text: pathText(path), schema: schemaAt(root, path), data: error.data };
  const { key, what, fix } = sentence(place, error);
  return { path: key === undefined ? path : [...path, key], target: key === undefined ? 'value' : 'key', what, fix };
}

interface Place {
  readonly path: ValuePath;
  readonly text: string;
  readonly schema: Schema | undefined;
  readonly data: unknown;
}

interface Sentence {
  /** The field below the place that is meant. */
  readonly key?: string | number;
  readonly what: string;
  readonly fix: string;
}

const sentences: Readonly<Record<string, (place: Place, error: ErrorObject) => Sentence>> = {
  required: (place, error) => missing(place, String(error.params['missingProperty'])),
  additionalProperties: (place, error) => unknownField(place, String(error.params['additionalProperty'])),
  type: (place, error) => wrongType(place, String(error.params['type'])),
  enum: (place, error) => notListed(place, error.params['allowedValues'] as readonly string[]),
  pattern: (place, error) => malformed(place, String(error.params['pattern'])),
  format: (place, error) => misformatted(place, String(error.params['format'])),
  minLength: empty,
  minItems: empty,
  minProperties: empty,
  maxLength: (place, error) => tooLarge(place, error, 'characters'),
  maxItems: (place, error) => tooLarge(place, error, 'items'),
  maxProperties: (place, error) => tooLarge(place, error, 'keys'),
  minimum: outOfRange,
  maximum: outOfRange,
  uniqueItems: (place, error) => duplicate(place, Math.max(Number(error.params['i']), Number(error.params['j']))),
};

function violated({ text }: Place, error: ErrorObject): Sentence {
  return { what: `${text} ${error.message ?? 'is not valid'}`, fix: 'change it' };
}

function missing({ path, text, schema }: Place, name: string): Sentence {
  const example = exampleOf(schemaAt(schema, [name]));
  const what = `${pathText([...path, name])} is missing`;
  const where = path.length === 0 ? '' : ` to ${text}`;
  return { key: name, what, fix: example === undefined ? `add ${name}${where}` : `add ${name}: ${example}${where}` };
}

function unknownField({ path, text, schema }: Place, name: string): Sentence {
  const known = schema?.type === 'object' ? Object.keys(schema.properties ?? {}) : [];
  const what = `unknown field ${printableField(path, name)}`;
  if (path[0] === 'metadata' && name === 'namespace') {
    return { key: name, what: 'metadata.namespace is set, but the kind is cluster-scoped', fix: 'remove it' };
  }
  const meant = nearest(name, known);
  if (meant !== undefined) return { key: name, what, fix: `did you mean ${meant}?` };
  const elsewhere = kinds.filter((kind) => path[0] === 'spec' && schemaAt(kind.spec, [...path.slice(1), name]));
  if (elsewhere.length > 0) {
    return { key: name, what, fix: `remove it; only ${elsewhere.map(({ kind }) => kind).join(' and ')} has it` };
  }
  return { key: name, what, fix: `remove it; ${text} has the fields ${known.join(', ')}` };
}

function printableField(path: ValuePath, name: string): string {
  return /^[\w./-]{1,64}$/.test(name) ? pathText([...path, name]) : `${quote(name)} in ${pathText(path)}`;
}

const articles: Readonly<Record<string, string>> = {
  string: 'a string',
  integer: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
};

function wrongType({ text, schema, data }: Place, expected: string): Sentence {
  const what = `${text} is ${describe(data)}, but must be ${articles[expected] ?? expected}`;
  const scalar = typeof data === 'number' || typeof data === 'boolean';
  if (expected === 'string' && scalar) return { what, fix: `put it in quotes: "${String(data)}"` };
  return { what, fix: forExample(schema) ?? 'change it' };
}

function describe(data: unknown): string {
  if (data === null) return 'null';
  if (Array.isArray(data)) return 'a list';
  if (isMapping(data)) return 'a mapping';
  if (typeof data === 'string') return quote(data);
  return typeof data === 'number' || typeof data === 'boolean' ? `the ${typeof data} ${data}` : typeof data;
}

function notListed({ text, data }: Place, allowed: readonly string[]): Sentence {
  const list = `use one of ${allowed.join(', ')}`;
  if (typeof data !== 'string') return { what: `${text} is ${describe(data)}`, fix: list };
  const meant = nearest(data, allowed);
  return { what: `${text} is ${quote(data)}`, fix: meant === undefined ? list : `did you mean ${meant}? ${list}` };
}

function malformed({ text, schema, data }: Place, pattern: string): Sentence {
  const meaning = meaningOf(pattern) ?? `text that matches ${pattern}`;
  return { what: `${text} is ${describe(data)}, but must be ${meaning}`, fix: forExample(schema) ?? 'change it' };
}

function misformatted({ text, schema, data }: Place, format: string): Sentence {
  return {
    what: `${text} is ${describe(data)}, but must be a number of format ${format}`,
    fix: forExample(schema) ?? 'change it',
  };
}

/** An emptied list must not come to mean "no restriction", so it is refused and not ignored. */
function empty({ text, schema }: Place): Sentence {
  const fix = forExample(schema);
  return { what: `${text} is empty`, fix: fix === undefined ? 'remove it, or fill it in' : `remove it, or ${fix}` };
}

function tooLarge({ text, data }: Place, error: ErrorObject, unit: string): Sentence {
  const size = typeof data === 'string' ? Array.from(data).length : Object.keys(data as object).length;
  const what = `${text} has ${String(size)} ${unit}`;
  return { what, fix: `shorten it to at most ${String(error.params['limit'])}` };
}

function outOfRange({ text, schema, data }: Place): Sentence {
  const { minimum, maximum } = { minimum: undefined, maximum: undefined, ...schema };
  const range = maximum === undefined ? `at least ${String(minimum)}` : `${String(minimum)} to ${String(maximum)}`;
  return { what: `${text} is ${String(data)}`, fix: `use ${range}` };
}

function duplicate({ path, text, data }: Place, index: number): Sentence {
  const value = Array.isArray(data) ? String(data[index]) : '';
  return { key: index, what: `${text} has ${quote(value)} twice`, fix: `remove ${pathText([...path, index])}` };
}

function exampleOf(schema: Schema | undefined): string | undefined {
  return schema?.description === undefined ? undefined : exampleIn(schema.description);
}

function forExample(schema: Schema | undefined): string | undefined {
  const example = exampleOf(schema);
  return example === undefined ? undefined : `write for example ${example}`;
}

/** JSON pointer to path; a step is an index where the schema has a list. */
function pathOf(pointer: string, root: Schema): ValuePath {
  const path: (string | number)[] = [];
  for (const step of pointer.split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    path.push(schemaAt(root, path)?.type === 'array' ? Number(name) : name);
  }
  return path;
}
