import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import type { Pod } from '../../../../operator/core/cluster/objects.ts';
import { identityOf } from '../../../../operator/core/identity/identity.ts';
import type { PodRules } from '../../../../operator/core/identity/identity.ts';
import {
  binding,
  condition,
  gkeProvider,
  namespace,
  pod,
  provider,
  serviceAccount,
  storeOf,
} from '../../../builders/objects.ts';

const deny: PodRules = {
  ownNamespace: 'metaveil-system',
  allowInsecureEndpoints: false,
  unboundWorkloads: 'Deny',
};
const federated: PodRules = { ...deny, unboundWorkloads: 'FederatedIdentity' };
const annotated = serviceAccount({ gkeServiceAccount: 'old@my-project.iam.gserviceaccount.com' });
const adopting = provider({ spec: { adoptAnnotations: true } });
const opened = namespace('web', { 'metaveil.dev/adopt-annotations': 'true' });

function identify(objects: readonly StoredObject[], rules = deny, subject: Pod = pod()) {
  return identityOf(subject, storeOf(...objects), rules).identity;
}

/** The reason of an unbound pod, or the e-mail and access of a bound one. */
function summary(objects: readonly StoredObject[], rules = deny, subject: Pod = pod()) {
  const identity = identify(objects, rules, subject);
  return identity.kind === 'unbound' ? identity.reason : `${identity.binding.access} ${identity.binding.email}`;
}

const base = [serviceAccount(), provider(), namespace()];

describe('identityOf', () => {
  it('takes the binding named after the ServiceAccount', () => {
    const scopes = ['https://www.googleapis.com/auth/pubsub', 'https://www.googleapis.com/auth/cloud-platform'];
    const identity = identify([...base, binding({ spec: { scopes }, metadata: { generation: 3 } })]);
    assert.deepEqual(identity, {
      kind: 'bound',
      binding: {
        uid: 'wib-web-api',
        name: 'api',
        generation: 3,
        epoch: '',
        access: 'Impersonate',
        email: 'api@my-project.iam.gserviceaccount.com',
        scopes: [...scopes].reverse(),
        tokenLifetimeSeconds: 3600,
      },
    });
  });

  it('shows the pool as e-mail with access Direct', () => {
    const direct = binding({ spec: { access: 'Direct' } });
    assert.equal(summary([...base, direct]), 'Direct prod.global.123456789012.workload.id.goog');
  });

  it('gives no identity by default', () => {
    assert.equal(summary(base), 'no-binding');
  });

  it('ignores the binding of the same name in another namespace', () => {
    assert.equal(summary([...base, binding({ namespace: 'shop' })]), 'no-binding');
  });

  it('gives none to a suspended binding, whatever unboundWorkloads says', () => {
    assert.equal(summary([...base, binding({ spec: { suspend: true } })], federated), 'suspended');
  });

  it('gives none to a binding that cannot take effect, whatever unboundWorkloads says', () => {
    const lost = binding({ spec: { providerName: 'lost' } });
    assert.equal(summary([...base, lost], federated), 'not-accepted');
  });

  it('takes a binding that is being deleted for gone', () => {
    assert.equal(
      summary([...base, binding({ metadata: { deletionTimestamp: '2026-01-02T00:00:00Z' } })]),
      'no-binding',
    );
  });

  it('gives none to a static pod', () => {
    assert.equal(summary([...base, binding()], federated, pod({ configHash: 'abc' })), 'static-pod');
  });

  it('gives none to pods of kube-system and of our own namespace', () => {
    for (const reserved of ['kube-system', 'metaveil-system']) {
      const objects = [
        serviceAccount({ namespace: reserved }),
        provider(),
        namespace(reserved),
        binding({ namespace: reserved }),
      ];
      assert.equal(summary(objects, federated, pod({ namespace: reserved })), 'reserved-namespace');
    }
  });

  it('drops cached tokens when Google took the permission back, and only then', () => {
    const at = '2026-02-03T04:05:06Z';
    const epochWith = (status: 'False' | 'Unknown', reason: string) => {
      const conditions = [condition({ type: 'CredentialsVerified', status, reason, lastTransitionTime: at })];
      const identity = identify([...base, binding({ status: { observedGeneration: 1, conditions } })]);
      return identity.kind === 'bound' ? identity.binding.epoch : 'unbound';
    };
    assert.equal(epochWith('False', 'PermissionDenied'), at);
    assert.equal(epochWith('False', 'ExchangeRejected'), '');
    assert.equal(epochWith('Unknown', 'VerificationUnavailable'), '');
  });

  it('names the provider to exchange at', () => {
    const store = storeOf(...base, binding());
    assert.equal(identityOf(pod(), store, deny).provider?.metadata.name, 'default');
  });
});

describe('identityOf without a binding', () => {
  it('gives the own federated identity where the MetadataProxy says so', () => {
    assert.equal(summary(base, federated), 'Direct prod.global.123456789012.workload.id.goog');
  });

  it('tells a recreated ServiceAccount from the old one', () => {
    const uidOf = (uid: string) => {
      const identity = identify([serviceAccount({ uid }), provider(), namespace()], federated);
      return identity.kind === 'bound' ? identity.binding.uid : 'unbound';
    };
    assert.deepEqual([uidOf('first'), uidOf('second')], ['federated/first', 'federated/second']);
  });

  it('adopts the annotation only with provider and namespace label together', () => {
    const adopted = 'Impersonate old@my-project.iam.gserviceaccount.com';
    assert.equal(summary([annotated, adopting, opened]), adopted);
    assert.equal(summary([annotated, adopting, namespace()]), 'no-binding');
    assert.equal(summary([annotated, provider(), opened]), 'no-binding');
    assert.equal(
      summary([annotated, adopting, namespace('web', { 'metaveil.dev/adopt-annotations': 'yes' })]),
      'no-binding',
    );
  });

  it('prefers a binding to the annotation', () => {
    assert.equal(
      summary([annotated, adopting, opened, binding()]),
      'Impersonate api@my-project.iam.gserviceaccount.com',
    );
  });

  it('tells tokens of two annotation values apart', () => {
    const epoch = (gkeServiceAccount: string) => {
      const identity = identify([serviceAccount({ gkeServiceAccount }), adopting, opened]);
      return identity.kind === 'bound' ? identity.binding.epoch : 'unbound';
    };
    assert.notEqual(epoch('a@p-1.iam.gserviceaccount.com'), epoch('b@p-1.iam.gserviceaccount.com'));
  });

  it('does not adopt what is no e-mail of Google', () => {
    for (const gkeServiceAccount of [
      'x',
      'a@example.com',
      `${'a'.repeat(120)}@p-1.iam.gserviceaccount.com`,
      'a@b/../c',
    ])
      assert.equal(summary([serviceAccount({ gkeServiceAccount }), adopting, opened]), 'no-binding');
  });

  it('gives none without a usable federation provider named default', () => {
    assert.equal(summary([serviceAccount(), namespace()], federated), 'no-binding');
    assert.equal(summary([serviceAccount(), provider({ name: 'other' }), namespace()], federated), 'no-binding');
    assert.equal(summary([serviceAccount(), gkeProvider(), namespace()], federated), 'no-binding');
    const http = provider({ spec: { stsEndpoint: 'http://sts.example.com' } });
    assert.equal(summary([serviceAccount(), http, namespace()], federated), 'no-binding');
  });

  it('gives none without a ServiceAccount', () => {
    assert.equal(summary([provider(), namespace()], federated), 'no-binding');
  });
});
