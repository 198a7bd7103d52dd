import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { BindingUid, ServiceAccountUid } from '../../../../operator/core/brand.ts';
import { isSameWish, tokenKeyText, tokenOwnerText, tokenWishText } from '../../../../operator/core/token/key.ts';
import type { TokenKey, TokenWish } from '../../../../operator/core/token/types.ts';

const text = fc.string({ maxLength: 12 });
const wish: fc.Arbitrary<TokenWish> = fc.oneof(
  fc.record({ kind: fc.constant('access' as const), scopes: fc.array(text, { maxLength: 3 }) }),
  fc.record({
    kind: fc.constant('identity' as const),
    audience: text,
    format: fc.constantFrom('standard' as const, 'full' as const),
  }),
);
const key: fc.Arbitrary<TokenKey> = fc.record({
  binding: text.map((uid) => uid as BindingUid),
  generation: fc.nat(3),
  epoch: text,
  serviceAccount: text.map((uid) => uid as ServiceAccountUid),
  wish,
});

describe('token key text', () => {
  it('is equal exactly when the keys are equal, whatever a tenant writes into them', () => {
    fc.assert(
      fc.property(key, key, (one, other) => {
        const equal = isDeepEqual(one, other);
        assert.equal(tokenKeyText(one) === tokenKeyText(other), equal);
      }),
    );
  });

  it('separates an access token whose scope spells an identity wish', () => {
    const owner = { binding: 'b' as BindingUid, generation: 1, epoch: '', serviceAccount: 's' as ServiceAccountUid };
    const access = tokenKeyText({ ...owner, wish: { kind: 'access', scopes: ['identity', 'a', 'full'] } });
    const identity = tokenKeyText({ ...owner, wish: { kind: 'identity', audience: 'a', format: 'full' } });
    assert.notEqual(access, identity);
  });

  it('has another owner for a recreated ServiceAccount of the same name', () => {
    const owner = { binding: 'b' as BindingUid, generation: 1, epoch: '', serviceAccount: 's' as ServiceAccountUid };
    assert.notEqual(
      tokenOwnerText(owner),
      tokenOwnerText({ ...owner, serviceAccount: 'recreated' as ServiceAccountUid }),
    );
    assert.notEqual(tokenOwnerText(owner), tokenOwnerText({ ...owner, epoch: '2026-11-01T00:00:00Z' }));
  });
});

function isDeepEqual(one: unknown, other: unknown): boolean {
  try {
    assert.deepEqual(one, other);
    return true;
  } catch {
    return false;
  }
}

describe('two wishes', () => {
  const wishes: readonly TokenWish[] = [
    { kind: 'access', scopes: ['a'] },
    { kind: 'access', scopes: ['a', 'b'] },
    { kind: 'access', scopes: ['b', 'a'] },
    { kind: 'access', scopes: [] },
    { kind: 'identity', audience: 'a', format: 'standard' },
    { kind: 'identity', audience: 'a', format: 'full' },
    { kind: 'identity', audience: 'b', format: 'full' },
  ];

  it('are the same exactly when their texts are', () => {
    for (const one of wishes) {
      for (const other of structuredClone(wishes)) {
        const same = tokenWishText(one) === tokenWishText(other);
        assert.equal(isSameWish(one, other), same, `${tokenWishText(one)} ${tokenWishText(other)}`);
      }
    }
  });
});
