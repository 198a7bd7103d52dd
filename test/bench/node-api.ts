/**
 * The real node API with fakes behind its ports, in a process of its own: `node node-api.ts ADDRESS POD-ADDRESS`.
 * Prints one line of JSON, see `NodeApiGreeting`; takes one line of JSON for each next `NodeState`, and ends with its
 * standard input.
 */
import { createInterface } from 'node:readline';
import { X509CertificateIssuer } from '../../operator/adapters/http/certificate-issuer.ts';
import { MemoryAuthority } from '../../operator/adapters/http/memory-authority.ts';
import { systemTimers } from '../../operator/cmd/system.ts';
import { Certificates } from '../../operator/nodeapi/server/certificates.ts';
import type { GoogleCredentials, ServiceAccountTokens } from '../../operator/nodeapi/server/ports.ts';
import { NodeApiServer } from '../../operator/nodeapi/server/server.ts';
import { silentMetrics } from '../../operator/telemetry/metrics.ts';
import {
  authenticated,
  FakePods,
  FakeReviewer,
  FakeSnapshots,
  FakeWorkloads,
  Lines,
  proxyUsername,
  serverName,
} from '../unit/nodeapi/world.ts';
import { nodeName, resourcesOf, type NodeState } from './snapshot.ts';

/** What the proxy needs to connect. */
export interface NodeApiGreeting {
  readonly url: string;
  /** PEM. */
  readonly ca: string;
  readonly token: string;
}

const proxyPod = 'proxy-pod';
const lifetimeMs = 3_600_000;

/** As long as those that Google issues for a service account. */
const googleToken = 'ya29.'.padEnd(1024, 'c');

const issue = () => Promise.resolve({ token: googleToken, expiresAt: Date.now() + lifetimeMs });
const google: GoogleCredentials = { accessToken: issue, identityToken: issue };
const kubernetes: ServiceAccountTokens = { request: issue };

function credential(): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const bound = { pod: { uid: proxyPod }, node: { uid: `uid-of-${nodeName}` } };
  const exp = Math.floor((Date.now() + lifetimeMs) / 1000);
  const payload = { sub: proxyUsername, aud: ['metaveil-node-api'], exp, 'kubernetes.io': bound };
  return `${part({ alg: 'RS256' })}.${part(payload)}.c2lnbmF0dXJl`;
}

async function start(address: string, podAddress: string): Promise<NodeApiGreeting> {
  const [reviewer, pods, snapshots, workloads] = [
    new FakeReviewer(),
    new FakePods(),
    new FakeSnapshots(),
    new FakeWorkloads(),
  ];
  const server = new NodeApiServer({
    ...{ clock: systemTimers, log: new Lines(), random: Math.random },
    ...{ reviewer, pods, snapshots, workloads, kubernetes, google },
    leadership: { role: () => ({ kind: 'leader' }), onChange: () => () => undefined },
    release: { decide: () => 'keep' },
    readiness: { report: () => undefined },
    counters: { record: () => undefined },
    metrics: silentMetrics,
  });
  const enter = (state: NodeState): void => {
    const resources = resourcesOf(podAddress, state);
    workloads.workloads.clear();
    for (const resource of resources) if (resource.kind === 'workload') workloads.add(nodeName, resource);
    snapshots.set(nodeName, ...resources);
  };
  enter({ platform: 'None', changes: 0 });
  createInterface({ input: process.stdin })
    .on('line', (line) => enter(JSON.parse(line) as NodeState))
    .on('close', () => process.exit(0));
  const token = credential();
  pods.add(proxyPod, nodeName);
  reviewer.reviews.set(token, authenticated(proxyPod, nodeName));

  const authority = new MemoryAuthority();
  const issuer = new X509CertificateIssuer();
  const names = [serverName];
  const certificates = new Certificates({ store: authority, bundle: authority, issuer, clock: systemTimers, names });
  const { renewed } = await certificates.reconcile('leader');
  if (renewed === undefined) throw new Error('no certificate');
  server.useCertificate(renewed);
  const { port } = await server.listen({ host: address, port: 0 });
  return { url: `https://${address}:${port}`, ca: authority.published, token };
}

const [address = '', podAddress = ''] = process.argv.slice(2);
process.stdout.write(`${JSON.stringify(await start(address, podAddress))}\n`);
