import fc from 'fast-check';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RawRequest } from '../../../../operator/core/request/canonical.ts';
import { parseRequest } from '../../../../operator/core/request/parse.ts';
import { writeQuery } from '../../../../operator/core/request/query.ts';
import { accepted, get, goodHeaders, v1 } from './raw.ts';

const anyRaw: fc.Arbitrary<RawRequest> = fc.record({
  method: fc.oneof(fc.constantFrom('GET', 'HEAD', 'PUT'), fc.string()),
  target: fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string().map((text) => `${v1}${text}`),
  ),
  httpVersion: fc.oneof(fc.constant('1.1'), fc.string()),
  rawHeaders: fc.oneof(fc.constant(goodHeaders), fc.array(fc.string({ unit: 'binary' }), { maxLength: 12 })),
});

const segment = fc.stringMatching(/^[a-z0-9-]{1,12}$/);
const deepSegment = fc.stringMatching(/^(?:[A-Za-z0-9._~@:+-]|%40){1,12}$/).filter((text) => !text.endsWith('.'));
const goodTarget = fc
  .tuple(segment, segment, fc.array(deepSegment, { maxLength: 4 }), fc.boolean(), fc.option(fc.boolean()))
  .map(([top, second, rest, slash, recursive]) => {
    const path = [top, second, ...rest].join('/');
    return `${v1}${path}${slash ? '/' : ''}${recursive === null ? '' : `?recursive=${recursive}`}`;
  });

describe('parseRequest', () => {
  it('is total: any input gives a request or a rejection', () => {
    fc.assert(
      fc.property(anyRaw, (raw) => {
        const parsed = parseRequest(raw);
        assert.ok(parsed.kind === 'request' || parsed.rejection.denial.status >= 400);
      }),
      { numRuns: 3000 },
    );
  });

  it('decodes once: what it made, written again, is the same request', () => {
    fc.assert(
      fc.property(goodTarget, (target) => {
        const first = accepted(get(target));
        const slash = first.trailingSlash ? '/' : '';
        const again = accepted(get(`${v1}${first.path.join('/')}${slash}${writeQuery(first.query)}`));
        assert.deepEqual({ ...again, spelling: '' }, { ...first, spelling: '' });
      }),
      { numRuns: 2000 },
    );
  });

  it('gives only segments that need no further decoding', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const parsed = parseRequest(get(`${v1}instance/attributes/${text}`));
        if (parsed.kind === 'rejected') return;
        for (const name of parsed.request.path) assert.match(name, /^[A-Za-z0-9._~@:+-]*[A-Za-z0-9_~@:+-]$/);
      }),
      { numRuns: 3000 },
    );
  });

  it('a header that is added never turns a rejection into a request', () => {
    fc.assert(
      fc.property(anyRaw, fc.string(), fc.string(), (raw, name, value) => {
        const needed = ['host', 'metadata-flavor'].includes(name.toLowerCase());
        if (needed || parseRequest(raw).kind === 'request') return;
        assert.equal(parseRequest({ ...raw, rawHeaders: [...raw.rawHeaders, name, value] }).kind, 'rejected');
      }),
    );
  });
});
