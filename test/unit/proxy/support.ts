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
import type { Timers } from '../../../operator/core/time.ts';
import type { TokenOutcome, TokenWish } from '../../../operator/core/token/types.ts';
import type { SnapshotSource, TokenSource } from '../../../operator/proxy/ports.ts';

/** Lets everything run that is ready, without time passing. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 5; round += 1) await new Promise((resolve) => setImmediate(resolve));
}

interface Task {
  readonly at: number;
  readonly run: () => void;
}

/** Time moves only when the test says so. */
export class FakeTimers implements Timers {
  #now = Date.UTC(2026, 10, 21);
  readonly #tasks = new Set<Task>();
  /** How many times something asked to be woken. */
  scheduled = 0;

  now(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const task = { at: this.#now + delayMs, run };
    this.#tasks.add(task);
    this.scheduled += 1;
    return () => void this.#tasks.delete(task);
  }

  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (let task = this.#next(end); task !== undefined; task = this.#next(end)) {
      this.#now = task.at;
      this.#tasks.delete(task);
      task.run();
      await settle();
    }
    this.#now = end;
  }

  #next(end: number): Task | undefined {
    return [...this.#tasks].filter((task) => task.at <= end).sort((one, other) => one.at - other.at)[0];
  }
}

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
