import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  countedPolicies,
  isCounted,
  policyBounds,
  uncertainPolicies,
} from '../../../../operator/core/snapshot/policy-bounds.ts';
import type { MetadataPolicy } from '../../../../operator/api/v1/index.ts';
import { metadataPolicy, storeOf } from '../../../builders/objects.ts';

function policy(name: string, second: number, patterns = 1, namespace = 'web'): MetadataPolicy {
  const creationTimestamp = new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
  const conceal = Array.from({ length: patterns }, (_, index) => `instance/${name}/${index}`);
  return metadataPolicy({ namespace, name, metadata: { creationTimestamp }, spec: { conceal } });
}

const names = (policies: readonly MetadataPolicy[]) => policies.map(({ metadata }) => metadata.name);

describe('policies of a namespace', () => {
  it('all count where there is room, also those of other namespaces', () => {
    const own = Array.from({ length: policyBounds.policies }, (_, index) => policy(`p${index}`, index));
    const store = storeOf(...own, policy('other', 0, 64, 'elsewhere'));
    assert.equal(countedPolicies(store, 'web').length, policyBounds.policies);
    assert.deepEqual(names(countedPolicies(store, 'elsewhere')), ['other']);
    assert.deepEqual(countedPolicies(store, 'nowhere'), []);
  });

  it('count by age, then by name, until there is no more room', () => {
    const many = Array.from({ length: policyBounds.policies }, (_, index) => policy(`n${index}`, 10));
    const store = storeOf(...many, policy('young', 11), policy('old', 9));
    const counted = names(countedPolicies(store, 'web'));
    assert.equal(counted.length, policyBounds.policies);
    assert.deepEqual(
      [counted.includes('old'), counted.includes('young'), counted.includes('n9')],
      [true, false, false],
    );
    assert.ok(isCounted(policy('old', 9), store));
    assert.ok(!isCounted(policy('young', 11), store));
    assert.ok(names(uncertainPolicies(store, 'web')).includes('young'));
  });

  it('are never more than the bounds, and a new one never ends the effect of one that is there (property)', () => {
    const some = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 99 }), fc.integer({ min: 0, max: 64 })), {
      maxLength: 60,
      selector: ([name]) => name,
    });
    fc.assert(
      fc.property(some, fc.integer({ min: 0, max: 64 }), (drawn, patterns) => {
        const present = drawn.map(([name, count], index) => policy(`p${name}`, index, count));
        const before = countedPolicies(storeOf(...present), 'web');
        const after = countedPolicies(storeOf(...present, policy('new', 1_000, patterns)), 'web');
        for (const counted of [before, after]) {
          assert.ok(counted.length <= policyBounds.policies);
          const sum = counted.reduce((total, { spec }) => total + (spec.conceal?.length ?? 0), 0);
          assert.ok(sum <= policyBounds.patterns);
        }
        for (const name of names(before)) assert.ok(names(after).includes(name), name);
      }),
    );
  });
});
