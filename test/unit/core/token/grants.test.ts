import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cloudPlatformScope } from '../../../../operator/core/names.ts';
import {
  checkAudience,
  defaultScopes,
  maxAudienceLength,
  maxScopeLength,
  maxScopes,
  resolveScopes,
} from '../../../../operator/core/token/grants.ts';

const storage = 'https://www.googleapis.com/auth/devstorage.read_only';
const email = 'https://www.googleapis.com/auth/userinfo.email';

describe('scopes', () => {
  it('are cloud-platform when neither the request nor the binding names any', () => {
    assert.deepEqual(resolveScopes({}, []), { kind: 'granted', scopes: [cloudPlatformScope] });
  });

  it('are the allow-list when the request names none', () => {
    assert.deepEqual(resolveScopes({ scopes: [storage, email] }, []), { kind: 'granted', scopes: [storage, email] });
  });

  it('are sorted and without duplicates, so that order never makes a second cache entry', () => {
    const expected = { kind: 'granted', scopes: ['openid', storage, email].sort() };
    assert.deepEqual(resolveScopes({}, [email, 'openid', storage, 'openid', email]), expected);
  });

  it('outside the allow-list are denied by name', () => {
    assert.deepEqual(resolveScopes({ scopes: [storage] }, [storage, cloudPlatformScope]), {
      kind: 'scope-not-allowed',
      scope: cloudPlatformScope,
    });
  });

  it('are compared as a whole, not by prefix', () => {
    assert.equal(resolveScopes({ scopes: [storage] }, [storage.slice(0, -1)]).kind, 'scope-not-allowed');
  });

  for (const [name, scopes] of [
    ['a space', ['a b']],
    ['a control character', ['a\n']],
    ['a quote', ['a"']],
    ['an empty scope', ['']],
    ['a scope that is too long', ['s'.repeat(maxScopeLength + 1)]],
    ['too many scopes', Array.from({ length: maxScopes + 1 }, (_, index) => `s${index}`)],
  ] as const) {
    it(`with ${name} are malformed`, () => {
      assert.deepEqual(resolveScopes({}, scopes), { kind: 'malformed-scopes' });
    });
  }

  it('that are granted are always inside the allow-list', () => {
    const names = fc.constantFrom<string>('a', 'b', 'c', 'd', 'e');
    fc.assert(
      fc.property(fc.array(names, { minLength: 1 }), fc.array(names), (allowed, requested) => {
        const resolution = resolveScopes({ scopes: allowed }, requested);
        const inside = requested.every((scope) => allowed.includes(scope));
        assert.equal(resolution.kind === 'granted', inside);
        if (resolution.kind === 'granted') assert.ok(resolution.scopes.every((scope) => allowed.includes(scope)));
      }),
    );
  });

  it('listed by default can be asked for by name', () => {
    for (const binding of [{}, { scopes: [email, storage, email] }]) {
      const listed = defaultScopes(binding);
      assert.deepEqual(resolveScopes(binding, listed), { kind: 'granted', scopes: listed });
    }
  });
});

describe('audience', () => {
  const impersonate = { access: 'Impersonate' } as const;

  it('is free without an allow-list', () => {
    assert.deepEqual(checkAudience(impersonate, 'https://service.example/a?b'), { kind: 'granted' });
  });

  it('outside the allow-list is denied, also when it only starts or ends alike', () => {
    const binding = { ...impersonate, idTokenAudiences: ['https://a.example'] };
    assert.deepEqual(checkAudience(binding, 'https://a.example'), { kind: 'granted' });
    for (const audience of ['https://a.example/', 'https://a.exampl', 'HTTPS://a.example', 'https://a.example.evil']) {
      assert.deepEqual(checkAudience(binding, audience), { kind: 'audience-not-allowed', audience });
    }
  });

  it('is never granted with Direct, whatever it is', () => {
    assert.deepEqual(checkAudience({ access: 'Direct' }, 'a'), { kind: 'no-identity-tokens' });
  });

  for (const audience of ['', 'a b', 'a\r\nb', 'ä', 'a'.repeat(maxAudienceLength + 1)]) {
    it(`of ${audience.length} characters that is no identifier is malformed: ${JSON.stringify(audience.slice(0, 8))}`, () => {
      assert.deepEqual(checkAudience(impersonate, audience), { kind: 'malformed-audience' });
    });
  }
});
