import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { GoogleCredentialsAdapter } from '../../../operator/adapters/google/credentials.ts';
import type { ErrorCode } from '../../../operator/core/errors.ts';
import {
  audience,
  cloudPlatform,
  createClusterIssuer,
  directAccess,
  identity,
  impersonation,
  issuer,
  pool,
  principal,
  providerName,
  reportsAccount,
  startTestGoogle,
  workloadIdentityUser,
  type TestGoogle,
} from './cluster-issuer.ts';

const never = new AbortController().signal;
const seconds = (offset: number): number => Math.floor(Date.now() / 1000) + offset;

interface RefusedToken {
  readonly what: string;
  readonly token: (google: TestGoogle) => Promise<string>;
  readonly says: RegExp;
}

/** Unsigned: anybody can write one. */
function unsigned(claims: Readonly<Record<string, unknown>>, alg: string): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg, typ: 'JWT', kid: 'key-1' })}.${part(claims)}.`;
}

const goodClaims = { iss: issuer, sub: 'system:serviceaccount:shop:reports', aud: [audience] };

const refusedTokens: readonly RefusedToken[] = [
  {
    what: 'expired',
    token: ({ cluster }) => cluster.token({ iat: seconds(-7200), exp: seconds(-120) }),
    says: /invalid_grant: ID Token issued at \d+ is stale to sign-in\./,
  },
  {
    what: 'issued in the future',
    token: ({ cluster }) => cluster.token({ iat: seconds(300), nbf: seconds(300), exp: seconds(3900) }),
    says: /invalid_grant: ID Token issued at \d+ is stale/,
  },
  {
    what: 'without an expiry',
    token: ({ cluster }) => cluster.token({ exp: undefined }),
    says: /invalid_grant: ID Token issued at \d+ is stale/,
  },
  {
    what: 'for another audience',
    token: ({ cluster }) => cluster.token({ aud: ['https://kubernetes.default.svc'] }),
    says: /invalid_grant: The audience in ID Token \[https:\/\/kubernetes\.default\.svc\] does not match the expected audience\./,
  },
  {
    what: 'of another issuer',
    token: ({ cluster }) => cluster.token({ iss: 'https://other.example.com' }),
    says: /invalid_grant: The issuer in ID Token https:\/\/other\.example\.com does not match the expected one/,
  },
  {
    what: 'signed by another key of the same id',
    token: async () => (await createClusterIssuer('key-1')).token(),
    says: /invalid_grant: Unable to verify the ID Token signature\./,
  },
  {
    what: 'signed by a key the provider does not know',
    token: async () => (await createClusterIssuer('rotated')).token(),
    says: /invalid_grant: Error connecting to the given credential's issuer\./,
  },
  {
    what: 'unsigned, with alg none',
    token: () => Promise.resolve(unsigned({ ...goodClaims, iat: seconds(0), exp: seconds(3600) }, 'none')),
    says: /invalid_request: Invalid value for "subject_token"\./,
  },
  {
    what: 'unsigned under the name of a real algorithm',
    token: () => Promise.resolve(unsigned({ ...goodClaims, iat: seconds(0), exp: seconds(3600) }, 'ES256')),
    says: /invalid_grant: Unable to verify the ID Token signature\./,
  },
  {
    what: 'no JWT at all',
    token: () => Promise.resolve('opaque'),
    says: /invalid_request: Invalid value for "subject_token"\./,
  },
  {
    what: 'of a subject longer than 127 bytes',
    token: ({ cluster }) => cluster.token({ sub: `system:serviceaccount:shop:${'a'.repeat(101)}` }),
    says: /invalid_request: The size of mapped attribute google\.subject exceeds the 127 bytes limit\./,
  },
  {
    what: 'of a subject that is no text',
    token: ({ cluster }) => cluster.token({ sub: 7 }),
    says: /unauthorized_client: The mapped attribute 'google\.subject' must be of type STRING\./,
  },
];

describe('Google refuses', () => {
  let google: TestGoogle;
  const credentials = new GoogleCredentialsAdapter({ allowInsecureEndpoints: true, proxy: { noProxy: '*' } });

  before(async () => {
    google = await startTestGoogle();
  });
  after(async () => {
    await credentials.close();
    await google.google.close();
  });

  const refuses = (call: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> =>
    assert.rejects(call, { name: 'MetaveilError', code, message });

  for (const { what, token, says } of refusedTokens) {
    it(`a Kubernetes token ${what}`, async () => {
      const earlier = google.google.requests().length;
      await refuses(
        credentials.accessToken(impersonation(google.provider, await token(google)), never),
        'google-rejected',
        says,
      );
      const asked = google.google.requests().slice(earlier);
      assert.deepEqual(
        asked.map(({ service, status }) => [service, status]),
        [['sts', 400]],
        'nothing after the refused exchange',
      );
    });
  }

  it('accepts a subject of exactly 127 bytes', async () => {
    const sub = `system:serviceaccount:shop:${'a'.repeat(100)}`;
    const issued = await credentials.accessToken(
      directAccess(google.provider, await google.cluster.token({ sub })),
      never,
    );
    const who = google.google.whoIs(issued.token);
    assert.equal(who?.kind === 'federated' && who.principal.endsWith(sub), true);
  });

  it('a provider that does not exist', async () => {
    const provider = { ...google.provider, exchangeAudience: `//iam.googleapis.com/${pool}/providers/gone` };
    await refuses(
      credentials.accessToken(impersonation(provider, await google.cluster.token()), never),
      'google-rejected',
      /invalid_target: The target service indicated by the "audience" parameters is invalid/,
    );
  });

  it('an audience that names no provider', async () => {
    await refuses(
      credentials.accessToken(
        impersonation({ ...google.provider, audience: 'sts.googleapis.com' }, await google.cluster.token()),
        never,
      ),
      'google-rejected',
      /invalid_request: Invalid value for "audience"\./,
    );
  });

  it('impersonation and identity tokens once the grant is revoked, while the exchange still works', async () => {
    google.google.revoke(reportsAccount, workloadIdentityUser, principal);
    try {
      await refuses(
        credentials.accessToken(impersonation(google.provider, await google.cluster.token()), never),
        'google-permission-denied',
        /^IAM Credentials answered 403: PERMISSION_DENIED: Permission 'iam\.serviceAccounts\.getAccessToken' denied on resource \(or it may not exist\)\.$/,
      );
      await refuses(
        credentials.identityToken(identity(google.provider, await google.cluster.token()), never),
        'google-permission-denied',
        /iam\.serviceAccounts\.getOpenIdToken/,
      );
      const issued = await credentials.accessToken(directAccess(google.provider, await google.cluster.token()), never);
      assert.equal(google.google.whoIs(issued.token)?.kind, 'federated');
    } finally {
      google.google.grant(reportsAccount, workloadIdentityUser, principal);
    }
  });

  it('another ServiceAccount the account that was granted to this one', async () => {
    const token = await google.cluster.token({ sub: 'system:serviceaccount:shop:other' });
    await refuses(
      credentials.accessToken(impersonation(google.provider, token), never),
      'google-permission-denied',
      /getAccessToken/,
    );
  });

  it('a service account that does not exist', async () => {
    const request = impersonation(google.provider, await google.cluster.token());
    const googleServiceAccount = 'gone@my-project.iam.gserviceaccount.com';
    await refuses(
      credentials.accessToken({ ...request, target: { ...request.target, googleServiceAccount } as never }, never),
      'google-not-found',
      /NOT_FOUND: Not found; Gaia id not found for email gone@my-project\.iam\.gserviceaccount\.com/,
    );
  });

  it('a lifetime above an hour without the organisation’s leave', async () => {
    const request = impersonation(google.provider, await google.cluster.token());
    const target = { access: 'Impersonate', googleServiceAccount: reportsAccount, lifetimeSeconds: 3601 } as const;
    await refuses(
      credentials.accessToken({ ...request, target }, never),
      'google-rejected',
      /constraints\/iam\.allowServiceAccountCredentialLifetimeExtension/,
    );
  });

  it('a scope that is none', async () => {
    const request = impersonation(google.provider, await google.cluster.token());
    await refuses(
      credentials.accessToken({ ...request, scopes: ['bogus scope'] }, never),
      'google-rejected',
      /INVALID_ARGUMENT/,
    );
  });

  it('accepts a grant to all of a namespace by a mapped attribute', async () => {
    const attributeMapping = {
      'google.subject': 'assertion.sub',
      'attribute.namespace': "assertion['kubernetes.io'].namespace",
    };
    google.google.addProvider({ name: providerName, issuer, attributeMapping });
    const member = `principalSet://iam.googleapis.com/${pool}/attribute.namespace/shop`;
    google.google.grant(reportsAccount, workloadIdentityUser, member);
    try {
      const claims = (namespace: string): Record<string, unknown> => ({
        sub: `system:serviceaccount:${namespace}:other`,
        'kubernetes.io': { namespace },
      });
      const good = impersonation(google.provider, await google.cluster.token(claims('shop')));
      const issued = await credentials.accessToken({ ...good, scopes: [cloudPlatform] }, never);
      assert.equal(google.google.whoIs(issued.token)?.kind, 'service-account');
      await refuses(
        credentials.accessToken(impersonation(google.provider, await google.cluster.token(claims('web'))), never),
        'google-permission-denied',
        /getAccessToken/,
      );
    } finally {
      google.google.revoke(reportsAccount, workloadIdentityUser, member);
      google.google.addProvider({ name: providerName, issuer });
    }
  });
});
