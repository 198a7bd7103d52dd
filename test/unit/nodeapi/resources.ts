/** Snapshots for tests of the node API: what matters to a test is named, the rest is valid. */
import { createHash } from 'node:crypto';
import type {
  BindingUid,
  ContentHash,
  NodeUid,
  PodUid,
  PolicyUid,
  ServiceAccountUid,
} from '../../../operator/core/brand.ts';
import { snapshotOf, versioned } from '../../../operator/core/snapshot/delta.ts';
import type {
  BindingView,
  CompiledPolicy,
  NodeSettings,
  NodeSnapshot,
  Resource,
  Workload,
} from '../../../operator/core/snapshot/types.ts';

export const hash = (text: string): ContentHash =>
  createHash('sha256').update(text).digest('hex').slice(0, 32) as ContentHash;

export function settings(nodeName: string, overrides: Partial<NodeSettings> = {}): Resource {
  const body: NodeSettings = {
    nodeName,
    nodeUid: `uid-of-${nodeName}` as NodeUid,
    proxyName: 'default',
    mode: 'Enforce',
    defaultProfile: 'Baseline',
    unboundWorkloads: 'Deny',
    hostNetworkWorkloads: 'Identify',
    platform: 'GCE',
    emulated: {
      projectId: 'my-project',
      instanceId: '4520031799277581759',
      instanceName: nodeName,
      hostname: `${nodeName}.internal`,
      universeDomain: 'googleapis.com',
      attributes: { 'cluster-name': 'prod' },
    },
    ...overrides,
  };
  return { kind: 'settings', id: 'node', body };
}

export function bindingView(name: string, overrides: Partial<BindingView> = {}): BindingView {
  return {
    uid: `binding-${name}` as BindingUid,
    name,
    generation: 1,
    epoch: '',
    access: 'Impersonate',
    email: `${name}@my-project.iam.gserviceaccount.com`,
    tokenLifetimeSeconds: 3600,
    ...overrides,
  };
}

export function workload(name: string, binding?: BindingView): Resource {
  const uid = `pod-${name}` as PodUid;
  const body: Workload = {
    uid,
    namespace: 'web',
    name,
    serviceAccount: { name: binding?.name ?? name, uid: `sa-${binding?.name ?? name}` as ServiceAccountUid },
    hostNetwork: false,
    ips: ['10.0.0.7'],
    identity: binding === undefined ? { kind: 'unbound', reason: 'no-binding' } : { kind: 'bound', binding },
    policies: [],
  };
  return { kind: 'workload', id: uid, body };
}

export function policy(name: string, overrides: Partial<CompiledPolicy> = {}): Resource {
  const uid = `policy-${name}` as PolicyUid;
  const body: CompiledPolicy = {
    uid,
    kind: 'MetadataPolicy',
    namespace: 'web',
    name,
    generation: 1,
    mode: 'Enforce',
    conceal: [{ source: 'instance/id', segments: [{ kind: 'literal', text: 'instance' }], subtree: false }],
    reveal: [],
    ...overrides,
  };
  return { kind: 'policy', id: uid, body };
}

export function snapshot(...resources: readonly Resource[]): NodeSnapshot {
  return snapshotOf(
    resources.map((resource) => versioned(resource, hash)),
    hash,
  );
}
