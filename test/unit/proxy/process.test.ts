import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SnapshotFile } from '../../../operator/adapters/http/mounted-files.ts';
import { bootId, sha256 } from '../../../operator/cmd/system.ts';
import { snapshotOf, versioned } from '../../../operator/core/snapshot/delta.ts';
import { encodeFrame, snapshotFrame } from '../../../operator/nodeapi/wire/frames.ts';
import { binding, nodeSettings, workload } from './support.ts';

const program = fileURLToPath(new URL('../../../operator/cmd/proxy.ts', import.meta.url));

/** A proxy process and what it says. */
class ProxyProcess {
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[] = [];
  readonly ended: Promise<number | null>;
  readonly #listeners = new Set<() => void>();

  constructor(env: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, [program, '--ports', '0'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const { stdout } = this.child;
    assert.ok(stdout);
    createInterface({ input: stdout }).on('line', (line) => {
      this.lines.push(JSON.parse(line) as Record<string, unknown>);
      for (const listener of this.#listeners) listener();
    });
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
  }

  /** The first line of this event; rejects if the process ends without it. */
  async event(name: string): Promise<Record<string, unknown>> {
    const over = this.ended.then(() => {
      throw new Error(`ended without ${name}: ${JSON.stringify(this.lines)}`);
    });
    for (;;) {
      const line = this.lines.find((each) => each['event'] === name);
      if (line !== undefined) return line;
      await Promise.race([over, new Promise<void>((resolve) => this.#listeners.add(resolve))]);
    }
  }
}

describe('the proxy process without a controller', () => {
  let folder: string;
  let env: Readonly<Record<string, string>>;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metaveil-proxy-'));
    const settings = { kind: 'settings', id: 'node', body: nodeSettings() } as const;
    const body = workload('a', '127.0.0.2', binding('a'));
    const resources = [settings, { kind: 'workload', id: body.uid, body } as const];
    const snapshot = snapshotOf(
      resources.map((resource) => versioned(resource, sha256)),
      sha256,
    );
    await new SnapshotFile(join(folder, 'snapshot.json'), bootId()).write(encodeFrame(snapshotFrame(snapshot)));
    await writeFile(join(folder, 'token'), 'canary-node-token');
    await writeFile(join(folder, 'ca.crt'), '');
    env = {
      METAVEIL_NODE_API_URL: 'https://127.0.0.1:1',
      METAVEIL_NODE_API_CA_FILE: join(folder, 'ca.crt'),
      METAVEIL_NODE_API_TOKEN_FILE: join(folder, 'token'),
      METAVEIL_STATE_DIR: folder,
      METAVEIL_HOST_IP: '127.0.0.1',
      // Whatever the snapshot says: the machine's own metadata server is never asked.
      METAVEIL_UPSTREAM: 'http://127.0.0.1:9',
    };
  });

  after(() => rm(folder, { recursive: true }));

  it('serves known pods from the last snapshot, and ends with status 0 on SIGTERM', { timeout: 60_000 }, async () => {
    const proxy = new ProxyProcess(env);
    const [, port = ''] = String((await proxy.event('proxy-listening'))['address']).split(' ');
    const path = '/computeMetadata/v1/project/project-id';
    assert.deepEqual(await get(Number(port), path), [200, 'test-project']);
    const kubeEnv = '/computeMetadata/v1/instance/attributes/kube-env';
    assert.deepEqual(await get(Number(port), kubeEnv), [403, 'This metadata endpoint is concealed.']);
    const token = '/computeMetadata/v1/instance/service-accounts/default/token';
    assert.equal((await get(Number(port), token))[0], 503);
    proxy.child.kill('SIGTERM');
    assert.equal(await proxy.ended, 0);
    const events = proxy.lines.map((line) => line['event']);
    assert.ok(events.indexOf('proxy-draining') < events.indexOf('leave-answered'));
    assert.equal(events.at(-1), 'proxy-stopped');
    assert.doesNotMatch(JSON.stringify(proxy.lines), /canary/u);
  });

  it('says which setting is missing and ends with status 1', { timeout: 60_000 }, async () => {
    const proxy = new ProxyProcess({ ...env, METAVEIL_STATE_DIR: '' });
    assert.equal(await proxy.ended, 1);
    assert.match(String(proxy.lines[0]?.['error']), /--state-dir \(or METAVEIL_STATE_DIR\) is not set/u);
  });
});

function get(port: number, path: string): Promise<readonly [number, string]> {
  return new Promise((resolve, reject) => {
    const headers = { 'Metadata-Flavor': 'Google', Host: 'metadata' };
    const call = request({ host: '127.0.0.1', port, path, localAddress: '127.0.0.2', headers, agent: false });
    call.on('error', reject);
    call.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve([response.statusCode ?? 0, body]));
    });
    call.end();
  });
}
