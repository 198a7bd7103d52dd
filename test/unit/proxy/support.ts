/** A node in memory for the proxy's tests: its snapshot, its controller and its clock. */
import type { BindingUid, ContentHash, NodeUid, PodUid, ServiceAccountUid } from '../../../operator/core/brand.ts';
import type {
  BindingView,
  CompiledPolicy,
  NodeSettings,
  NodeSnapshot,
  Resource,
  ResourceKey,
  Workload,
} from '../../../operator/core/snapshot/types.ts';
import type { TokenOutcome, TokenWish } from '../../../operator/core/token/types.ts';
import type { SnapshotSource, TokenSource } from '../../../operator/proxy/ports.ts';

export interface TokenCall {
  readonly workload: PodUid;
  readonly wish: TokenWish;
  readonly signal: AbortSignal;
  answer(outcome: TokenOutcome): void;
  fail(error: Error): void;
}

/** A controller that answers at once with `policy`, or when the test answers the call by hand. */
export class FakeTokenSource implements TokenSource {
  readonly calls: TokenCall[] = [];
  /** What to answer at once; undefined leaves the call open. */
  policy: ((workload: PodUid, wish: TokenWish) => TokenOutcome | undefined) | undefined;

  request(workload: PodUid, wish: TokenWish, signal: AbortSignal): Promise<TokenOutcome> {
    const { promise, resolve, reject } = Promise.withResolvers<TokenOutcome>();
    this.calls.push({ workload, wish, signal, answer: resolve, fail: reject });
    const outcome = this.policy?.(workload, wish);
    if (outcome !== undefined) resolve(outcome);
    return promise;
  }
}

export function issued(token: string, expiresAt: number): TokenOutcome {
  return { kind: 'issued', issued: { token, expiresAt } };
}

/** The snapshot of the node, replaced by the test. */
export class FakeSnapshots implements SnapshotSource {
  #snapshot: NodeSnapshot | undefined;
  #version = 0;
  readonly #listeners = new Set<() => void>();

  current(): NodeSnapshot | undefined {
    return this.#snapshot;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  set(content: {
    settings?: NodeSettings;
    workloads?: readonly Workload[];
    policies?: readonly CompiledPolicy[];
  }): void {
    const resources: Resource[] = [
      { kind: 'settings', id: 'node', body: content.settings ?? nodeSettings() },
      ...(content.workloads ?? []).map((body) => ({ kind: 'workload' as const, id: body.uid, body })),
      ...(content.policies ?? []).map((body) => ({ kind: 'policy' as const, id: body.uid, body })),
    ];
    this.#version += 1;
    const version = `v${this.#version}` as ContentHash;
    const keyed = resources.map((resource) => [`${resource.kind}/${resource.id}`, resource] as [ResourceKey, Resource]);
    this.#snapshot = {
      version,
      resources: new Map(keyed.map(([key, resource]) => [key, { key, hash: version, resource }])),
    };
    for (const listener of [...this.#listeners]) listener();
  }
}

export function nodeSettings(overrides: Partial<NodeSettings> = {}): NodeSettings {
  return {
    nodeName: 'node-1',
    nodeUid: 'node-uid' as NodeUid,
    proxyName: 'default',
    mode: 'Enforce',
    defaultProfile: 'Baseline',
    unboundWorkloads: 'Deny',
    hostNetworkWorkloads: 'Identify',
    platform: 'None',
    emulated: {
      projectId: 'test-project',
      numericProjectId: '123456789012',
      zone: 'europe-west4-a',
      instanceId: '9007199254740993123',
      instanceName: 'node-1',
      hostname: 'node-1.c.test-project.internal',
      clusterName: 'cluster',
      clusterLocation: 'europe-west4',
      clusterUid: 'cluster-uid',
      universeDomain: 'googleapis.com',
      attributes: { 'kube-env': 'SECRET: 1' },
    },
    ...overrides,
  };
}

export function binding(name: string, overrides: Partial<BindingView> = {}): BindingView {
  return {
    uid: `binding-${name}` as BindingUid,
    name,
    generation: 1,
    epoch: '',
    access: 'Impersonate',
    email: `${name}@test-project.iam.gserviceaccount.com`,
    tokenLifetimeSeconds: 3600,
    ...overrides,
  };
}

/** A pod of ServiceAccount `account` in namespace `team`. */
export function workload(name: string, ip: string, identity: BindingView | undefined, account = name): Workload {
  return {
    uid: `pod-${name}` as PodUid,
    namespace: 'team',
    name,
    serviceAccount: { name: account, uid: `sa-${account}` as ServiceAccountUid },
    hostNetwork: false,
    ips: ip === '' ? [] : [ip],
    identity: identity === undefined ? { kind: 'unbound', reason: 'no-binding' } : { kind: 'bound', binding: identity },
    policies: [],
  };
}
