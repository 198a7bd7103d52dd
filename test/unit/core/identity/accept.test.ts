import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { WorkloadIdentityBinding, WorkloadIdentityProvider } from '../../../../operator/api/v1/index.ts';
import type { ServiceAccount } from '../../../../operator/core/cluster/objects.ts';
import { acceptBinding } from '../../../../operator/core/identity/accept.ts';
import { acceptProvider } from '../../../../operator/core/identity/provider.ts';
import { binding, gkeProvider, provider, serviceAccount } from '../../../builders/objects.ts';

const rules = { ownNamespace: 'metaveil-system', allowInsecureEndpoints: false };

const certificate = `-----BEGIN CERTIFICATE-----\n${btoa('\x30\x03abc')}\n-----END CERTIFICATE-----\n`;
const privateKey = `-----BEGIN PRIVATE KEY-----\n${btoa('\x30\x03abc')}\n-----END PRIVATE KEY-----\n`;
const notDer = `-----BEGIN CERTIFICATE-----\n${btoa('hello')}\n-----END CERTIFICATE-----\n`;

interface Row {
  readonly binding?: WorkloadIdentityBinding;
  readonly account?: ServiceAccount | 'none';
  readonly provider?: WorkloadIdentityProvider | 'none';
  readonly outcome: string;
}

function outcomeOf({ binding: given = binding(), account = serviceAccount(), provider: pool = provider() }: Row) {
  const context = {
    serviceAccount: account === 'none' ? undefined : account,
    provider: pool === 'none' ? undefined : pool,
  };
  const acceptance = acceptBinding(given, context, rules);
  return acceptance.kind === 'accepted' ? 'accepted' : acceptance.reason;
}

/** The subject has 127 bytes with this name in namespace web. */
const longest = 'a'.repeat(127 - 'system:serviceaccount:web:'.length);

const rows: Readonly<Record<string, Row>> = {
  'a complete binding is accepted': { outcome: 'accepted' },
  'kube-system gets no identities': { binding: binding({ namespace: 'kube-system' }), outcome: 'ReservedNamespace' },
  'our own namespace gets none': { binding: binding({ namespace: 'metaveil-system' }), outcome: 'ReservedNamespace' },
  'the ServiceAccount has to exist': { account: 'none', outcome: 'ServiceAccountNotFound' },
  'the provider has to exist': { provider: 'none', outcome: 'ProviderNotFound' },
  'a missing ServiceAccount is named before a missing provider': {
    account: 'none',
    provider: 'none',
    outcome: 'ServiceAccountNotFound',
  },
  'the provider has to be usable': {
    provider: provider({ spec: { stsEndpoint: 'http://sts.example.com' } }),
    outcome: 'ProviderNotReady',
  },
  'a subject of 127 bytes fits': { binding: binding({ name: longest }), outcome: 'accepted' },
  'a subject of 128 bytes does not': { binding: binding({ name: `${longest}a` }), outcome: 'SubjectTooLong' },
  'GKE impersonates': { provider: gkeProvider(), outcome: 'accepted' },
  'GKE serves federated identities': {
    provider: gkeProvider(),
    binding: binding({ spec: { access: 'Direct' } }),
    outcome: 'accepted',
  },
  'GKE has no bound on the subject that we know': {
    provider: gkeProvider(),
    binding: binding({ name: `${longest}a` }),
    outcome: 'accepted',
  },
  'GKE knows no scopes': {
    provider: gkeProvider(),
    binding: binding({ spec: { scopes: ['openid'] } }),
    outcome: 'NotSupportedOnGKE',
  },
  'GKE knows no audiences': {
    provider: gkeProvider(),
    binding: binding({ spec: { idTokenAudiences: ['x'] } }),
    outcome: 'NotSupportedOnGKE',
  },
  'GKE decides on lifetimes': {
    provider: gkeProvider(),
    binding: binding({ spec: { tokenLifetimeSeconds: 7200 } }),
    outcome: 'NotSupportedOnGKE',
  },
  'GKE cannot suspend': {
    provider: gkeProvider(),
    binding: binding({ spec: { suspend: true } }),
    outcome: 'NotSupportedOnGKE',
  },
};

describe('acceptBinding', () => {
  for (const [sentence, row] of Object.entries(rows)) {
    it(sentence, () => {
      assert.equal(outcomeOf(row), row.outcome);
    });
  }

  it('names all that GKE cannot do in one sentence', () => {
    const asking = binding({ spec: { scopes: ['openid'], suspend: true } });
    const acceptance = acceptBinding(asking, { serviceAccount: serviceAccount(), provider: gkeProvider() }, rules);
    assert.equal(
      acceptance.kind === 'rejected' && acceptance.message,
      "GKE's metadata server cannot honour spec.scopes, spec.suspend; remove it.",
    );
  });
});

describe('acceptProvider', () => {
  const reason = (spec: Partial<WorkloadIdentityProvider['spec']>, allowInsecureEndpoints = false) => {
    const acceptance = acceptProvider(provider({ spec }), { allowInsecureEndpoints });
    return acceptance.kind === 'accepted' ? 'accepted' : acceptance.reason;
  };

  it('accepts https endpoints and a bundle of certificates', () => {
    const endpoints = { stsEndpoint: 'https://sts.example.com', iamCredentialsEndpoint: 'https://iam.example.com' };
    assert.equal(reason({ ...endpoints, caBundle: btoa(certificate + certificate) }), 'accepted');
  });

  it('refuses http for either endpoint', () => {
    assert.equal(reason({ stsEndpoint: 'http://sts.example.com' }), 'EndpointNotAllowed');
    assert.equal(reason({ iamCredentialsEndpoint: 'http://iam.example.com' }), 'EndpointNotAllowed');
  });

  it('allows http with the test flag only', () => {
    assert.equal(reason({ stsEndpoint: 'http://127.0.0.1:8080' }, true), 'accepted');
  });

  it('refuses a bundle that is not base64, not PEM, not DER or not a certificate', () => {
    for (const caBundle of ['%%%', btoa('hello'), btoa(notDer), btoa(certificate + notDer), btoa(privateKey), ''])
      assert.equal(reason({ caBundle }), 'InvalidCABundle', caBundle);
  });
});
