import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { conceals, leadsTo, reveals } from '../../../../operator/core/policy/match.ts';
import { path, pattern } from './subjects.ts';

const at = (text: string) => ({ segments: path(text), accounts: [] });

describe('segments', () => {
  const rows: readonly (readonly [pattern: string, path: string, matches: boolean])[] = [
    ['a/b', 'a/b', true],
    ['a/b', 'a/c', false],
    ['a/*', 'a/b', true],
    ['a/*', 'a', false],
    ['*/b', 'a/b', true],
    ['a/x*', 'a/x', true],
    ['a/*x', 'a/x', true],
    ['a/*x', 'a/xy', false],
    ['a/x*y', 'a/xy', true],
    ['a/x*y', 'a/xzy', true],
    ['a/x*x', 'a/x', false],
    ['a/*b*', 'a/abc', true],
    ['a/*b*c*', 'a/cb', false],
    ['a/a*b*a', 'a/aba', true],
    ['a/ab*ba', 'a/aba', false],
    ['a/x.y', 'a/xzy', false],
  ];
  for (const [text, asked, matches] of rows) {
    it(`${text} ${matches ? 'matches' : 'does not match'} ${asked}`, () => {
      assert.equal(reveals(pattern(text), at(asked)), matches);
    });
  }

  it('many stars against a hostile name cost no backtracking', () => {
    const hostile = at(`a/${'a'.repeat(250)}b`);
    assert.equal(reveals(pattern(`a/${'a*'.repeat(100)}c`), hostile), false);
  });
});

describe('concealing takes the subtree and ignores case, revealing is exact', () => {
  it('a subtree', () => {
    assert.ok(conceals(pattern('a/b'), at('a/b/c/d')));
    assert.ok(conceals(pattern('a/b/**'), at('a/b')));
    assert.ok(conceals(pattern('a/b/**'), at('a/b/c')));
    assert.ok(!conceals(pattern('a/b'), at('a')));
    assert.ok(!reveals(pattern('a/b'), at('a/b/c')));
    assert.ok(reveals(pattern('a/b/**'), at('a/b/c')));
    assert.ok(reveals(pattern('a/b/**'), at('a/b')));
    assert.ok(!reveals(pattern('a/b/**'), at('a')));
  });

  it('case', () => {
    assert.ok(conceals(pattern('a/kube-env'), at('a/KUBE-Env')));
    assert.ok(conceals(pattern('a/Secret-*'), at('a/secret-1')));
    assert.ok(!reveals(pattern('a/team'), at('a/Team')));
  });

  it('** is everything', () => {
    assert.ok(conceals(pattern('**'), at('')));
    assert.ok(reveals(pattern('**'), at('a/b')));
  });
});

describe('names of one account', () => {
  const token = pattern('instance/service-accounts/default/token');

  it('what conceals one name conceals the account', () => {
    const segments = path('instance/service-accounts/default/token');
    const byEmail = pattern('instance/service-accounts/a@b/token');
    assert.ok(conceals(byEmail, { segments, accounts: ['default', 'a@b'] }));
    assert.ok(!conceals(byEmail, { segments, accounts: ['default', 'c@d'] }));
  });

  it('an account of unknown names is met by every name', () => {
    const segments = path('instance/service-accounts/123-compute@developer/token');
    assert.ok(conceals(token, { segments, accounts: 'any' }));
    assert.ok(!conceals(token, { segments, accounts: ['123-compute@developer'] }));
  });
});

describe('directories above what a pattern reveals', () => {
  it('are those on its way, and no others', () => {
    const team = pattern('instance/attributes/team');
    assert.ok(leadsTo(team, at('')));
    assert.ok(leadsTo(team, at('instance')));
    assert.ok(leadsTo(team, at('instance/attributes')));
    assert.ok(!leadsTo(team, at('instance/attributes/team')));
    assert.ok(!leadsTo(team, at('instance/disks')));
  });
});
