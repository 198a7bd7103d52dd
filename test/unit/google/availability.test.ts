import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { GoogleCredentialsAdapter } from '../../../operator/adapters/google/credentials.ts';
import { refusalOf, publicText } from '../../../operator/adapters/google/refusal.ts';
import type { EmulatedService, Fault } from '../../../operator/local/google/faults.ts';
import { identity, impersonation, startTestGoogle, type TestGoogle } from './cluster-issuer.ts';

const never = new AbortController().signal;

describe('while Google has a bad day', () => {
  let google: TestGoogle;
  const credentials = new GoogleCredentialsAdapter({
    allowInsecureEndpoints: true,
    requestTimeoutMs: 150,
    proxy: { noProxy: '*' },
  });

  before(async () => {
    google = await startTestGoogle();
    // The library is loaded on the first call, which must not count against the deadline of a test.
    const patient = new GoogleCredentialsAdapter({ allowInsecureEndpoints: true, proxy: { noProxy: '*' } });
    await patient.accessToken(impersonation(google.provider, await google.cluster.token()), never);
    await patient.close();
  });
  afterEach(() => google.google.faults.clear());
  after(async () => {
    await credentials.close();
    await google.google.close();
  });

  const exchange = async (signal = never): Promise<unknown> =>
    credentials.accessToken(impersonation(google.provider, await google.cluster.token()), signal);

  const asked = (service: EmulatedService): number =>
    google.google.requests().filter((request) => request.service === service).length;

  it('gives up on an STS that never answers, within the deadline', { timeout: 5_000 }, async () => {
    google.google.faults.inject('sts', { kind: 'hang' });
    await assert.rejects(exchange(), {
      code: 'google-unavailable',
      message: "Google's STS did not answer within 0.15 s",
    });
  });

  it('gives up on an IAM that never answers, within the deadline', { timeout: 5_000 }, async () => {
    google.google.faults.inject('iamcredentials', { kind: 'hang' });
    await assert.rejects(exchange(), {
      code: 'google-unavailable',
      message: 'IAM Credentials did not answer within 0.15 s',
    });
  });

  it('ends as soon as nobody waits any longer', { timeout: 5_000 }, async () => {
    const patient = new GoogleCredentialsAdapter({ allowInsecureEndpoints: true, proxy: { noProxy: '*' } });
    for (const service of ['sts', 'iamcredentials'] as const) {
      google.google.faults.inject(service, { kind: 'hang' });
      const caller = new AbortController();
      const earlier = asked(service);
      const running = patient.accessToken(impersonation(google.provider, await google.cluster.token()), caller.signal);
      const ended = assert.rejects(running, { code: 'deadline-exceeded' });
      while (asked(service) === earlier) await new Promise((resolve) => setImmediate(resolve));
      caller.abort();
      await ended;
      google.google.faults.clear();
    }
    await patient.close();
  });

  it('asks nobody when nobody waits to begin with', async () => {
    const earlier = google.google.requests().length;
    await assert.rejects(exchange(AbortSignal.abort()), { code: 'deadline-exceeded' });
    assert.equal(google.google.requests().length, earlier);
  });

  const unavailable: readonly (readonly [string, Fault])[] = [
    ['500', { kind: 'reply', status: 500 }],
    ['503', { kind: 'reply', status: 503 }],
    ['429', { kind: 'reply', status: 429, retryAfterSeconds: 30 }],
    ['a block page with 403', { kind: 'reply', status: 403, contentType: 'text/html', body: '<h1>Blocked</h1>' }],
    ['a front end’s 404', { kind: 'reply', status: 404, contentType: 'text/html', body: '<h1>Not here</h1>' }],
    ['a redirect', { kind: 'reply', status: 302, contentType: 'text/html', body: '' }],
    ['200 without JSON', { kind: 'reply', status: 200, contentType: 'text/html', body: '<h1>Sign in</h1>' }],
    ['200 without a token', { kind: 'reply', status: 200, body: '{}' }],
    ['an endless reply', { kind: 'reply', status: 200, body: `{"x":"${'x'.repeat(300_000)}"}` }],
  ];
  for (const service of ['sts', 'iamcredentials'] as const) {
    for (const [what, fault] of unavailable) {
      it(`calls it unavailable when ${service} answers ${what}, and asks once`, async () => {
        google.google.faults.inject(service, fault);
        const earlier = asked(service);
        await assert.rejects(exchange(), { code: 'google-unavailable' });
        assert.equal(asked(service) - earlier, 1);
      });
    }
  }

  it('does not take an incomplete identity token for one', async () => {
    for (const token of ['', 'opaque', 'e30.e30.']) {
      google.google.faults.inject('iamcredentials', { kind: 'reply', status: 200, body: JSON.stringify({ token }) });
      await assert.rejects(credentials.identityToken(identity(google.provider, await google.cluster.token()), never), {
        code: 'google-unavailable',
      });
    }
  });

  it('repeats a request once when its connection was cut, and no more', async () => {
    google.google.faults.inject('sts', { kind: 'reset', times: 1 });
    let earlier = asked('sts');
    await exchange();
    assert.equal(asked('sts') - earlier, 2);

    google.google.faults.inject('sts', { kind: 'reset' });
    earlier = asked('sts');
    await assert.rejects(exchange(), { code: 'google-unavailable', message: /could not be reached/ });
    assert.equal(asked('sts') - earlier, 2);
  });

  it('says what is wrong with an endpoint nobody listens on', async () => {
    const gone = await startTestGoogle();
    await gone.google.close();
    await assert.rejects(credentials.accessToken(impersonation(gone.provider, await gone.cluster.token()), never), {
      code: 'google-unavailable',
      message: /^Google's STS could not be reached: .*ECONNREFUSED/,
    });
  });

  it('recovers as soon as Google does', async () => {
    google.google.faults.inject('sts', { kind: 'reply', status: 503, times: 1 });
    await assert.rejects(exchange(), { code: 'google-unavailable' });
    await exchange();
  });
});

describe('a refusal', () => {
  const reply = (status: number, error: unknown): { service: 'iamcredentials'; status: number; body: string } => ({
    service: 'iamcredentials',
    status,
    body: JSON.stringify({ error }),
  });

  it('is about permission only if a grant would cure it', () => {
    const disabled = (reason: string): unknown => ({
      status: 'PERMISSION_DENIED',
      message: 'IAM Service Account Credentials API has not been used in project 1 before or it is disabled.',
      details: [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason }],
    });
    assert.equal(refusalOf(reply(403, disabled('SERVICE_DISABLED'))).code, 'google-rejected');
    assert.equal(refusalOf(reply(403, disabled('IAM_PERMISSION_DENIED'))).code, 'google-permission-denied');
    assert.equal(
      refusalOf(reply(403, { message: 'The caller does not have permission' })).code,
      'google-permission-denied',
    );
  });

  it('is bounded, one line and free of tokens', () => {
    const token = `eyJhbGciOiJSUzI1NiJ9.${'a'.repeat(500)}.${'b'.repeat(300)}`;
    const text = publicText(`bad\r\n\u202etoken ${token} and ya29.c.${'x'.repeat(200)}\u0000 ${'long '.repeat(5_000)}`);
    assert.match(text, /^bad token \[redacted\] and \[redacted\] long long/);
    assert.ok(text.length <= 400);
  });

  it('does not choke on shapes Google does not have', () => {
    for (const body of ['null', '[]', '"x"', '{"error":null}', '{"error":[]}', '{']) {
      assert.equal(refusalOf({ service: 'sts', status: 400, body }).code, 'google-unavailable');
    }
    assert.equal(
      refusalOf({ service: 'sts', status: 400, body: '{"error":{"details":[7,null]}}' }).code,
      'google-rejected',
    );
  });
});
