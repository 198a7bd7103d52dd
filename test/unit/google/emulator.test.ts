/** The emulator by itself: what it must refuse so that tests built on it mean something. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AccessTokens } from '../../../operator/local/google/access-tokens.ts';
import { Faults } from '../../../operator/local/google/faults.ts';
import { startGoogleEmulator, type GoogleEmulator } from '../../../operator/local/google/emulator.ts';
import {
  audience,
  cloudPlatform,
  createClusterIssuer,
  issuer,
  pool,
  principal,
  providerName,
  readOnlyStorage,
  reportsAccount,
  workloadIdentityUser,
  type ClusterIssuer,
} from './cluster-issuer.ts';

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function post(url: string, init: RequestInit): Promise<Answer> {
  const reply = await fetch(url, { method: 'POST', ...init });
  return { status: reply.status, body: (await reply.json()) as Record<string, unknown> };
}

describe('the emulated Google', () => {
  let google: GoogleEmulator;
  let cluster: ClusterIssuer;
  let now = Date.now();

  before(async () => {
    cluster = await createClusterIssuer('rsa-1', 'RS256');
    google = await startGoogleEmulator({ now: () => now });
    google.trustIssuer(issuer, cluster.keys);
    google.addProvider({ name: providerName, issuer });
    google.grant(reportsAccount, workloadIdentityUser, principal);
  });
  after(() => google.close());

  const form = async (change: Readonly<Record<string, string>> = {}): Promise<URLSearchParams> =>
    new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      audience,
      scope: cloudPlatform,
      subject_token: await cluster.token(),
      ...change,
    });

  const exchange = (body: string | URLSearchParams): Promise<Answer> =>
    post(`${google.stsEndpoint}/v1/token`, { body });

  async function federatedToken(scope = cloudPlatform): Promise<string> {
    return String((await exchange(await form({ scope }))).body['access_token']);
  }

  function impersonate(token: string, body: unknown, account = reportsAccount): Promise<Answer> {
    return post(`${google.iamCredentialsEndpoint}/v1/projects/-/serviceAccounts/${account}:generateAccessToken`, {
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  }

  it('answers an exchange as RFC 8693 says, for RS256 too', async () => {
    const { status, body } = await exchange(await form());
    assert.equal(status, 200);
    assert.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'issued_token_type', 'token_type']);
    assert.equal(body['token_type'], 'Bearer');
    assert.match(String(body['access_token']), /^ya29\./);
  });

  for (const name of [
    'grant_type',
    'requested_token_type',
    'subject_token_type',
    'subject_token',
    'scope',
    'audience',
  ]) {
    it(`refuses an exchange without ${name}`, async () => {
      const body = await form();
      body.delete(name);
      const answer = await exchange(body);
      assert.equal(answer.status, 400);
      assert.equal(answer.body['error'], 'invalid_request');
    });
  }

  it('refuses other grants, other token types, repeated parameters and other encodings', async () => {
    const repeated = await form();
    repeated.append('subject_token', await cluster.token());
    const bodies: readonly (string | URLSearchParams)[] = [
      await form({ grant_type: 'refresh_token' }),
      await form({ requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }),
      await form({ subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }),
      repeated,
      JSON.stringify(Object.fromEntries(await form())),
    ];
    for (const body of bodies) {
      const answer = await exchange(body);
      assert.deepEqual([answer.status, answer.body['error']], [400, 'invalid_request']);
    }
  });

  it('answers IAM in its JSON form, with whole seconds', async () => {
    const { status, body } = await impersonate(await federatedToken(), { scope: [readOnlyStorage], lifetime: '600s' });
    assert.equal(status, 200);
    assert.match(String(body['expireTime']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.deepEqual(Object.keys(body).sort(), ['accessToken', 'expireTime']);
  });

  it('finds a service account by its unique id', async () => {
    const token = await federatedToken();
    const url = `${google.iamCredentialsEndpoint}/v1/projects/-/serviceAccounts/${reportsAccount}:generateIdToken`;
    const headers = { authorization: `Bearer ${token}` };
    const { body } = await post(url, { headers, body: '{"audience":"x"}' });
    const [, payload = ''] = String(body['token']).split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub: string };
    assert.equal((await impersonate(token, { scope: [cloudPlatform] }, claims.sub)).status, 200);
  });

  it('wants - in place of a project', async () => {
    const url = `${google.iamCredentialsEndpoint}/v1/projects/my-project/serviceAccounts/${reportsAccount}:generateAccessToken`;
    const { status, body } = await post(url, { headers: { authorization: `Bearer ${await federatedToken()}` } });
    assert.equal(status, 400);
    assert.equal((body['error'] as { status: string }).status, 'INVALID_ARGUMENT');
  });

  it('knows no other API', async () => {
    for (const path of [
      '/',
      '/v1/projects/-/serviceAccounts/x:signBlob',
      '/v1/projects/-/serviceAccounts/%zz:generateIdToken',
    ]) {
      const reply = await fetch(`${google.stsEndpoint}${path}`, { method: 'POST' });
      assert.equal(reply.status, 404);
      assert.match(reply.headers.get('content-type') ?? '', /^text\/html/);
      await reply.text();
    }
  });

  it('wants a token it issued, that is not over and has a scope for IAM', async () => {
    const body = { scope: [cloudPlatform] };
    assert.equal((await impersonate('ya29.d.guessed', body)).status, 401);
    const narrow = await impersonate(await federatedToken(readOnlyStorage), body);
    assert.equal(narrow.status, 403);
    assert.match(JSON.stringify(narrow.body), /ACCESS_TOKEN_SCOPE_INSUFFICIENT/);
    const token = await federatedToken();
    assert.equal((await impersonate(token, body)).status, 200);
    now += 3_601_000;
    assert.equal((await impersonate(token, body)).status, 401);
    assert.equal(google.whoIs(token), undefined);
    now = Date.now();
  });

  it('refuses bodies that are no request', async () => {
    const token = await federatedToken();
    const bodies = [
      {},
      { scope: [] },
      { scope: 'x' },
      { scope: [7] },
      { scope: [cloudPlatform], lifetime: 3600 },
      { scope: [cloudPlatform], lifetime: '1h' },
      { scope: [cloudPlatform], lifetime: '0s' },
      [],
      7,
    ];
    for (const body of bodies) assert.equal((await impersonate(token, body)).status, 400, JSON.stringify(body));
  });

  it('cuts off a request that is larger than any real one', async () => {
    await assert.rejects(exchange(await form({ options: 'x'.repeat(100_000) })));
  });

  it('no longer exchanges at a provider that was removed', async () => {
    const name = `${pool}/providers/short-lived`;
    google.addProvider({ name, issuer });
    const at = {
      audience: `//iam.googleapis.com/${name}`,
      subject_token: await cluster.token({ aud: `https://iam.googleapis.com/${name}` }),
    };
    assert.equal((await exchange(await form(at))).status, 200);
    google.removeProvider(name);
    assert.equal((await exchange(await form(at))).body['error'], 'invalid_target');
  });

  it('forgets a service account that was removed', async () => {
    const account = 'gone@my-project.iam.gserviceaccount.com';
    google.grant(account, workloadIdentityUser, principal);
    const token = await federatedToken();
    assert.equal((await impersonate(token, { scope: [cloudPlatform] }, account)).status, 200);
    google.removeServiceAccount(account);
    assert.equal((await impersonate(token, { scope: [cloudPlatform] }, account)).status, 404);
    google.addServiceAccount(account);
    assert.equal((await impersonate(token, { scope: [cloudPlatform] }, account)).status, 403, 'without its old grants');
  });

  it('takes no set-up that Google would not take, or that it cannot emulate', () => {
    assert.throws(() => google.addProvider({ name: 'projects/my-project/providers/x', issuer }));
    for (const attributeMapping of [
      {},
      { 'google.subject': 'assertion.sub.split(":")[1]' },
      { 'google.subject': 'assertion.sub', 'attribute.X!': 'assertion.sub' },
    ]) {
      assert.throws(() => google.addProvider({ name: providerName, issuer, attributeMapping }));
    }
    assert.throws(() => google.grant(reportsAccount, 'roles/owner', principal));
  });
});

describe('a fault', () => {
  it('hits after and as often as it was told', () => {
    const faults = new Faults();
    faults.inject('sts', { kind: 'hang', after: 1, times: 2 });
    assert.deepEqual(
      [1, 2, 3, 4].map(() => faults.next('sts')?.kind),
      [undefined, 'hang', 'hang', undefined],
    );
    assert.equal(faults.next('iamcredentials'), undefined);
    faults.inject('iamcredentials', { kind: 'reset' });
    faults.clear();
    assert.equal(faults.next('iamcredentials'), undefined);
  });
});

describe('issued tokens', () => {
  it('stay bounded, and the latest is always known', () => {
    const tokens = new AccessTokens(() => 0);
    const identity = { kind: 'service-account', email: 'a', issuedTo: 'b', scopes: [], expiresAt: 1 } as const;
    const first = tokens.issue(identity);
    let latest = first;
    for (let count = 0; count < 25_000; count++) latest = tokens.issue(identity);
    assert.equal(tokens.whoIs(first), undefined);
    assert.equal(tokens.whoIs(latest), identity);
  });
});
