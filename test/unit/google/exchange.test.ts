import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { GoogleCredentialsAdapter } from '../../../operator/adapters/google/credentials.ts';
import {
  audience,
  cloudPlatform,
  directAccess,
  identity,
  impersonation,
  principal,
  providerName,
  issuer,
  readOnlyStorage,
  reportsAccount,
  startTestGoogle,
  type TestGoogle,
} from './cluster-issuer.ts';

const never = new AbortController().signal;

describe('an exchange at Google', () => {
  let google: TestGoogle;
  const credentials = new GoogleCredentialsAdapter({ allowInsecureEndpoints: true, proxy: { noProxy: '*' } });

  before(async () => {
    google = await startTestGoogle({ extendedLifetimes: [reportsAccount] });
  });
  after(async () => {
    await credentials.close();
    await google.google.close();
  });

  it('yields an access token of the service account with the asked scopes and lifetime', async () => {
    const request = impersonation(google.provider, await google.cluster.token());
    const issued = await credentials.accessToken({ ...request, scopes: [readOnlyStorage] }, never);
    const who = google.google.whoIs(issued.token);
    assert.deepEqual(who, {
      kind: 'service-account',
      email: reportsAccount,
      issuedTo: principal,
      scopes: [readOnlyStorage],
      expiresAt: issued.expiresAt,
    });
    const left = issued.expiresAt - Date.now();
    assert.ok(left > 3_590_000 && left <= 3_600_000, `${left} ms left`);
  });

  it('yields a longer access token where the organisation allows it', async () => {
    const request = impersonation(google.provider, await google.cluster.token());
    const target = { access: 'Impersonate', googleServiceAccount: reportsAccount, lifetimeSeconds: 43_200 } as const;
    const issued = await credentials.accessToken({ ...request, target }, never);
    assert.ok(issued.expiresAt - Date.now() > 43_190_000);
  });

  it('exchanges once and impersonates once, asking the STS for the scope that impersonation needs', async () => {
    const earlier = google.google.requests().length;
    await credentials.accessToken(impersonation(google.provider, await google.cluster.token()), never);
    assert.deepEqual(google.google.requests().slice(earlier), [
      { service: 'sts', method: 'POST', path: '/v1/token', audience, scope: cloudPlatform, status: 200 },
      {
        service: 'iamcredentials',
        method: 'POST',
        path: `/v1/projects/-/serviceAccounts/${reportsAccount}:generateAccessToken`,
        status: 200,
      },
    ]);
  });

  it('makes one exchange also for a token that ends within minutes', async () => {
    const earlier = google.google.requests().length;
    const exp = Math.floor(Date.now() / 1000) + 120;
    await credentials.accessToken(impersonation(google.provider, await google.cluster.token({ exp })), never);
    assert.equal(google.google.requests().length - earlier, 2);
  });

  it('yields the federated token itself with Direct, never outliving the Kubernetes token', async () => {
    const exp = Math.floor(Date.now() / 1000) + 900;
    const issued = await credentials.accessToken(
      directAccess(google.provider, await google.cluster.token({ exp })),
      never,
    );
    const who = google.google.whoIs(issued.token);
    assert.equal(who?.kind, 'federated');
    assert.equal(who.principal, principal);
    assert.deepEqual(who.scopes, [readOnlyStorage]);
    assert.ok(issued.expiresAt <= (exp + 1) * 1000);
  });

  it('names the provider in the exchange although its tokens have another audience', async () => {
    google.google.addProvider({ name: providerName, issuer, allowedAudiences: ['metaveil'] });
    try {
      const provider = { ...google.provider, audience: 'metaveil', exchangeAudience: audience };
      const token = await google.cluster.token({ aud: ['metaveil'] });
      const issued = await credentials.accessToken(directAccess(provider, token), never);
      assert.equal(google.google.whoIs(issued.token)?.kind, 'federated');
    } finally {
      google.google.addProvider({ name: providerName, issuer });
    }
  });

  it('yields an identity token that verifies against Google’s keys', async () => {
    const issued = await credentials.identityToken(identity(google.provider, await google.cluster.token()), never);
    const keys = createRemoteJWKSet(new URL(google.google.certificatesUrl));
    const { payload } = await jwtVerify(issued.token, keys, {
      issuer: 'https://accounts.google.com',
      audience: 'https://reports.example.com',
    });
    assert.equal(payload['email'], reportsAccount);
    assert.equal(payload['email_verified'], true);
    assert.equal(issued.expiresAt, (payload.exp ?? 0) * 1000);
  });

  it('leaves the e-mail out of an identity token unless it is asked for', async () => {
    const request = identity(google.provider, await google.cluster.token());
    const issued = await credentials.identityToken({ ...request, includeEmail: false }, never);
    const keys = createRemoteJWKSet(new URL(google.google.certificatesUrl));
    const { payload } = await jwtVerify(issued.token, keys);
    assert.equal(payload['email'], undefined);
    assert.match(payload.sub ?? '', /^1\d{20}$/);
  });

  it('needs no grant for identity tokens but roles/iam.workloadIdentityUser', async () => {
    // The other way round, through the account's own token, is refused: an account may not act as itself.
    const own = await credentials.accessToken(impersonation(google.provider, await google.cluster.token()), never);
    const reply = await fetch(
      `${google.google.iamCredentialsEndpoint}/v1/projects/-/serviceAccounts/${reportsAccount}:generateIdToken`,
      {
        method: 'POST',
        headers: { authorization: `Bearer ${own.token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ audience: 'https://reports.example.com' }),
      },
    );
    assert.equal(reply.status, 403);
    assert.deepEqual(await reply.json(), {
      error: {
        code: 403,
        message: "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).",
        status: 'PERMISSION_DENIED',
        details: [
          {
            '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
            reason: 'IAM_PERMISSION_DENIED',
            domain: 'iam.googleapis.com',
            metadata: { permission: 'iam.serviceAccounts.getOpenIdToken' },
          },
        ],
      },
    });
    const issued = await credentials.identityToken(identity(google.provider, await google.cluster.token()), never);
    assert.equal(issued.token.split('.').length, 3);
  });

  it('works in another universe, whatever the environment says', async () => {
    process.env['GOOGLE_CLOUD_UNIVERSE_DOMAIN'] = 'elsewhere.example';
    try {
      const provider = { ...google.provider, universeDomain: 'apis-berlin-build0.goog' };
      const request = impersonation(provider, await google.cluster.token());
      assert.equal(google.google.whoIs((await credentials.accessToken(request, never)).token)?.kind, 'service-account');
    } finally {
      delete process.env['GOOGLE_CLOUD_UNIVERSE_DOMAIN'];
    }
  });

  it('puts the path of a gateway in front of the API’s own', async () => {
    const { stsEndpoint = '', iamCredentialsEndpoint = '' } = google.provider;
    const provider = {
      ...google.provider,
      stsEndpoint: `${stsEndpoint}/`,
      iamCredentialsEndpoint: `${iamCredentialsEndpoint}/private/iam/`,
    };
    const earlier = google.google.requests().length;
    // The emulator has no such path; what counts is where the request went.
    await assert.rejects(credentials.accessToken(impersonation(provider, await google.cluster.token()), never), {
      code: 'google-unavailable',
    });
    assert.deepEqual(
      google.google
        .requests()
        .slice(earlier)
        .map(({ path }) => path),
      ['/v1/token', `/private/iam/v1/projects/-/serviceAccounts/${reportsAccount}:generateAccessToken`],
    );
  });
});
