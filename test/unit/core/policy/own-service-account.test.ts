import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicySubject } from '../../../../operator/core/policy/decision.ts';
import { evaluatorOf } from '../../../../operator/core/policy/evaluate.ts';
import type { UnboundReason } from '../../../../operator/core/snapshot/types.ts';
import { bound, cmdp, federated, mdp, subject, unbound } from './subjects.ts';

const privileged = cmdp('p', { profile: 'Privileged' });

const kindOf = (asked: PolicySubject) => {
  const source = evaluatorOf(asked).account;
  return source.kind === 'absent' ? `absent: ${source.reason}` : source.kind;
};

describe('whose service account a workload sees', () => {
  it('a bound one its binding’s, always', () => {
    assert.equal(kindOf(subject()), 'binding');
    assert.equal(kindOf(subject([privileged])), 'binding');
    assert.equal(kindOf(subject([], bound, { mode: 'Audit' })), 'binding');
  });

  it('an unbound one none, or the node’s under Privileged', () => {
    assert.equal(kindOf(subject([], unbound)), 'absent: no-binding');
    assert.equal(kindOf(subject([privileged], unbound)), 'node');
  });

  it('a namespace takes the node’s away and cannot give it', () => {
    assert.equal(kindOf(subject([privileged, mdp('t', { profile: 'Baseline' })], unbound)), 'absent: no-binding');
    assert.equal(kindOf(subject([mdp('t', { profile: 'Privileged' })], unbound)), 'absent: no-binding');
  });

  it('a federated identity only where the MetadataProxy says so', () => {
    assert.equal(kindOf(subject([], federated)), 'absent: no-binding');
    assert.equal(kindOf(subject([], federated, { unboundWorkloads: 'FederatedIdentity' })), 'federated');
    assert.equal(kindOf(subject([privileged], federated, { unboundWorkloads: 'FederatedIdentity' })), 'node');
  });

  it('off GCE there is no node’s account to fall back to', () => {
    for (const platform of ['None', 'AWS', 'Azure'] as const) {
      assert.equal(kindOf(subject([privileged], unbound, { platform })), 'absent: no-binding');
    }
    const offered = { platform: 'None', unboundWorkloads: 'FederatedIdentity' } as const;
    assert.equal(kindOf(subject([privileged], federated, offered)), 'federated');
  });

  it('a suspended or refused binding never falls back to the node’s', () => {
    const rows: readonly (readonly [UnboundReason, string])[] = [
      ['suspended', 'absent: suspended'],
      ['not-accepted', 'absent: not-accepted'],
      ['no-binding', 'node'],
      ['static-pod', 'node'],
      ['reserved-namespace', 'node'],
    ];
    for (const [reason, expected] of rows) {
      assert.equal(kindOf(subject([privileged], { kind: 'unbound', reason })), expected);
    }
  });

  it('under an Audit MetadataProxy an unbound pod keeps the node’s', () => {
    assert.equal(kindOf(subject([], unbound, { mode: 'Audit' })), 'node');
  });
});
