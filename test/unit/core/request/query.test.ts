import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CanonicalQuery } from '../../../../operator/core/request/canonical.ts';
import { readQuery, writeQuery } from '../../../../operator/core/request/query.ts';

function outcome(text: string): CanonicalQuery | string {
  const read = readQuery(text);
  return read.kind === 'read' ? read.query : read.rejection.denial.code;
}

describe('queries that real clients send', () => {
  const scope = 'https://www.googleapis.com/auth/cloud-platform';
  const rows: readonly (readonly [text: string, query: CanonicalQuery])[] = [
    ['', {}],
    ['recursive=true', { recursive: true }],
    ['recursive=True', { recursive: true }],
    ['recursive=false', { recursive: false }],
    ['%72ecursive=tru%65', { recursive: true }],
    [`scopes=${scope}`, { scopes: [scope] }],
    ['scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform', { scopes: [scope] }],
    ['scopes=b,a,b', { scopes: ['a', 'b'] }],
    ['scopes=b+a', { scopes: ['a', 'b'] }],
    ['scopes=', {}],
    ['audience=https://x.example/?y', { audience: 'https://x.example/?y' }],
    ['audience=a=b', { audience: 'a=b' }],
    ['audience=', { audience: '' }],
    ['audience', { audience: '' }],
    [
      'audience=32555940559.apps.googleusercontent.com&format=standard&licenses=FALSE',
      { audience: '32555940559.apps.googleusercontent.com', format: 'standard', licenses: false },
    ],
    ['format=full&audience=https%3A%2F%2Fx', { format: 'full', audience: 'https://x' }],
    [
      'alt=json&last_etag=NONE&recursive=true&timeout_sec=60&wait_for_change=true',
      { alt: 'json', lastEtag: 'NONE', recursive: true, timeoutSec: 60, waitForChange: true },
    ],
    ['wait_for_change=true&last_etag=', { waitForChange: true, lastEtag: '' }],
    ['bindCertificateFingerprint=x&transport=mtls&binding-enforcement=on', {}],
    ['x=1&x=2&&y=%ff', {}],
    ['Recursive=true', {}],
  ];
  for (const [text, query] of rows) {
    it(JSON.stringify(text), () => assert.deepEqual(outcome(text), query));
  }
});

describe('queries that are refused', () => {
  const rows: readonly (readonly [text: string, code: string])[] = [
    ['recursive=true&recursive=false', 'duplicate-parameter'],
    ['recursive=true&recursive=true', 'duplicate-parameter'],
    ['recursive=false&%72ecursive=true', 'duplicate-parameter'],
    ['audience=a&audience=b', 'duplicate-parameter'],
    ['scopes=&scopes=a', 'duplicate-parameter'],
    ['recursive=1', 'invalid-parameter'],
    ['recursive', 'invalid-parameter'],
    ['recursive=%2574rue', 'invalid-parameter'],
    ['alt=xml', 'invalid-parameter'],
    ['alt=JSON', 'invalid-parameter'],
    ['format=x', 'invalid-parameter'],
    ['timeout_sec=-1', 'invalid-parameter'],
    ['timeout_sec=1e3', 'invalid-parameter'],
    ['timeout_sec=', 'invalid-parameter'],
    ['timeout_sec=9999999999', 'invalid-parameter'],
    [`last_etag=${'a'.repeat(200)}`, 'invalid-parameter'],
    [`audience=${'a'.repeat(3000)}`, 'invalid-parameter'],
    [`scopes=${Array.from({ length: 100 }, (_, index) => index).join(',')}`, 'invalid-parameter'],
    [`scopes=${'a'.repeat(300)}`, 'invalid-parameter'],
    ['audience=%', 'malformed-query'],
    ['audience=%zz', 'malformed-query'],
    ['audience=%00', 'malformed-query'],
    ['audience=a%0d%0aX', 'malformed-query'],
    ['audience=%e9', 'malformed-query'],
    ['%=1', 'malformed-query'],
    ['%00=1', 'malformed-query'],
    ['a=1;recursive=true', 'malformed-query'],
    [Array.from({ length: 100 }, () => 'x').join('&'), 'malformed-query'],
  ];
  for (const [text, code] of rows) {
    it(`${JSON.stringify(text.slice(0, 60))} → ${code}`, () => assert.equal(outcome(text), code));
  }
});

describe('a query written back', () => {
  it('is empty for an empty one', () => assert.equal(writeQuery({}), ''));

  it('reads as the same query', () => {
    const query: CanonicalQuery = {
      recursive: true,
      alt: 'text',
      waitForChange: false,
      lastEtag: 'a&b',
      timeoutSec: 3,
      scopes: ['a', 'b'],
      audience: 'https://x/?a=1&b= +%',
      format: 'full',
      licenses: true,
    };
    assert.deepEqual(outcome(writeQuery(query).slice(1)), query);
  });
});
