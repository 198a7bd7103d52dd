/**
 * The main job with nothing but Google emulated: a pod's unmodified client asks 169.254.169.254, the kernel leads it to
 * the node's proxy, and it gets the pod's own identity. The cloud's metadata server behind the node hears nothing.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { binding, pod } from '../../builders/objects.ts';
import { NamespaceAgent } from '../../netns/agent-client.ts';
import type { Network } from '../../netns/network.ts';
import { addresses, metadataServer, nodeNetwork } from '../../netns/topology.ts';
import { TestControlPlane } from './control-plane.ts';
import { NodeProcesses } from './node-processes.ts';

const repository = join(import.meta.dirname, '..', '..', '..');
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
  let node: NodeProcesses;

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
    node = await NodeProcesses.start(network, plane);
  });

  after(async () => {
    await network[Symbol.asyncDispose]();
    await plane[Symbol.asyncDispose]();
  });

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
    const { logs } = node;
    assert.match(logs.proxy, /"event":"snapshot-received"/);
    assert.match(logs.intercept, /"event":"rules-applied"/);
    assert.doesNotMatch(logs.proxy + logs.intercept, /ya29\.|eyJ[A-Za-z0-9_-]{10}/);
  });
});
