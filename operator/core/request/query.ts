import type { CanonicalQuery, Rejection } from './canonical.ts';
import { maxAudienceLength, maxScopeLength, maxScopes } from '../token/grants.ts';
import { requestLimits } from './limits.ts';
import { reject } from './rejection.ts';

export type ReadQuery =
  | { readonly kind: 'read'; readonly query: CanonicalQuery }
  | { readonly kind: 'rejected'; readonly rejection: Rejection };

/** What one parameter contributes; undefined: its value is not valid. */
type ReadParameter = (value: string) => CanonicalQuery | undefined;

/** The closed list of query keys. Whatever is not here is ignored, and never sent to an upstream. */
const parameters: ReadonlyMap<string, ReadParameter> = new Map<string, ReadParameter>([
  ['recursive', (value) => flag(value, (recursive) => ({ recursive }))],
  ['wait_for_change', (value) => flag(value, (waitForChange) => ({ waitForChange }))],
  ['licenses', (value) => flag(value, (licenses) => ({ licenses }))],
  ['alt', (value) => (value === 'json' || value === 'text' ? { alt: value } : undefined)],
  ['format', (value) => (value === 'standard' || value === 'full' ? { format: value } : undefined)],
  ['last_etag', (value) => (value.length <= requestLimits.etagBytes ? { lastEtag: value } : undefined)],
  ['timeout_sec', (value) => (/^[0-9]{1,9}$/.test(value) ? { timeoutSec: Number(value) } : undefined)],
  ['audience', (value) => (value.length <= maxAudienceLength ? { audience: value } : undefined)],
  ['scopes', readScopes],
]);

/**
 * Decodes a query once, as a form: `+` is a space. Keys are compared after decoding, so an escaped `recursive` is
 * `recursive`; a key of ours that comes twice is refused, because servers differ in which one counts.
 */
export function readQuery(text: string): ReadQuery {
  if (text.includes(';')) return rejected('malformed-query', 'semicolon in the query');
  const pairs = text.split('&').filter((pair) => pair !== '');
  if (pairs.length > requestLimits.queryParameters) return rejected('malformed-query', 'more than 64 parameters');
  const seen = new Set<string>();
  let query: CanonicalQuery = {};
  for (const pair of pairs) {
    const read = readPair(pair);
    if (read.kind === 'rejected') return read;
    if (read.key !== undefined && seen.has(read.key)) return rejected('duplicate-parameter', `${read.key} repeated`);
    if (read.key !== undefined) seen.add(read.key);
    query = { ...query, ...read.query };
  }
  return { kind: 'read', query };
}

/** One `key=value`; `key` is set only if it is one of ours. */
function readPair(pair: string): ReadQuery & { readonly key?: string } {
  const equals = pair.indexOf('=');
  const key = decode(equals === -1 ? pair : pair.slice(0, equals));
  if (key === undefined) return rejected('malformed-query', 'escape in a key');
  const read = parameters.get(key);
  if (read === undefined) return { kind: 'read', query: {} };
  const value = decode(equals === -1 ? '' : pair.slice(equals + 1));
  if (value === undefined) return rejected('malformed-query', `escape in the value of ${key}`);
  const query = read(value);
  return query === undefined ? rejected('invalid-parameter', `value of ${key}`) : { kind: 'read', key, query };
}

function rejected(code: 'malformed-query' | 'duplicate-parameter' | 'invalid-parameter', detail: string): ReadQuery {
  return { kind: 'rejected', rejection: reject(code, detail) };
}

const brokenEscape = /%(?![0-9A-Fa-f]{2})/;
const printableText = /^[\x20-\x7e]*$/;

/** Undefined where an escape is broken or stands for anything but printable ASCII, of which the text itself is made. */
function decode(text: string): string | undefined {
  if (!/[%+]/.test(text)) return text;
  if (brokenEscape.test(text)) return undefined;
  const decoded = text
    .replaceAll('+', ' ')
    .replaceAll(/%([0-9A-Fa-f]{2})/g, (_escape, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return printableText.test(decoded) ? decoded : undefined;
}

/** gcloud sends `FALSE`, Python `true`, .NET `True`. */
function flag(value: string, contribute: (flag: boolean) => CanonicalQuery): CanonicalQuery | undefined {
  const lower = value.toLowerCase();
  return lower === 'true' || lower === 'false' ? contribute(lower === 'true') : undefined;
}

/** gcloud names some scopes twice and every client has its own order: sorted and unique, they make one cache key. */
function readScopes(value: string): CanonicalQuery | undefined {
  const scopes = [...new Set(value.split(/[ ,]+/).filter((scope) => scope !== ''))].sort();
  if (scopes.length > maxScopes || scopes.some((scope) => scope.length > maxScopeLength)) return undefined;
  return scopes.length === 0 ? {} : { scopes };
}

/** The query as text, for a redirect: a client that forgot the slash keeps its parameters. '' or `?…`. */
export function writeQuery(query: CanonicalQuery): string {
  const pairs: readonly (readonly [string, string | undefined])[] = [
    ['recursive', query.recursive?.toString()],
    ['alt', query.alt],
    ['wait_for_change', query.waitForChange?.toString()],
    ['last_etag', query.lastEtag],
    ['timeout_sec', query.timeoutSec?.toString()],
    ['scopes', query.scopes?.join(',')],
    ['audience', query.audience],
    ['format', query.format],
    ['licenses', query.licenses?.toString()],
  ];
  const written = pairs.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${encodeURIComponent(value)}`]));
  return written.length === 0 ? '' : `?${written.join('&')}`;
}
