import { Environment } from '@marcbachmann/cel-js';
import type { CelRule, Schema } from '../../api/v1/index.ts';
import { pathText, type Finding, type ValuePath } from './finding.ts';
import { childrenOf } from './values.ts';

const environment = new Environment({ unlistedVariablesAreDyn: true });
const compiled = new Map<string, (context: Readonly<Record<string, unknown>>) => unknown>();

/**
 * Evaluates the CEL rules of a schema on a value that has its defaults. Rules about the old object are left out: a
 * file has no past. So are rules that look at something in `broken`, which has a problem of its own.
 *
 * @param broken paths at which the schema was violated
 */
export function ruleFindings(schema: Schema, value: unknown, broken: readonly ValuePath[]): readonly Finding[] {
  return findingsAt({ schema, value, path: [] }, broken);
}

interface Place {
  readonly schema: Schema;
  readonly value: unknown;
  readonly path: ValuePath;
}

function findingsAt(place: Place, broken: readonly ValuePath[]): readonly Finding[] {
  const { schema, value, path } = place;
  const own = (schema['x-kubernetes-validations'] ?? [])
    .filter((rule) => !rule.rule.includes('oldSelf') && !looksAt(rule, path, broken))
    .filter((rule) => !holds(rule, value))
    .map((rule) => findingOf(rule, path));
  const below = childrenOf(schema, value).flatMap(([step, child, field]) =>
    findingsAt({ schema: child, value: field, path: [...path, step] }, broken),
  );
  return [...own, ...below];
}

/** A rule that cannot be evaluated counts as broken, as on the API server. */
function holds(rule: CelRule, value: unknown): boolean {
  try {
    return programOf(rule.rule)({ self: celValue(value) }) === true;
  } catch {
    return false;
  }
}

function programOf(text: string): (context: Readonly<Record<string, unknown>>) => unknown {
  const known = compiled.get(text);
  if (known !== undefined) return known;
  const program = environment.parse(text);
  compiled.set(text, program);
  return program;
}

/** CEL integers are 64 bit wide; the library takes bigint for them and calls a number a double. */
function celValue(value: unknown): unknown {
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(celValue);
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([name, field]) => [name, celValue(field)]));
}

function looksAt(rule: CelRule, path: ValuePath, broken: readonly ValuePath[]): boolean {
  const fields = [...rule.rule.matchAll(/\bself((?:\.\w+(?!\w*\())*)/g)].map((match) => fieldPath(match[1] ?? ''));
  return fields.some((field) => broken.some((place) => overlap([...path, ...field], place)));
}

function fieldPath(text: string): readonly string[] {
  return text.split('.').filter((name) => name !== '');
}

/** Whether one path leads to or through the other. */
function overlap(one: ValuePath, other: ValuePath): boolean {
  const length = Math.min(one.length, other.length);
  return one.slice(0, length).every((step, index) => step === other[index]);
}

/** Messages are written as `what; fix`, and may begin with the field's name. */
function findingOf(rule: CelRule, path: ValuePath): Finding {
  const place = [...path, ...fieldPath(rule.fieldPath ?? '')];
  const [what = rule.message, ...fix] = rule.message.split('; ');
  return { path: place, target: 'value', what: withSubject(what, place), fix: fix.join('; ') };
}

function withSubject(what: string, place: ValuePath): string {
  const text = pathText(place);
  const field = String(place.at(-1));
  if (place.length === 0 || what.startsWith(`${text} `)) return what;
  return what.startsWith(`${field} `) ? `${text}${what.slice(field.length)}` : `${text}: ${what}`;
}
