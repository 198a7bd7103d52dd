/** One node's snapshot out of the cluster: its settings, its live pods, and the policies these are under. */
import type { MetadataProxy } from '../../api/v1/index.ts';
import type { Hash } from '../brand.ts';
import { sameValue } from '../cluster/equal.ts';
import { isLive } from '../cluster/objects.ts';
import type { Pod } from '../cluster/objects.ts';
import type { ClusterView } from '../cluster/store.ts';
import type { IdentityRules } from '../identity/accept.ts';
import { identityOf } from '../identity/identity.ts';
import { resourceKey, snapshotOf, versioned } from './delta.ts';
import { owningProxy } from './ownership.ts';
import { policiesSelecting } from './policies.ts';
import type { EffectivePolicyOf } from './policies.ts';
import { nodeSettings } from './settings.ts';
import type { CompiledPolicy, NodeSnapshot, Resource, VersionedResource, Workload, WorkloadIdentity } from './types.ts';

export interface SnapshotOptions {
  readonly rules: IdentityRules;
  readonly effective: EffectivePolicyOf;
  readonly hash: Hash;
}

/**
 * Undefined for a node that does not exist or that no MetadataProxy owns. Resources equal to those of `previous` are
 * taken from there, which spares hashing them again.
 */
export function buildNodeSnapshot(
  cluster: ClusterView,
  nodeName: string,
  options: SnapshotOptions,
  previous?: NodeSnapshot,
): NodeSnapshot | undefined {
  const node = cluster.node(nodeName);
  if (node === undefined) return undefined;
  const proxy = owningProxy(node, cluster.proxies());
  if (proxy === undefined) return undefined;
  const reuse = (resource: Resource) => reuseOrHash(resource, previous, options.hash);
  const settings = reuse({ kind: 'settings', id: 'node', body: nodeSettings(node, proxy, cluster, options.hash) });
  const placed = placeWorkloads(cluster, nodeName, proxy, options);
  const workloads = placed.workloads.map((body) => reuse({ kind: 'workload', id: body.uid, body }));
  const policies = [...placed.policies].map((body) => reuse({ kind: 'policy', id: body.uid, body }));
  const next = snapshotOf([settings, ...policies, ...workloads], options.hash);
  return next.version === previous?.version ? previous : next;
}

interface PlacedWorkloads {
  readonly workloads: readonly Workload[];
  /** Only those that select a workload of this node: a node learns of no other. */
  readonly policies: ReadonlySet<CompiledPolicy>;
}

function placeWorkloads(
  cluster: ClusterView,
  nodeName: string,
  proxy: MetadataProxy,
  options: SnapshotOptions,
): PlacedWorkloads {
  const policies = new Set<CompiledPolicy>();
  const workloads = livePods(cluster, nodeName).map((pod) => {
    const { ownNamespace } = options.rules;
    const selecting = policiesSelecting(pod, cluster, { ownNamespace, effective: options.effective });
    for (const policy of selecting) policies.add(policy);
    return workloadOf(pod, cluster, { proxy, rules: options.rules, selecting });
  });
  return { workloads, policies };
}

/**
 * A pod whose namespace has not arrived yet waits: without the namespace's labels a policy that conceals could be
 * missed. To the proxy it is an unknown pod, and the request is held.
 */
function livePods(cluster: ClusterView, nodeName: string): readonly Pod[] {
  return cluster.podsOnNode(nodeName).filter((pod) => isLive(pod) && cluster.namespace(pod.namespace) !== undefined);
}

interface WorkloadContext {
  readonly proxy: MetadataProxy;
  readonly rules: IdentityRules;
  readonly selecting: readonly CompiledPolicy[];
}

function workloadOf(pod: Pod, cluster: ClusterView, { proxy, rules, selecting }: WorkloadContext): Workload {
  const { unboundWorkloads } = proxy.spec;
  return {
    uid: pod.uid,
    namespace: pod.namespace,
    name: pod.name,
    serviceAccount: serviceAccountOf(pod, cluster),
    hostNetwork: pod.hostNetwork,
    ips: pod.ips,
    identity: withoutLongLists(identityOf(pod, cluster, { ...rules, unboundWorkloads }).identity),
    policies: selecting.map(({ uid }) => uid),
  };
}

/** Characters of the audiences of a binding that its pods carry to their nodes, each of them. */
const mostAudienceText = 2_048;

/**
 * A long list of audiences stays at the controller, which checks every wish anyway: a hundred pods of one namespace
 * would make the snapshot of their node too large to be sent.
 */
function withoutLongLists(identity: WorkloadIdentity): WorkloadIdentity {
  if (identity.kind === 'unbound') return identity;
  const { idTokenAudiences = [], ...binding } = identity.binding;
  const length = idTokenAudiences.reduce((sum, audience) => sum + audience.length, 0);
  return length <= mostAudienceText ? identity : { kind: 'bound', binding };
}

/** uid '' while the ServiceAccount does not exist: such a pod is never bound. */
export function serviceAccountOf(pod: Pod, cluster: ClusterView): Workload['serviceAccount'] {
  const account = cluster.serviceAccount(pod.namespace, pod.serviceAccountName);
  return { name: pod.serviceAccountName, uid: account?.uid ?? ('' as Workload['serviceAccount']['uid']) };
}

function reuseOrHash(resource: Resource, previous: NodeSnapshot | undefined, hash: Hash): VersionedResource {
  const known = previous?.resources.get(resourceKey(resource));
  return known !== undefined && sameValue(known.resource, resource) ? known : versioned(resource, hash);
}
