import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClusterMetadataPolicy, MetadataPolicy } from '../../../../operator/api/v1/index.ts';
import { clusterMetadataPolicy } from '../../../../operator/api/v1/index.ts';
import { compilePattern, compilePolicy } from '../../../../operator/core/policy/compile.ts';

describe('patterns that compile', () => {
  it('literals, globs and subtrees', () => {
    assert.deepEqual(compilePattern('instance/attributes/secret-*'), {
      kind: 'compiled',
      pattern: {
        source: 'instance/attributes/secret-*',
        segments: [
          { kind: 'literal', text: 'instance' },
          { kind: 'literal', text: 'attributes' },
          { kind: 'glob', parts: ['secret-', ''] },
        ],
        subtree: false,
      },
    });
    const subtree = compilePattern('project/**');
    assert.ok(subtree.kind === 'compiled');
    assert.deepEqual([subtree.pattern.segments.length, subtree.pattern.subtree], [1, true]);
    const all = compilePattern('**');
    assert.ok(all.kind === 'compiled');
    assert.deepEqual([all.pattern.segments.length, all.pattern.subtree], [0, true]);
  });

  it('an e-mail, and a name with dots', () => {
    assert.equal(compilePattern('instance/service-accounts/a@b.iam/token').kind, 'compiled');
    assert.equal(compilePattern('instance/attributes/.hidden').kind, 'compiled');
  });
});

describe('patterns that do not compile say where', () => {
  const rows: readonly (readonly [text: string, position: number, message: RegExp])[] = [
    ['', 0, /empty/],
    ['/instance', 0, /empty/],
    ['instance/', 9, /empty/],
    ['instance//id', 9, /empty/],
    ['instance/../id', 9, /dots/],
    ['instance/./id', 9, /dots/],
    ['instance/a b', 10, /only letters/],
    ['instance/a%2fb', 10, /only letters/],
    ['instance/é', 9, /only letters/],
    ['instance/a\nb', 10, /only letters/],
    ['**/id', 0, /last segment/],
    ['instance/**/id', 9, /last segment/],
    ['instance/a**', 10, /last segment/],
    [Array.from({ length: 17 }, () => 'a').join('/'), 32, /16 segments/],
    ['a'.repeat(257), 256, /256 characters/],
  ];
  for (const [text, position, message] of rows) {
    it(`${JSON.stringify(text.slice(0, 40))} at ${position}`, () => {
      const compiled = compilePattern(text);
      assert.ok(compiled.kind === 'rejected');
      assert.equal(compiled.error.position, position);
      assert.match(compiled.error.message, message);
    });
  }

  it('every text that does compile also passes the schema of the kinds', () => {
    const schema = new RegExp(clusterMetadataPolicy.spec.properties.reveal.items.pattern);
    for (const text of ['instance/id', 'a/*', 'a/**', '**', 'a/b*c*d', 'a@b/c.d_e-f']) {
      assert.equal(compilePattern(text).kind, 'compiled', text);
      assert.match(text, schema);
    }
  });
});

const namespaced: MetadataPolicy = {
  apiVersion: 'metaveil.dev/v1',
  kind: 'MetadataPolicy',
  metadata: { name: 'tight', namespace: 'web', uid: 'u1', generation: 3 },
  spec: { mode: 'Enforce', profile: 'Restricted', conceal: ['instance/id'], directEgress: 'Deny' },
};

const clusterWide: ClusterMetadataPolicy = {
  apiVersion: 'metaveil.dev/v1',
  kind: 'ClusterMetadataPolicy',
  metadata: { name: 'team', uid: 'u2', generation: 1 },
  spec: { mode: 'Audit', reveal: ['instance/attributes/team'], legacyEndpoints: 'Allow', directEgress: 'Deny' },
};

describe('policies', () => {
  it('a MetadataPolicy compiles to its patterns, profile and names', () => {
    const outcome = compilePolicy(namespaced);
    assert.ok(outcome.kind === 'compiled');
    const { conceal, reveal, ...rest } = outcome.policy;
    assert.deepEqual(rest, {
      uid: 'u1',
      kind: 'MetadataPolicy',
      namespace: 'web',
      name: 'tight',
      generation: 3,
      mode: 'Enforce',
      profile: 'Restricted',
    });
    assert.deepEqual([conceal.map(({ source }) => source), reveal], [['instance/id'], []]);
  });

  it('a ClusterMetadataPolicy also reveals and speaks on legacy endpoints', () => {
    const outcome = compilePolicy(clusterWide);
    assert.ok(outcome.kind === 'compiled');
    assert.equal(outcome.policy.legacyEndpoints, 'Allow');
    assert.equal(outcome.policy.profile, undefined);
    assert.deepEqual(
      outcome.policy.reveal.map(({ source }) => source),
      ['instance/attributes/team'],
    );
  });

  it('a reveal in a MetadataPolicy is not read, whatever the API server let through', () => {
    const sneaky = { ...namespaced, spec: { ...namespaced.spec, reveal: ['**'] } };
    const outcome = compilePolicy(sneaky);
    assert.ok(outcome.kind === 'compiled');
    assert.deepEqual(outcome.policy.reveal, []);
  });

  it('is rejected whole, with every error and its field', () => {
    const outcome = compilePolicy({
      ...clusterWide,
      spec: { ...clusterWide.spec, conceal: ['instance/id', 'a//b'], reveal: ['x/../y'] },
    });
    assert.ok(outcome.kind === 'rejected');
    assert.deepEqual(
      outcome.errors.map(({ field, position }) => [field, position]),
      [
        ['spec.conceal[1]', 2],
        ['spec.reveal[0]', 2],
      ],
    );
  });

  it('too many patterns are one error', () => {
    const conceal = Array.from({ length: 65 }, () => 'instance/id');
    const outcome = compilePolicy({ ...namespaced, spec: { ...namespaced.spec, conceal } });
    assert.ok(outcome.kind === 'rejected');
    assert.deepEqual(outcome.errors, [{ field: 'spec.conceal', position: 0, message: 'at most 64 patterns' }]);
  });

  it('one read from a file has its name for a uid', () => {
    const outcome = compilePolicy({ ...namespaced, metadata: { name: 'tight', namespace: 'web' } });
    assert.ok(outcome.kind === 'compiled');
    assert.equal(outcome.policy.uid, 'MetadataPolicy/web/tight');
    assert.equal(outcome.policy.generation, 0);
  });
});
