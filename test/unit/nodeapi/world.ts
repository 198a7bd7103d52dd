/** A node API with fakes behind its ports: real HTTPS on loopback, time that moves only when a test says so. */
import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import { setImmediate as turn } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { MemoryAuthority } from '../../../operator/adapters/http/memory-authority.ts';
import { X509CertificateIssuer } from '../../../operator/adapters/http/certificate-issuer.ts';
import type { BindingUid, NodeUid, PodUid } from '../../../operator/core/brand.ts';
import { MetaveilError } from '../../../operator/core/errors.ts';
import type { ErrorCode } from '../../../operator/core/errors.ts';
import type { BindingView, NodeSnapshot, Resource } from '../../../operator/core/snapshot/types.ts';
import type { IssuedToken } from '../../../operator/core/token/types.ts';
import { NodeApiClient } from '../../../operator/nodeapi/client/client.ts';
import type { NodeApiClientOptions } from '../../../operator/nodeapi/client/client.ts';
import { Certificates } from '../../../operator/nodeapi/server/certificates.ts';
import type {
  AccessTokenExchange,
  GoogleCredentials,
  IdentityTokenExchange,
  LiveWorkload,
  NodeCounts,
  NodeSnapshots,
  ProxyPod,
  ProxyPods,
  ServiceAccountTokenRequest,
  ServiceAccountTokens,
  TokenReview,
  TokenReviewer,
  WorkloadLookup,
} from '../../../operator/nodeapi/server/ports.ts';
import { NodeApiServer } from '../../../operator/nodeapi/server/server.ts';
import type { NodeApiServerOptions } from '../../../operator/nodeapi/server/server.ts';
import type { Logger } from '../../../operator/telemetry/log.ts';
import { silentMetrics } from '../../../operator/telemetry/metrics.ts';
import { FakeTimers } from '../../fakes/timers.ts';
import { bindingView, settings, snapshot, workload } from './resources.ts';

export const serverName = 'metaveil-controller.metaveil-system.svc';
export const proxyUsername = 'system:serviceaccount:metaveil-system:metaveil-proxy';
export const audience = '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x';

/** Waits for something that real sockets bring about; fails after 10 s. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < giveUpAt, `never happened: ${what}`);
    await turn();
  }
}

export class Lines implements Logger {
  readonly lines: string[] = [];
  readonly #record = (event: string, fields: object = {}): void => {
    this.lines.push(JSON.stringify({ event, ...fields }));
  };
  readonly info = this.#record;
  readonly warn = this.#record;
  readonly error = this.#record;

  of(event: string): Record<string, unknown>[] {
    return this.lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line['event'] === event);
  }
}

interface Claims {
  readonly sub?: string;
  readonly aud?: readonly string[];
  readonly exp?: number;
  readonly podUid?: string;
  readonly nodeUid?: string;
  readonly salt?: string;
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token of the form kubelet mounts; only the fake reviewer says what it is worth. */
export function credential(clock: FakeTimers, claims: Claims = {}): string {
  const { sub = proxyUsername, aud = ['metaveil-node-api'], exp = Math.floor(clock.now() / 1000) + 3600 } = claims;
  const bound = { pod: { uid: claims.podUid ?? 'proxy-a' }, node: { uid: claims.nodeUid ?? 'uid-of-node-a' } };
  const payload = { sub, aud, exp, 'kubernetes.io': bound, salt: claims.salt ?? '' };
  return `${part({ alg: 'RS256' })}.${part(payload)}.c2lnbmF0dXJl`;
}

export class FakeReviewer implements TokenReviewer {
  readonly reviews = new Map<string, TokenReview>();
  calls = 0;
  away = false;

  review(token: string): Promise<TokenReview> {
    this.calls += 1;
    return Promise.resolve(this.away ? { kind: 'unavailable' } : (this.reviews.get(token) ?? { kind: 'rejected' }));
  }
}

const extra = (pod: string, node: string, nodeUid: string): Record<string, readonly string[]> => ({
  'authentication.kubernetes.io/credential-id': ['JTI=1'],
  'authentication.kubernetes.io/pod-name': [pod],
  'authentication.kubernetes.io/pod-uid': [pod],
  'authentication.kubernetes.io/node-name': [node],
  'authentication.kubernetes.io/node-uid': [nodeUid],
});

/** What the API server says of a good token of a proxy. */
export function authenticated(pod: string, node: string, overrides: object = {}): TokenReview {
  const user = { username: proxyUsername, uid: 'sa', extra: extra(pod, node, `uid-of-${node}`), ...overrides };
  return { kind: 'authenticated', user };
}

export class FakePods implements ProxyPods {
  readonly #pods = new Map<string, ProxyPod>();
  readonly #listeners = new Set<(pod: PodUid) => void>();

  add(uid: string, nodeName: string, nodeUid = `uid-of-${nodeName}`): void {
    const pod = { uid: uid as PodUid, namespace: 'metaveil-system', name: uid, nodeName, nodeUid: nodeUid as NodeUid };
    this.#pods.set(uid, pod);
  }

  remove(uid: string): void {
    this.#pods.delete(uid);
    for (const listener of this.#listeners) listener(uid as PodUid);
  }

  find(pod: PodUid): ProxyPod | undefined {
    return this.#pods.get(pod);
  }

  onGone(listener: (pod: PodUid) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

export class FakeSnapshots implements NodeSnapshots {
  readonly #snapshots = new Map<string, NodeSnapshot>();
  readonly #listeners = new Set<(nodes: ReadonlySet<string>) => void>();

  set(node: string, ...resources: readonly Resource[]): NodeSnapshot {
    const next = snapshot(...resources);
    this.#snapshots.set(node, next);
    for (const listener of this.#listeners) listener(new Set([node]));
    return next;
  }

  snapshotOf(node: string): NodeSnapshot | undefined {
    return this.#snapshots.get(node);
  }

  onChange(listener: (nodes: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

export class FakeWorkloads implements WorkloadLookup {
  readonly workloads = new Map<string, LiveWorkload>();
  readonly #bindings = new Map<BindingUid, BindingView>();
  readonly #listeners = new Set<(bindings: ReadonlySet<BindingUid>) => void>();

  /** A pod of the node with the binding; undefined: unbound. */
  add(node: string, resource: Resource): LiveWorkload {
    assert.equal(resource.kind, 'workload');
    const { uid, namespace, name, serviceAccount, identity } = resource.body;
    const provider = { audience, universeDomain: 'googleapis.com' };
    const workload = { uid, namespace, name, nodeName: node, serviceAccount, identity, provider };
    this.workloads.set(uid, workload);
    if (identity.kind === 'bound') this.#bindings.set(identity.binding.uid, identity.binding);
    return workload;
  }

  /** The binding of all its workloads is this one from now on; undefined: there is none any more. */
  rebind(uid: BindingUid, view: BindingView | undefined): void {
    if (view === undefined) this.#bindings.delete(uid);
    else this.#bindings.set(uid, view);
    for (const workload of [...this.workloads.values()]) {
      if (workload.identity.kind === 'unbound' || workload.identity.binding.uid !== uid) continue;
      const identity =
        view === undefined
          ? ({ kind: 'unbound', reason: 'no-binding' } as const)
          : ({ kind: 'bound', binding: view } as const);
      this.workloads.set(workload.uid, { ...workload, identity });
    }
    for (const listener of this.#listeners) listener(new Set([uid]));
  }

  find(pod: PodUid): LiveWorkload | undefined {
    return this.workloads.get(pod);
  }

  binding(uid: BindingUid): BindingView | undefined {
    return this.#bindings.get(uid);
  }

  onBindingChange(listener: (bindings: ReadonlySet<BindingUid>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Answers at once, fails with `failure`, or waits for `release` when `held`. */
class Answers {
  failure: MetaveilError | undefined;
  #held: PromiseWithResolvers<undefined> | undefined;

  fail(code: ErrorCode, message: string = code): void {
    this.failure = new MetaveilError(code, message);
  }

  hold(): void {
    this.#held = Promise.withResolvers();
  }

  release(): void {
    this.#held?.resolve(undefined);
    this.#held = undefined;
  }

  protected async answer<T>(value: T): Promise<T> {
    await this.#held?.promise;
    if (this.failure !== undefined) throw this.failure;
    return value;
  }
}

export class FakeKubernetes extends Answers implements ServiceAccountTokens {
  readonly requests: ServiceAccountTokenRequest[] = [];

  request(request: ServiceAccountTokenRequest): Promise<IssuedToken> {
    this.requests.push(request);
    return this.answer({ token: `SECRET-kubernetes-${this.requests.length}`, expiresAt: Number.MAX_SAFE_INTEGER });
  }
}

export class FakeGoogle extends Answers implements GoogleCredentials {
  readonly accessRequests: AccessTokenExchange[] = [];
  readonly identityRequests: IdentityTokenExchange[] = [];
  readonly #clock: FakeTimers;
  lifetimeMs = 3_600_000;

  constructor(clock: FakeTimers) {
    super();
    this.#clock = clock;
  }

  accessToken(request: AccessTokenExchange): Promise<IssuedToken> {
    this.accessRequests.push(request);
    return this.#issue(`SECRET-access-${this.accessRequests.length}`);
  }

  identityToken(request: IdentityTokenExchange): Promise<IssuedToken> {
    this.identityRequests.push(request);
    return this.#issue(`SECRET-identity-${this.identityRequests.length}`);
  }

  #issue(token: string): Promise<IssuedToken> {
    return this.answer({ token, expiresAt: this.#clock.now() + this.lifetimeMs });
  }
}

type Role = ReturnType<NodeApiServerOptions['leadership']['role']>;

/** Everything the replicas of one controller see. */
export class Cluster {
  readonly clock = new FakeTimers();
  readonly log = new Lines();
  readonly reviewer = new FakeReviewer();
  readonly pods = new FakePods();
  readonly snapshots = new FakeSnapshots();
  readonly workloads = new FakeWorkloads();
  readonly kubernetes = new FakeKubernetes();
  readonly google = new FakeGoogle(this.clock);
  readonly authority = new MemoryAuthority();
  readonly readiness: { instance: string; ready: boolean }[] = [];
  /** What was believed of the nodes' reports. */
  readonly counts: NodeCounts[] = [];
  releaseVerdict: 'released' | 'keep' = 'keep';

  /** A proxy with a credential that is good for `node`. */
  proxy(uid: string, node: string, claims: Claims = {}): string {
    this.pods.add(uid, node);
    const token = credential(this.clock, { podUid: uid, nodeUid: `uid-of-${node}`, ...claims });
    this.reviewer.reviews.set(token, authenticated(uid, node));
    return token;
  }
}

export interface Replica {
  readonly server: NodeApiServer;
  readonly port: number;
  readonly address: string;
  setRole(role: Role): void;
}

/** One replica of the controller, listening; closed when the test ends. */
export async function startReplica(
  t: TestContext,
  cluster: Cluster,
  options: Partial<NodeApiServerOptions> & { readonly role?: Role; readonly port?: number } = {},
): Promise<Replica> {
  let role = options.role ?? { kind: 'leader' };
  const roleListeners = new Set<() => void>();
  const { clock, log, reviewer, pods, snapshots, workloads, kubernetes, google, authority } = cluster;
  const server = new NodeApiServer({
    ...{ clock, log, reviewer, pods, snapshots, workloads, kubernetes, google },
    random: () => 0.5,
    leadership: {
      role: () => role,
      onChange: (listener) => {
        roleListeners.add(listener);
        return () => roleListeners.delete(listener);
      },
    },
    release: { decide: () => cluster.releaseVerdict },
    readiness: { report: (instance, ready) => void cluster.readiness.push({ instance, ready }) },
    counters: { record: (counts) => void cluster.counts.push(counts) },
    metrics: silentMetrics,
    ...options,
  });
  const clockOfCertificates = { now: () => Date.now() };
  const issuer = new X509CertificateIssuer();
  const names = [serverName];
  const certificates = new Certificates({
    store: authority,
    bundle: authority,
    issuer,
    clock: clockOfCertificates,
    names,
  });
  const { renewed } = await certificates.reconcile('leader');
  assert.ok(renewed);
  server.useCertificate(renewed);
  const { port } = await server.listen({ host: '127.0.0.1', port: options.port ?? 0 });
  t.after(() => stopReplica(cluster, server));
  const setRole = (next: Role): void => {
    role = next;
    for (const listener of roleListeners) listener();
  };
  return { server, port, address: `127.0.0.1:${port}`, setRole };
}

/** Connections that linger are cut by the clock of the test. */
export async function stopReplica(cluster: Cluster, server: NodeApiServer): Promise<void> {
  const closed = server.close();
  cluster.clock.jump(6000);
  await closed;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface RawCall {
  readonly verb: string;
  readonly path: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string;
}

/** A call as anybody could make it. */
export async function rawCall(cluster: Cluster, port: number, call: RawCall): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const request = httpsRequest({
    ...{ host: '127.0.0.1', port, servername: serverName, ca: cluster.authority.published, agent: false },
    method: call.verb,
    path: call.path,
    headers: { 'metaveil-protocol': '1-1', ...call.headers },
  });
  request.on('response', (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('end', () =>
      resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) as unknown }),
    );
  });
  request.on('error', reject);
  request.end(call.body);
  return promise;
}

/** Two nodes, each with one bound pod. */
export function twoNodes(): Cluster {
  const cluster = new Cluster();
  for (const [node, name] of [
    ['node-a', 'alpha'],
    ['node-b', 'beta'],
  ] as const) {
    const pod = workload(name, bindingView(name));
    cluster.workloads.add(node, pod);
    cluster.snapshots.set(node, settings(node), pod);
  }
  return cluster;
}

export interface ClientWorld {
  readonly client: NodeApiClient;
  readonly log: Lines;
  readonly saved: string[];
}

/** A proxy's client; stopped when the test ends. */
export function newClient(
  t: TestContext,
  cluster: Cluster,
  options: Partial<NodeApiClientOptions> & {
    readonly service: string;
    readonly token: string;
    readonly saved?: string;
  },
): ClientWorld {
  const saved: string[] = options.saved === undefined ? [] : [options.saved];
  const log = new Lines();
  const client = new NodeApiClient({
    serverName,
    clock: cluster.clock,
    log,
    random: () => 0.5,
    credentials: {
      token: () => Promise.resolve(options.token),
      caBundle: () => Promise.resolve(cluster.authority.published),
    },
    lastGood: {
      read: () => Promise.resolve(saved.at(-1)),
      write: (text) => {
        saved.push(text);
        return Promise.resolve();
      },
    },
    ...options,
  });
  t.after(() => client.stop());
  return { client, log, saved };
}
