import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MetaveilError } from '../../../../operator/core/errors.ts';
import type { ErrorCode } from '../../../../operator/core/errors.ts';
import type {
  AccessTokenExchange,
  GoogleCredentials,
  ServiceAccountTokenRequest,
  ServiceAccountTokens,
} from '../../../../operator/nodeapi/server/ports.ts';
import { GoogleVerifier } from '../../../../operator/controllers/bindings/google-verifier.ts';
import { binding, gkeProvider, poolProvider, provider, serviceAccount } from '../../../builders/objects.ts';
import { FakeTimers } from '../../../fakes/timers.ts';

const never = new AbortController().signal;

class Google implements GoogleCredentials, ServiceAccountTokens {
  readonly requested: ServiceAccountTokenRequest[] = [];
  readonly exchanged: AccessTokenExchange[] = [];
  answer: () => Promise<void> = () => Promise.resolve();

  request(request: ServiceAccountTokenRequest) {
    this.requested.push(request);
    return Promise.resolve({ token: 'kubernetes-token', expiresAt: 0 });
  }

  async accessToken(request: AccessTokenExchange) {
    this.exchanged.push(request);
    await this.answer();
    return { token: 'google-token', expiresAt: 0 };
  }

  identityToken(): Promise<never> {
    return Promise.reject(new Error('not asked for'));
  }
}

function verify(
  google: Google,
  spec: Parameters<typeof binding>[0] = {},
  pool = provider(),
  timers = new FakeTimers(),
) {
  const verifier = new GoogleVerifier({ kubernetes: google, google, timers });
  return verifier.verify({ binding: binding(spec), provider: pool, serviceAccount: serviceAccount() }, never);
}

describe('GoogleVerifier', () => {
  it('asks Kubernetes for a short token bound to nothing, and exchanges it as a pod would', async () => {
    const google = new Google();
    assert.deepEqual(await verify(google), { kind: 'verified' });
    assert.deepEqual(google.requested, [
      {
        namespace: 'web',
        serviceAccount: { name: 'api', uid: 'sa-web-api' },
        audience: `//iam.googleapis.com/${poolProvider}`,
        expirationSeconds: 600,
        boundTo: { kind: 'unbound' },
      },
    ]);
    assert.deepEqual(google.exchanged, [
      {
        provider: { audience: `//iam.googleapis.com/${poolProvider}`, universeDomain: 'googleapis.com' },
        subjectToken: 'kubernetes-token',
        target: {
          access: 'Impersonate',
          googleServiceAccount: 'api@my-project.iam.gserviceaccount.com',
          lifetimeSeconds: 3600,
        },
        scopes: ['https://www.googleapis.com/auth/cloud-platform'],
      },
    ]);
  });

  it("asks for the binding's own scopes and access", async () => {
    const google = new Google();
    await verify(google, { spec: { access: 'Direct', scopes: ['openid'] } });
    assert.deepEqual(google.exchanged[0]?.target, { access: 'Direct' });
    assert.deepEqual(google.exchanged[0].scopes, ['openid']);
  });

  const outcomes: readonly (readonly [ErrorCode, string])[] = [
    ['google-permission-denied', 'permission-denied'],
    ['google-rejected', 'rejected'],
    ['google-not-found', 'not-found'],
    ['google-unavailable', 'unavailable'],
    ['deadline-exceeded', 'unavailable'],
    ['kubernetes-unavailable', 'unavailable'],
    ['kubernetes-refused', 'unavailable'],
  ];
  for (const [code, kind] of outcomes) {
    it(`takes ${code} for ${kind}`, async () => {
      const google = new Google();
      google.answer = () => Promise.reject(new MetaveilError(code, 'Said so.'));
      assert.deepEqual(await verify(google), { kind, reason: 'Said so.' });
    });
  }

  it('says nothing about an error that is not ours: its text could hold anything', async () => {
    const google = new Google();
    google.answer = () => Promise.reject(new Error('kubernetes-token leaked'));
    assert.deepEqual(await verify(google), { kind: 'unavailable', reason: 'The exchange failed unexpectedly.' });
  });

  it('gives up after a deadline of its own', async () => {
    const google = new Google();
    google.answer = () => new Promise(() => undefined);
    const timers = new FakeTimers();
    const outcome = verify(google, {}, provider(), timers);
    await timers.advance(15_000);
    assert.equal((await outcome).kind, 'unavailable');
  });

  it('asks nobody on GKE', async () => {
    const google = new Google();
    assert.equal((await verify(google, {}, gkeProvider())).kind, 'unavailable');
    assert.deepEqual(google.requested, []);
  });
});
