/** The limits that the reference names: as much as is allowed is read, and one more is refused. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RawRequest } from '../../../../operator/core/request/canonical.ts';
import type { DenialCode } from '../../../../operator/core/request/denials.ts';
import { requestLimits } from '../../../../operator/core/request/limits.ts';
import { parseRequest } from '../../../../operator/core/request/parse.ts';
import { maxAudienceLength, maxScopeLength, maxScopes } from '../../../../operator/core/token/grants.ts';
import { get } from './raw.ts';

const v1 = '/computeMetadata/v1';
const value = `${v1}/project/project-id`;
const usual = ['Host', 'metadata', 'Metadata-Flavor', 'Google'];
const many = (count: number, text: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => text(index));
const bytesOf = (headers: readonly string[]) => headers.join('').length;
const query = (text: string) => get(`${value}?${text}`);

const rows: readonly (readonly [what: string, limit: number, ask: (size: number) => RawRequest, code: DenialCode])[] = [
  ['bytes of the target', requestLimits.targetBytes, (size) => get(`${value}?x=`.padEnd(size, 'a')), 'target-too-long'],
  ['bytes of the path', requestLimits.pathBytes, (size) => get(`${v1}/`.padEnd(size, 'a')), 'target-too-long'],
  ['segments', requestLimits.segments, (size) => get(`${v1}${'/a'.repeat(size - 2)}`), 'malformed-path'],
  [
    'headers',
    requestLimits.headers,
    (size) => get(value, [...usual, ...many(size - 2, (index) => `X-${index}`).flatMap((name) => [name, ''])]),
    'headers-too-large',
  ],
  [
    'bytes of headers',
    requestLimits.headerBytes,
    (size) => get(value, [...usual, 'X', 'a'.repeat(size - bytesOf(usual) - 1)]),
    'headers-too-large',
  ],
  [
    'bytes of Host',
    requestLimits.hostBytes,
    (size) => get(value, ['Host', `metadata.${'a'.repeat(size - 18)}.internal`, 'Metadata-Flavor', 'Google']),
    'host-not-allowed',
  ],
  [
    'query parameters',
    requestLimits.queryParameters,
    (size) => query(many(size, () => 'x').join('&')),
    'malformed-query',
  ],
  [
    'bytes of last_etag',
    requestLimits.etagBytes,
    (size) => query(`last_etag=${'a'.repeat(size)}`),
    'invalid-parameter',
  ],
  ['bytes of audience', maxAudienceLength, (size) => query(`audience=${'a'.repeat(size)}`), 'invalid-parameter'],
  ['scopes', maxScopes, (size) => query(`scopes=${many(size, String).join(',')}`), 'invalid-parameter'],
  ['bytes of a scope', maxScopeLength, (size) => query(`scopes=${'a'.repeat(size)}`), 'invalid-parameter'],
];

describe('limits of a request', () => {
  for (const [what, limit, ask, code] of rows) {
    it(`${limit} ${what}, and not one more`, () => {
      assert.equal(parseRequest(ask(limit)).kind, 'request');
      const beyond = parseRequest(ask(limit + 1));
      assert.equal(beyond.kind === 'rejected' && beyond.rejection.denial.code, code);
    });
  }
});
