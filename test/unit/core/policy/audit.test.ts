import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicySubject } from '../../../../operator/core/policy/decision.ts';
import { evaluate } from '../../../../operator/core/policy/evaluate.ts';
import { bound, cmdp, mdp, path, subject, unbound, wordFor } from './subjects.ts';

/** The answer, and by whom it would have been another. */
function audited(asked: PolicySubject, text: string): readonly string[] {
  const decision = evaluate(asked, path(text));
  const by = decision.audit.map(({ policy }) => (policy === 'MetadataProxy' ? policy : policy.name));
  return [wordFor(decision), ...by];
}

describe('Audit policies', () => {
  it('are recorded where enforcing them would conceal', () => {
    const asked = subject([mdp('trial', { mode: 'Audit', conceal: ['instance/id'] })]);
    assert.deepEqual(audited(asked, 'instance/id'), ['reveal', 'trial']);
    assert.deepEqual(audited(asked, 'instance/name'), ['reveal']);
  });

  it('their finding has the trace of that other decision', () => {
    const decision = evaluate(
      subject([mdp('trial', { mode: 'Audit', profile: 'Restricted' })]),
      path('instance/disks'),
    );
    assert.deepEqual(
      decision.audit[0]?.trace.map(({ step }) => step),
      ['effective-profile', 'concealed-by-profile'],
    );
  });

  it('are not recorded where the answer is a denial anyway', () => {
    const asked = subject([mdp('trial', { mode: 'Audit', conceal: ['instance/attributes'] })]);
    assert.deepEqual(audited(asked, 'instance/attributes/kube-env'), ['concealed-by-profile']);
  });

  it('stand side by side with enforcing ones, each by itself', () => {
    const asked = subject([
      cmdp('base', { profile: 'Privileged' }),
      mdp('trial-1', { mode: 'Audit', profile: 'Baseline' }),
      mdp('trial-2', { mode: 'Audit', conceal: ['instance/id'] }),
    ]);
    assert.deepEqual(audited(asked, 'instance/attributes/kube-env'), ['reveal', 'trial-1']);
    assert.deepEqual(audited(asked, 'instance/id'), ['reveal', 'trial-2']);
  });

  it('one that would take the node’s account from a pod is recorded', () => {
    const asked = subject(
      [cmdp('base', { profile: 'Privileged' }), mdp('trial', { mode: 'Audit', profile: 'Baseline' })],
      unbound,
    );
    assert.deepEqual(audited(asked, 'instance/service-accounts/default/token'), ['reveal', 'trial']);
  });

  it('legacy: one that would deny is recorded', () => {
    const asked = subject([
      cmdp('base', { profile: 'Privileged' }),
      cmdp('trial', { mode: 'Audit', legacyEndpoints: 'Deny' }),
    ]);
    const decision = evaluate(asked, path('instance/id'), 'legacy');
    assert.equal(wordFor(decision), 'reveal');
    assert.equal(decision.audit.length, 1);
  });
});

describe('an Audit MetadataProxy', () => {
  const mode = { mode: 'Audit' } as const;

  it('conceals nothing and records what it would', () => {
    assert.deepEqual(audited(subject([], bound, mode), 'instance/attributes/kube-env'), ['reveal', 'MetadataProxy']);
    assert.deepEqual(audited(subject([], bound, mode), 'instance/id'), ['reveal']);
  });

  it('names the policy that would', () => {
    const asked = subject(
      [cmdp('hide', { conceal: ['instance/id'] }), mdp('tight', { profile: 'Restricted' })],
      bound,
      mode,
    );
    assert.deepEqual(audited(asked, 'instance/id'), ['reveal', 'hide']);
    assert.deepEqual(audited(asked, 'instance/disks'), ['reveal', 'tight']);
  });

  it('lets legacy endpoints answer, recorded', () => {
    const decision = evaluate(subject([], bound, mode), path('instance/id'), 'legacy');
    assert.equal(wordFor(decision), 'reveal');
    assert.equal(decision.audit[0]?.policy, 'MetadataProxy');
  });

  it('records a pod that lives on the node’s account', () => {
    assert.deepEqual(audited(subject([], unbound, mode), 'instance/service-accounts/default/token'), [
      'reveal',
      'MetadataProxy',
    ]);
  });
});
