import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { GoogleCredentialsAdapter } from '../../../operator/adapters/google/credentials.ts';
import type { EmulatedService, Fault } from '../../../operator/local/google/faults.ts';
import { identity, impersonation, startTestGoogle, type TestGoogle } from './cluster-issuer.ts';

const never = new AbortController().signal;

/** Everything an error could show anywhere: its text, its stack, its causes, its hidden properties. */
function everythingIn(error: unknown): string {
  const plain = inspect(error, { depth: null, showHidden: true, maxStringLength: null, maxArrayLength: null });
  return `${plain} ${JSON.stringify(error)} ${String(error)}`;
}

describe('secrets of an exchange', () => {
  let google: TestGoogle;
  const credentials = new GoogleCredentialsAdapter({
    allowInsecureEndpoints: true,
    requestTimeoutMs: 300,
    proxy: { noProxy: '*' },
  });

  before(async () => {
    google = await startTestGoogle();
  });
  after(async () => {
    await credentials.close();
    await google.google.close();
  });

  it('are in no error, whatever goes wrong', async () => {
    const token = await google.cluster.token();
    const echo = JSON.stringify({ error: 'invalid_grant', error_description: `bad ${token}, ya29.c.canary` });
    const malformed = `<p>${token} ya29.c.canary</p>`;
    const faults: readonly Fault[] = [
      { kind: 'reply', status: 400, body: echo },
      { kind: 'reply', status: 403, body: JSON.stringify({ error: { status: 'PERMISSION_DENIED', message: token } }) },
      { kind: 'reply', status: 500, body: malformed },
      { kind: 'reply', status: 200, body: malformed },
      { kind: 'reset' },
      { kind: 'hang' },
    ];
    const [, payload = '', signature = ''] = token.split('.');
    for (const service of ['sts', 'iamcredentials'] satisfies EmulatedService[]) {
      for (const fault of faults) {
        google.google.faults.inject(service, fault);
        const calls = [
          credentials.accessToken(impersonation(google.provider, token), never),
          credentials.identityToken(identity(google.provider, token), never),
        ];
        for (const outcome of await Promise.allSettled(calls)) {
          assert.equal(outcome.status, 'rejected');
          const shown = everythingIn(outcome.reason);
          const found = [payload, signature, 'canary', 'ya29.'].filter((secret) => shown.includes(secret));
          assert.deepEqual(found, [], `${service} ${fault.kind}`);
        }
        google.google.faults.clear();
      }
    }
  });

  it('are not in what the emulator logs', async () => {
    const token = await google.cluster.token();
    const issued = await credentials.accessToken(impersonation(google.provider, token), never);
    const log = JSON.stringify(google.google.requests());
    assert.ok(log.includes('generateAccessToken'));
    assert.ok(!log.includes(token) && !log.includes(issued.token) && !log.includes('ya29.'));
  });

  it('are not printed although the libraries are told to log everything', () => {
    const script = `
      const { startTestGoogle, impersonation, identity } = await import('./test/unit/google/cluster-issuer.ts');
      const { GoogleCredentialsAdapter } = await import('./operator/adapters/google/credentials.ts');
      const { google, cluster, provider } = await startTestGoogle();
      const credentials = new GoogleCredentialsAdapter({ allowInsecureEndpoints: true, proxy: { noProxy: '*' } });
      const signal = new AbortController().signal;
      await credentials.accessToken(impersonation(provider, await cluster.token()), signal);
      await credentials.identityToken(identity(provider, await cluster.token()), signal);
      await credentials.close();
      await google.close();
      console.log('done');`;
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      env: { ...process.env, GOOGLE_SDK_NODE_LOGGING: '*' },
      timeout: 30_000,
    });
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'done\n');
    assert.ok(!/ya29\.|eyJ|Bearer/.test(stderr), stderr.slice(0, 300));
  });
});
