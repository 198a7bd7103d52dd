import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicySubject, TraceStep } from '../../../../operator/core/policy/decision.ts';
import { evaluate } from '../../../../operator/core/policy/evaluate.ts';
import { bound, cmdp, email, federated, mdp, path, subject, unbound, wordFor } from './subjects.ts';

const kubeEnv = 'instance/attributes/kube-env';
const token = 'instance/service-accounts/default/token';

const word = (asked: PolicySubject, text: string) => wordFor(evaluate(asked, path(text)));
const legacyWord = (asked: PolicySubject, text: string) => wordFor(evaluate(asked, path(text), 'legacy'));
const lastStep = (asked: PolicySubject, text: string): TraceStep | undefined =>
  evaluate(asked, path(text)).trace.at(-1);

describe('rule 1: an enforcing policy conceals', () => {
  it('a node and its subtree', () => {
    const asked = subject([cmdp('p', { profile: 'Privileged', conceal: ['instance/disks'] })]);
    assert.equal(word(asked, 'instance/disks'), 'concealed-by-policy');
    assert.equal(word(asked, 'instance/disks/0/type'), 'concealed-by-policy');
    assert.equal(word(asked, 'instance'), 'reveal');
    assert.equal(word(asked, 'instance/id'), 'reveal');
  });

  it('against a reveal of whatever kind', () => {
    const reveal = cmdp('a', { reveal: [kubeEnv, 'instance/**', '**'] });
    assert.equal(
      word(subject([reveal, mdp('b', { conceal: ['instance/attributes/*'] })]), kubeEnv),
      'concealed-by-policy',
    );
    assert.equal(word(subject([reveal, cmdp('b', { conceal: [kubeEnv] })]), kubeEnv), 'concealed-by-policy');
  });

  it('and says which one and by what', () => {
    const asked = subject([mdp('hide-id', { conceal: ['instance/name', 'instance/i*'] })]);
    assert.deepEqual(lastStep(asked, 'instance/id'), {
      step: 'concealed-by-policy',
      policy: { kind: 'MetadataPolicy', namespace: 'web', name: 'hide-id' },
      pattern: 'instance/i*',
    });
  });
});

describe('rule 2: a ClusterMetadataPolicy reveals', () => {
  it('exactly what it names', () => {
    const asked = subject([cmdp('p', { reveal: ['instance/attributes/team'] })]);
    assert.equal(word(asked, 'instance/attributes/team'), 'reveal');
    assert.equal(word(asked, 'instance/attributes/team/x'), 'concealed-by-profile');
    assert.equal(word(asked, 'instance/attributes/Team'), 'concealed-by-profile');
    assert.equal(word(asked, kubeEnv), 'concealed-by-profile');
  });

  it('a subtree only with /**', () => {
    const asked = subject([cmdp('p', { reveal: ['instance/guest-attributes/**'] })]);
    assert.equal(word(asked, 'instance/guest-attributes/a/b'), 'reveal');
    const exact = subject([cmdp('p', { reveal: ['instance/guest-attributes'] })]);
    assert.equal(word(exact, 'instance/guest-attributes/a/b'), 'concealed-by-profile');
  });

  it('and the directories that lead there, for listing alone', () => {
    const asked = subject([cmdp('p', { profile: 'Restricted', reveal: ['instance/disks/0/type'] })]);
    assert.equal(word(asked, 'instance/disks'), 'directory');
    assert.equal(word(asked, 'instance/disks/0'), 'directory');
    assert.equal(word(asked, 'instance/disks/0/type'), 'reveal');
    assert.equal(word(asked, 'instance/disks/1'), 'concealed-by-profile');
  });

  it('a MetadataPolicy cannot, even if one arrives with a reveal', () => {
    const asked = subject([mdp('p', { reveal: ['**'], profile: 'Privileged', legacyEndpoints: 'Allow' })]);
    assert.equal(word(asked, kubeEnv), 'concealed-by-profile');
    assert.equal(legacyWord(asked, 'instance/id'), 'concealed-by-legacy');
  });
});

describe('rule 3: the effective profile', () => {
  const profileOf = (asked: PolicySubject) => evaluate(asked, []).trace[0];

  it('is the MetadataProxy’s default without policies', () => {
    const step = profileOf(subject([], bound, { defaultProfile: 'Restricted' }));
    assert.deepEqual(step, { step: 'effective-profile', profile: 'Restricted', from: 'MetadataProxy' });
  });

  it('a ClusterMetadataPolicy loosens the default, the strictest of several counts', () => {
    assert.equal(word(subject([cmdp('p', { profile: 'Privileged' })]), kubeEnv), 'reveal');
    const both = [cmdp('p', { profile: 'Privileged' }), cmdp('q', { profile: 'Baseline' })];
    assert.equal(word(subject(both), kubeEnv), 'concealed-by-profile');
    assert.equal(word(subject(both), 'instance/machine-type'), 'reveal');
  });

  it('a MetadataPolicy tightens and never loosens', () => {
    assert.equal(word(subject([mdp('p', { profile: 'Restricted' })]), 'instance/machine-type'), 'concealed-by-profile');
    assert.equal(word(subject([mdp('p', { profile: 'Privileged' })]), kubeEnv), 'concealed-by-profile');
    const step = profileOf(subject([cmdp('a', { profile: 'Privileged' }), mdp('b', { profile: 'Baseline' })]));
    assert.deepEqual(step, {
      step: 'effective-profile',
      profile: 'Baseline',
      from: { kind: 'MetadataPolicy', namespace: 'web', name: 'b' },
    });
  });

  it('an Audit policy has none', () => {
    assert.equal(word(subject([cmdp('p', { profile: 'Privileged', mode: 'Audit' })]), kubeEnv), 'concealed-by-profile');
    assert.equal(
      word(subject([mdp('p', { profile: 'Restricted', mode: 'Audit' })]), 'instance/machine-type'),
      'reveal',
    );
  });

  it('names the row that conceals', () => {
    assert.deepEqual(lastStep(subject(), kubeEnv), {
      step: 'concealed-by-profile',
      profile: 'Baseline',
      row: 'instance/attributes/**',
    });
  });
});

describe('legacy endpoints', () => {
  it('are denied by Baseline and Restricted, allowed by Privileged', () => {
    assert.equal(legacyWord(subject(), 'instance/id'), 'concealed-by-legacy');
    assert.equal(legacyWord(subject([mdp('p', { profile: 'Restricted' })]), 'instance/id'), 'concealed-by-legacy');
    assert.equal(legacyWord(subject([cmdp('p', { profile: 'Privileged' })]), 'instance/id'), 'reveal');
  });

  it('a ClusterMetadataPolicy decides, and Deny wins over Allow', () => {
    const allow = cmdp('a', { legacyEndpoints: 'Allow' });
    assert.equal(legacyWord(subject([allow]), 'instance/id'), 'reveal');
    assert.equal(
      legacyWord(subject([allow, cmdp('b', { legacyEndpoints: 'Deny' })]), 'instance/id'),
      'concealed-by-legacy',
    );
    const privileged = cmdp('c', { profile: 'Privileged', legacyEndpoints: 'Deny' });
    assert.equal(legacyWord(subject([privileged]), 'instance/id'), 'concealed-by-legacy');
  });

  it('allowed, they show no more than v1 does', () => {
    const allow = cmdp('a', { legacyEndpoints: 'Allow' });
    assert.equal(legacyWord(subject([allow]), kubeEnv), 'concealed-by-profile');
    assert.equal(
      legacyWord(subject([allow, mdp('b', { conceal: ['instance/id'] })]), 'instance/id'),
      'concealed-by-policy',
    );
    assert.equal(legacyWord(subject([allow]), token), 'own');
  });

  it('denied, they hide the pod’s own account too', () => {
    assert.equal(legacyWord(subject(), token), 'concealed-by-legacy');
  });

  it('the permit says which API it is for', () => {
    const decision = evaluate(subject([cmdp('a', { legacyEndpoints: 'Allow' })]), path('instance/id'), 'legacy');
    assert.ok(decision.kind === 'reveal');
    assert.equal(decision.permit.version, 'legacy');
    assert.ok(decision.trace.some(({ step }) => step === 'legacy-allowed'));
  });
});

describe('the pod’s own service account', () => {
  it('is served from its binding under every profile', () => {
    for (const profile of ['Privileged', 'Baseline', 'Restricted'] as const) {
      const asked = subject([cmdp('p', { profile })]);
      for (const leaf of ['', '/default', '/default/token', '/default/identity', `/${email}/token`]) {
        assert.equal(word(asked, `instance/service-accounts${leaf}`), 'own', `${profile} ${leaf}`);
      }
    }
  });

  it('only an explicit conceal hides it, by any of its names', () => {
    for (const name of ['default', email, '*', email.toUpperCase(), 'def*']) {
      const asked = subject([mdp('p', { conceal: [`instance/service-accounts/${name}/token`] })]);
      assert.equal(word(asked, token), 'concealed-by-policy', name);
      assert.equal(word(asked, `instance/service-accounts/${email}/token`), 'concealed-by-policy', name);
      assert.equal(word(asked, 'instance/service-accounts/default/email'), 'own', name);
    }
  });

  it('a conceal that names another account does not', () => {
    const asked = subject([mdp('p', { conceal: ['instance/service-accounts/other@p/token'] })]);
    assert.equal(word(asked, token), 'own');
  });

  it('its e-mail is default in the permit, another name stays what it is', () => {
    const permitted = (text: string) => {
      const decision = evaluate(subject(), path(text));
      assert.ok(decision.kind === 'reveal');
      return decision.permit.path.join('/');
    };
    assert.equal(permitted(`instance/service-accounts/${email}/token`), token);
    assert.equal(permitted('instance/service-accounts/other@p/token'), 'instance/service-accounts/other@p/token');
    assert.equal(permitted(`instance/attributes/cluster-name`), 'instance/attributes/cluster-name');
  });

  it('an unbound pod without the node’s account is passed on to be advised, not concealed', () => {
    assert.equal(word(subject([], unbound), token), 'own');
    assert.equal(word(subject([], federated), token), 'own');
  });

  it('Privileged and unbound on GCE: the node’s, and every name of it is one account to a policy', () => {
    const privileged = cmdp('p', { profile: 'Privileged' });
    assert.equal(word(subject([privileged], unbound), token), 'reveal');
    const concealing = cmdp('q', { profile: 'Privileged', conceal: ['instance/service-accounts/default/token'] });
    const byEmail = 'instance/service-accounts/1234-compute@developer.gserviceaccount.com/token';
    assert.equal(word(subject([concealing], unbound), byEmail), 'concealed-by-policy');
  });

  it('a reveal does not turn it into the node’s account', () => {
    const asked = subject([cmdp('p', { reveal: ['instance/service-accounts/**'] })], unbound);
    assert.equal(word(asked, token), 'own');
  });
});

it('GKE’s SECURE is Privileged plus two conceals', () => {
  const secure = cmdp('secure', {
    profile: 'Privileged',
    conceal: ['instance/attributes/kube-env', 'instance/service-accounts/*/identity'],
  });
  const asked = subject([secure], unbound);
  assert.equal(word(asked, kubeEnv), 'concealed-by-policy');
  assert.equal(word(asked, 'instance/service-accounts/default/identity'), 'concealed-by-policy');
  assert.equal(word(asked, token), 'reveal');
  assert.equal(word(asked, 'instance/attributes/user-data'), 'reveal');
});
