import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, it } from 'node:test';
import { Harness } from './harness.ts';
import { settle } from '../../fakes/timers.ts';
import { binding, issued, workload } from './support.ts';

const program = fileURLToPath(new URL('google-client.ts', import.meta.url));

describe('an unmodified google-auth-library client', () => {
  it('gets the access and identity token of its own pod', async () => {
    const node = new Harness();
    node.tokens.policy = (pod, wish) => issued(`${pod}-${wish.kind}`, node.timers.now() + 3_600_000);
    node.snapshots.set({
      workloads: [workload('a', '127.0.0.2', binding('a')), workload('b', '127.0.0.3', binding('b'))],
    });
    await node.start();
    await settle();
    try {
      for (const [address, pod] of [
        ['127.0.0.2', 'pod-a'],
        ['127.0.0.3', 'pod-b'],
      ] as const) {
        assert.deepEqual(await runClient(node, address), {
          token: `${pod}-access`,
          idToken: `${pod}-identity`,
          project: 'test-project',
        });
      }
    } finally {
      await node.stop();
    }
  });
});

/** What a client in the pod of this address gets; environment as Env interception sets it. */
async function runClient(node: Harness, address: string): Promise<unknown> {
  const host = `127.0.0.1:${node.port}`;
  const environment = { GCE_METADATA_HOST: host, GCE_METADATA_IP: host, GCE_METADATA_ROOT: host };
  const { stdout } = await promisify(execFile)(process.execPath, [program, address, 'https://svc.example'], {
    // No PATH: the library would run gcloud. No HOME: it would read somebody's credentials.
    env: { ...environment, HOME: '/nonexistent', METADATA_SERVER_DETECTION: 'assume-present' },
    timeout: 60_000,
  });
  return JSON.parse(stdout);
}
