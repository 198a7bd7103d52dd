/**
 * The main job with nothing but Google emulated: a pod's unmodified client asks 169.254.169.254, the kernel leads it to
 * the node's proxy, and it gets the pod's own identity. The cloud's metadata server behind the node hears nothing.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../../cluster/eventually.ts';
import { binding, pod } from '../../builders/objects.ts';
import { NamespaceAgent } from '../../netns/agent-client.ts';
import type { Network } from '../../netns/network.ts';
import { addresses, metadataServer, nodeNetwork } from '../../netns/topology.ts';
import { TestControlPlane } from './control-plane.ts';

const repository = join(import.meta.dirname, '..', '..', '..');
const nodeApiPort = 8443;
const audience = 'https://audience.example';
const googleServiceAccount = 'api@my-project.iam.gserviceaccount.com';
const member =
  'principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/prod/subject/system:serviceaccount:web:api';

interface ClientResult {
  readonly accessToken: { readonly kind: string; readonly value?: string; readonly reason?: string };
  readonly identityToken: { readonly kind: string; readonly value?: string };
}

describe('a pod asks the metadata address', () => {
  let network: Network;
  let plane: TestControlPlane;
  let cloud: NamespaceAgent;
  const logs = { proxy: '', intercept: '' };

  before(async () => {
    network = nodeNetwork();
    cloud = new NamespaceAgent(network, 'cloud');
    for (const host of Object.values(metadataServer)) await cloud.call('serve', { host, port: 80, name: 'the cloud' });
    plane = await TestControlPlane.start(addresses.node.ipv4, network.folder);
    plane.google.grant(googleServiceAccount, 'roles/iam.workloadIdentityUser', member);
    plane.apply(
      binding({ namespace: 'web', name: 'api', spec: { googleServiceAccount } }),
      pod({ namespace: 'web', name: 'api-0', serviceAccountName: 'api', ips: [addresses['pod-a'].ipv4] }),
      pod({ namespace: 'web', name: 'visitor-0', serviceAccountName: 'visitor', ips: [addresses['pod-c'].ipv4] }),
    );
    await startNode();
  });

  after(async () => {
    await network[Symbol.asyncDispose]();
    await plane[Symbol.asyncDispose]();
  });

  /** Both containers of the proxy's pod, as their image starts them. */
  async function startNode(): Promise<void> {
    const folder = join(network.folder, 'pod');
    const files = { token: join(folder, 'token'), ca: join(folder, 'ca.crt'), shared: join(folder, 'shared') };
    mkdirSync(files.shared, { recursive: true });
    chmodSync(files.shared, 0o777);
    writeFileSync(files.token, await plane.proxyToken());
    writeFileSync(files.ca, plane.authority.published);
    await relay();
    const common = { METAVEIL_INTERCEPT_DIR: files.shared, METAVEIL_HOST_IP: addresses.node.ipv4 };
    run('proxy', [process.execPath, join(repository, 'operator/cmd/proxy.ts')], {
      ...common,
      METAVEIL_NODE_API_URL: `https://127.0.0.1:${nodeApiPort}`,
      METAVEIL_NODE_API_CA_FILE: files.ca,
      METAVEIL_NODE_API_TOKEN_FILE: files.token,
      METAVEIL_STATE_DIR: folder,
    });
    const capabilities = ['--bounding-set=-all,+net_admin', '--inh-caps=-all,+net_admin', '--no-new-privs'];
    const program = join(repository, 'operator/cmd/intercept.ts');
    run('intercept', ['setpriv', ...capabilities, process.execPath, program], common);
    await eventually('the MetadataProxy is Ready, which takes a redirected node', () => {
      const ready = plane.store.proxy('default')?.status?.conditions?.find(({ type }) => type === 'Ready');
      return Promise.resolve(ready?.status === 'True' ? true : undefined);
    }).catch((error: unknown) => {
      throw new Error(`not ready:\n${logs.proxy}\n${logs.intercept}`, { cause: error });
    });
  }

  async function relay(): Promise<void> {
    const program = join(import.meta.dirname, 'relay.ts');
    const socket = join(network.folder, 'node-api.sock');
    const child = network.spawn('node', [process.execPath, program, String(nodeApiPort), socket], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (child.stdout !== null) await once(child.stdout, 'data');
  }

  function run(
    name: 'proxy' | 'intercept',
    command: readonly [string, ...string[]],
    env: Readonly<Record<string, string>>,
  ): void {
    const child = network.spawn('node', command, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (part: string) => (logs[name] += part));
  }

  /** Never synchronous: the controller that answers runs in this very process. */
  async function output(place: 'pod-a' | 'pod-c', ...command: readonly string[]): Promise<string> {
    const child = network.spawn(place, ['env', ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
    return child.stdout === null ? '' : text(child.stdout);
  }

  async function client(place: 'pod-a' | 'pod-c'): Promise<ClientResult> {
    const program = join(repository, 'test/e2e/nodes/google-client.ts');
    // By address, as in a pod whose DNS does not know metadata.google.internal.
    const env = ['-i', 'METADATA_SERVER_DETECTION=assume-present'];
    return JSON.parse(await output(place, ...env, process.execPath, program, audience)) as ClientResult;
  }

  it('and its client gets access and identity tokens of its own Google service account', async () => {
    const { accessToken, identityToken } = await client('pod-a');
    assert.equal(accessToken.kind, 'had', accessToken.reason);
    const identity = plane.google.whoIs(accessToken.value ?? '');
    assert.equal(identity?.kind === 'service-account' && identity.email, googleServiceAccount);
    const claims = JSON.parse(Buffer.from(identityToken.value?.split('.')[1] ?? '', 'base64url').toString()) as {
      readonly aud: string;
      readonly email: string;
    };
    assert.deepEqual([claims.aud, claims.email], [audience, googleServiceAccount]);
  });

  it('and a pod without a binding gets advice, not the identity of somebody else', async () => {
    const { accessToken } = await client('pod-c');
    assert.equal(accessToken.kind, 'failed');
    assert.match(accessToken.reason ?? '', /create a WorkloadIdentityBinding named visitor in namespace web/);
  });

  it('and kube-env is refused in the documented sentence', async () => {
    const url = `http://${metadataServer.ipv4}/computeMetadata/v1/instance/attributes/kube-env`;
    const script = `const r = await fetch(${JSON.stringify(url)}, { headers: { 'Metadata-Flavor': 'Google' } }); process.stdout.write(r.status + ' ' + await r.text())`;
    const answer = await output('pod-a', process.execPath, '--input-type=module', '--eval', script);
    assert.equal(answer.trim(), '403 This metadata endpoint is concealed.');
  });

  it('and what the node itself asks is left alone', async () => {
    const host = new NamespaceAgent(network, 'node');
    assert.equal(await host.get(metadataServer.ipv4), 'the cloud');
  });

  it('and no token is in the log of proxy or intercept', () => {
    assert.match(logs.proxy, /"event":"snapshot-received"/);
    assert.match(logs.intercept, /"event":"rules-applied"/);
    assert.doesNotMatch(logs.proxy + logs.intercept, /ya29\.|eyJ[A-Za-z0-9_-]{10}/);
  });
});
