import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { SharedDispatcher } from '../../../../operator/adapters/kube/dispatcher.ts';
import { MetaveilError } from '../../../../operator/core/errors.ts';

/** Access as Kubernetes mounts it into a pod. */
function mounted(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'metaveil-access-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const [caFile, tokenFile] = [join(folder, 'ca.crt'), join(folder, 'token')];
  writeFileSync(caFile, 'first');
  writeFileSync(tokenFile, 'canary-token\n');
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromClusterAndUser(
    { name: 'c', server: 'https://127.0.0.1:1', caFile, skipTLSVerify: false },
    { name: 'u', authProvider: { name: 'tokenFile', config: { tokenFile } } },
  );
  const shared = new SharedDispatcher(kubeConfig);
  t.after(() => shared.close());
  return { shared, folder, caFile };
}

describe('The connections to the API server', () => {
  it('are shared by all calls, apart from the standing ones', async (t) => {
    const { shared } = mounted(t);
    const [first, second, standing] = [
      await shared.access('calls'),
      await shared.access('calls'),
      await shared.access('standing'),
    ];
    assert.equal(first.dispatcher, second.dispatcher);
    assert.notEqual(first.dispatcher, standing.dispatcher);
    assert.deepEqual(first.headers, { authorization: 'Bearer canary-token' });
  });

  it('are made anew when the authority on disk was replaced', async (t) => {
    const { shared, caFile } = mounted(t);
    const before = await shared.access('calls');
    writeFileSync(caFile, 'first');
    assert.equal((await shared.access('calls')).dispatcher, before.dispatcher);
    writeFileSync(caFile, 'second');
    const after = await shared.access('calls');
    assert.notEqual(after.dispatcher, before.dispatcher);
    assert.equal((await shared.access('calls')).dispatcher, after.dispatcher);
  });

  it('are refused with a reason when the mounted files are gone', async (t) => {
    const { shared, folder } = mounted(t);
    rmSync(folder, { recursive: true });
    await assert.rejects(
      shared.access('calls'),
      (error: unknown) =>
        error instanceof MetaveilError &&
        error.code === 'invalid-configuration' &&
        error.message === 'no credentials for the API server: ENOENT',
    );
  });

  it('are refused when the credential plugin fails, without its words', async () => {
    const kubeConfig = new KubeConfig();
    const script = 'echo canary-secret >&2; exit 1';
    kubeConfig.loadFromClusterAndUser(
      { name: 'c', server: 'https://127.0.0.1:1', skipTLSVerify: false },
      { name: 'u', exec: { command: 'sh', args: ['-c', script] } },
    );
    await assert.rejects(new SharedDispatcher(kubeConfig).access('calls'), (error: unknown) => {
      assert.ok(error instanceof MetaveilError);
      return error.message === 'no credentials for the API server: the credential plugin failed; run it by hand';
    });
  });
});
