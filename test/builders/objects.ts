/** Objects for tests: valid and complete by default, each test states only what matters to it. */
import type {
  ClusterMetadataPolicy,
  Condition,
  MetadataPolicy,
  MetadataProxy,
  ObjectMeta,
  WorkloadIdentityBinding,
  WorkloadIdentityProvider,
} from '../../operator/api/v1/index.ts';
import type { NodeUid, PodUid, ServiceAccountUid } from '../../operator/core/brand.ts';
import { storeKinds } from '../../operator/core/cluster/kinds.ts';
import type { StoredObject } from '../../operator/core/cluster/kinds.ts';
import type { Namespace, NetworkPolicy, Node, Pod, ServiceAccount } from '../../operator/core/cluster/objects.ts';
import { ClusterStore } from '../../operator/core/cluster/store.ts';

const born = '2026-01-01T00:00:00Z';

type Overrides<T> = Omit<Partial<T>, 'kind' | 'uid'> & { readonly uid?: string };

export function pod(overrides: Overrides<Pod> = {}): Pod {
  const { namespace = 'web', name = 'api-0', uid = `pod-${namespace}-${name}`, ...rest } = overrides;
  return {
    kind: 'Pod',
    uid: uid as PodUid,
    namespace,
    name,
    labels: {},
    serviceAccountName: 'api',
    nodeName: 'node-a',
    hostNetwork: false,
    phase: 'Running',
    ips: ['10.0.0.7'],
    hostIP: '192.0.2.1',
    deleting: false,
    ready: true,
    ownerUid: '',
    ownerKind: '',
    configHash: '',
    creationTimestamp: born,
    ...rest,
  };
}

export function serviceAccount(overrides: Overrides<ServiceAccount> = {}): ServiceAccount {
  const { namespace = 'web', name = 'api', uid = `sa-${namespace}-${name}`, ...rest } = overrides;
  return { kind: 'ServiceAccount', uid: uid as ServiceAccountUid, namespace, name, gkeServiceAccount: '', ...rest };
}

export function namespace(name = 'web', labels: Readonly<Record<string, string>> = {}): Namespace {
  return { kind: 'Namespace', uid: `ns-${name}`, name, labels: { 'kubernetes.io/metadata.name': name, ...labels } };
}

export function node(overrides: Overrides<Node> = {}): Node {
  const { name = 'node-a', uid = `node-uid-${name}`, labels = {}, ...rest } = overrides;
  return {
    kind: 'Node',
    uid: uid as NodeUid,
    name,
    labels: { 'kubernetes.io/os': 'linux', ...labels },
    providerID: '',
    internalIPs: ['192.0.2.1'],
    ready: true,
    unschedulable: false,
    taints: [],
    creationTimestamp: born,
    ...rest,
  };
}

export function networkPolicy(overrides: Overrides<NetworkPolicy> = {}): NetworkPolicy {
  const { namespace = 'web', name = 'deny', uid = `np-${namespace}-${name}`, ...rest } = overrides;
  return {
    kind: 'NetworkPolicy',
    uid,
    namespace,
    name,
    labels: {},
    podSelector: {},
    policyTypes: ['Egress'],
    egress: [],
    ...rest,
  };
}

interface Custom<S, T> {
  readonly namespace?: string;
  readonly name?: string;
  readonly metadata?: Partial<ObjectMeta>;
  readonly spec?: Partial<S>;
  readonly status?: T;
}

function metaOf(overrides: Custom<unknown, unknown>, kind: string, named: ObjectMeta): ObjectMeta {
  const identity = { uid: `${kind}-${named.namespace ?? ''}-${named.name}`, generation: 1, creationTimestamp: born };
  return { ...identity, ...named, ...overrides.metadata };
}

function statusOf<T>(overrides: Custom<unknown, T>) {
  return overrides.status === undefined ? {} : { status: overrides.status };
}

type Binding = WorkloadIdentityBinding;

export function binding(overrides: Custom<Binding['spec'], NonNullable<Binding['status']>> = {}): Binding {
  const { namespace = 'web', name = 'api', spec = {} } = overrides;
  return {
    apiVersion: 'metaveil.dev/v1',
    kind: 'WorkloadIdentityBinding',
    metadata: metaOf(overrides, 'wib', { namespace, name }),
    spec: {
      serviceAccountName: name,
      access: 'Impersonate',
      ...(spec.access !== 'Direct' && { googleServiceAccount: 'api@my-project.iam.gserviceaccount.com' }),
      providerName: 'default',
      tokenLifetimeSeconds: 3600,
      suspend: false,
      ...spec,
    },
    ...statusOf(overrides),
  };
}

export const poolProvider = 'projects/123456789012/locations/global/workloadIdentityPools/prod/providers/cluster-1';

type Provider = WorkloadIdentityProvider;

export function provider(overrides: Custom<Provider['spec'], NonNullable<Provider['status']>> = {}): Provider {
  const { name = 'default', spec = {} } = overrides;
  return {
    apiVersion: 'metaveil.dev/v1',
    kind: 'WorkloadIdentityProvider',
    metadata: metaOf(overrides, 'wip', { name }),
    spec: {
      type: 'WorkloadIdentityFederation',
      provider: poolProvider,
      universeDomain: 'googleapis.com',
      adoptAnnotations: false,
      ...spec,
    },
    ...statusOf(overrides),
  };
}

export function gkeProvider(name = 'default', spec: Partial<Provider['spec']> = {}): Provider {
  const gkeCluster = 'projects/my-project/locations/europe-west4/clusters/prod';
  const gke = { type: 'GKE', gkeWorkloadPool: 'my-project.svc.id.goog', gkeCluster } as const;
  const federation = provider({ name });
  return { ...federation, spec: { ...gke, universeDomain: 'googleapis.com', adoptAnnotations: false, ...spec } };
}

export function metadataPolicy(
  overrides: Custom<MetadataPolicy['spec'], NonNullable<MetadataPolicy['status']>> = {},
): MetadataPolicy {
  const { namespace = 'web', name = 'tight', spec = {} } = overrides;
  return {
    apiVersion: 'metaveil.dev/v1',
    kind: 'MetadataPolicy',
    metadata: metaOf(overrides, 'mdp', { namespace, name }),
    spec: { mode: 'Enforce', directEgress: 'Deny', ...spec },
    ...statusOf(overrides),
  };
}

export function clusterMetadataPolicy(
  overrides: Custom<ClusterMetadataPolicy['spec'], NonNullable<ClusterMetadataPolicy['status']>> = {},
): ClusterMetadataPolicy {
  const { name = 'platform', spec = {} } = overrides;
  return {
    apiVersion: 'metaveil.dev/v1',
    kind: 'ClusterMetadataPolicy',
    metadata: metaOf(overrides, 'cmdp', { name }),
    spec: { mode: 'Enforce', directEgress: 'Deny', ...spec },
    ...statusOf(overrides),
  };
}

export function metadataProxy(
  overrides: Custom<MetadataProxy['spec'], NonNullable<MetadataProxy['status']>> = {},
): MetadataProxy {
  const { name = 'default', spec = {} } = overrides;
  return {
    apiVersion: 'metaveil.dev/v1',
    kind: 'MetadataProxy',
    metadata: metaOf(overrides, 'mdproxy', { name }),
    spec: {
      mode: 'Enforce',
      defaultProfile: 'Baseline',
      unboundWorkloads: 'Deny',
      hostNetworkWorkloads: 'Identify',
      platform: 'Auto',
      interception: 'NFTables',
      removeStartupTaint: false,
      workload: 'DaemonSet',
      imagePullPolicy: 'IfNotPresent',
      priorityClassName: 'system-node-critical',
      maxUnavailable: '1',
      ...spec,
    },
    ...statusOf(overrides),
  };
}

export function condition(overrides: Pick<Condition, 'type' | 'status' | 'reason'> & Partial<Condition>): Condition {
  return { message: 'As it is.', lastTransitionTime: born, observedGeneration: 1, ...overrides };
}

/** A store in which every kind has been listed, holding `objects`. */
export function storeOf(...objects: readonly StoredObject[]): ClusterStore {
  const store = new ClusterStore();
  for (const kind of storeKinds) store.replace(kind, []);
  for (const object of objects) store.upsert(object);
  return store;
}
