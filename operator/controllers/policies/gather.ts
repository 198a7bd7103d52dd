/** Everything a plan for one policy depends on, as one frozen value. */
import type { PolicyUid } from '../../core/brand.ts';
import { isLive } from '../../core/cluster/objects.ts';
import type { Namespace, NetworkPolicy, Pod } from '../../core/cluster/objects.ts';
import type { ClusterView } from '../../core/cluster/store.ts';
import { blockedAddresses } from '../../core/egress/addresses.ts';
import type { BlockedAddresses } from '../../core/egress/addresses.ts';
import type { DenyKind, EgressNamespace, EgressQuestion, EgressScope } from '../../core/egress/plan.ts';
import { selectionOf } from '../../core/egress/selection.ts';
import type { Requirement, Selection } from '../../core/egress/selection.ts';
import { fieldManager, ownedLabels } from '../../core/names.ts';
import { compilePolicy } from '../../core/policy/compile.ts';
import type { CompilationOutcome } from '../../core/policy/compile.ts';
import { owningProxy } from '../../core/snapshot/ownership.ts';
import { isCounted } from '../../core/snapshot/policy-bounds.ts';
import { namespaceLabels, selectsPod } from '../../core/snapshot/policies.ts';
import type { AnyPolicy, EffectivePolicyOf } from '../../core/snapshot/policies.ts';
import { platformOf, platformOfNode } from '../../core/snapshot/settings.ts';
import type { Platform } from '../../core/snapshot/types.ts';
import type { Programming, ProgrammingState } from '../ports.ts';
import type { NetworkPolicyKinds } from './ports.ts';

export interface PolicyContext {
  readonly cluster: ClusterView;
  readonly programming: Programming;
  readonly effective: EffectivePolicyOf;
  readonly ownNamespace: string;
}

export interface PolicySituation {
  readonly policy: AnyPolicy;
  readonly compilation: CompilationOutcome;
  /** Whether the policies of its namespace leave it room. */
  readonly isCounted: boolean;
  /**
   * The last version that compiled: a policy is rejected whole, its selectors too. Undefined if none ever did, or if
   * the policy does not count.
   */
  readonly inForce: AnyPolicy | undefined;
  readonly programming: ProgrammingState;
  /** Live pods that the version in force selects. */
  readonly workloads: number;
  /** Undefined unless the version in force denies direct egress. */
  readonly egress: EgressQuestion | undefined;
}

export function gatherPolicy(policy: AnyPolicy, kinds: NetworkPolicyKinds, context: PolicyContext): PolicySituation {
  const uid = (policy.metadata.uid ?? '') as PolicyUid;
  const counts = policy.kind === 'ClusterMetadataPolicy' || isCounted(policy, context.cluster);
  const inForce = counts ? context.effective(policy)?.object : undefined;
  return {
    policy,
    isCounted: counts,
    compilation: compilePolicy(policy),
    inForce,
    programming: context.programming.programming(uid, policy.metadata.generation ?? 0),
    workloads: inForce === undefined ? 0 : selectedPods(inForce, context).length,
    egress: inForce !== undefined && asks(inForce, 'Deny') ? egressQuestion(inForce, kinds, context) : undefined,
  };
}

/** Audit only records: it neither blocks nor excepts anything. */
function asks({ spec }: AnyPolicy, directEgress: 'Deny' | 'Allow'): boolean {
  return spec.mode === 'Enforce' && spec.directEgress === directEgress;
}

function selectedPods(policy: AnyPolicy, context: PolicyContext): readonly Pod[] {
  return podsInScope(policy, context).filter((pod) => selectsPod(policy, pod, context.cluster));
}

function podsInScope(policy: AnyPolicy, { cluster, ownNamespace }: PolicyContext): readonly Pod[] {
  const { namespace } = policy.metadata;
  const pods = policy.kind === 'MetadataPolicy' ? cluster.podsInNamespace(namespace ?? '') : cluster.pods();
  return pods.filter((pod) => isLive(pod) && pod.namespace !== ownNamespace);
}

function egressQuestion(policy: AnyPolicy, kinds: NetworkPolicyKinds, context: PolicyContext): EgressQuestion {
  const { cluster, ownNamespace } = context;
  const exceptions = cluster
    .clusterPolicies()
    .map((each) => context.effective(each)?.object)
    .filter((each) => each !== undefined)
    .filter((each) => asks(each, 'Allow'));
  const preferred = denyPreference.find((kind) => kinds.denyKinds.includes(kind));
  return {
    scope: scopeOf(policy, ownNamespace),
    exceptions: exceptions.map((exception) => scopeOf(exception, ownNamespace)),
    namespaces: namespacesInScope(policy, context).map((namespace) => egressNamespace(namespace, cluster)),
    capabilities: {
      ...(preferred === undefined ? {} : { denyKind: preferred }),
      cilium: kinds.cilium,
      redirectsInKernel: cluster.proxies().some(({ spec }) => spec.interception === 'NFTables'),
    },
    blocked: blockedInCluster(cluster),
  };
}

/** The standard before the vendors' own. */
const denyPreference: readonly DenyKind[] = [
  'ClusterNetworkPolicy',
  'CiliumClusterwideNetworkPolicy',
  'GlobalNetworkPolicy',
];

const nameLabel = 'kubernetes.io/metadata.name';

function scopeOf(policy: AnyPolicy, ownNamespace: string): EgressScope {
  return { namespaces: namespaceSelection(policy, ownNamespace), pods: selectionOf(policy.spec.podSelector) };
}

function namespaceSelection(policy: AnyPolicy, ownNamespace: string): Selection {
  const asked =
    policy.kind === 'MetadataPolicy'
      ? [named('In', policy.metadata.namespace ?? '')]
      : selectionOf(policy.spec.namespaceSelector);
  return [...asked, named('NotIn', ownNamespace)];
}

function named(operator: Requirement['operator'], namespace: string): Requirement {
  return { key: nameLabel, operator, values: [namespace] };
}

function namespacesInScope(policy: AnyPolicy, { cluster, ownNamespace }: PolicyContext): readonly Namespace[] {
  const all = cluster.namespaces().filter(({ name, deleting }) => name !== ownNamespace && deleting !== true);
  return policy.kind === 'MetadataPolicy' ? all.filter(({ name }) => name === policy.metadata.namespace) : all;
}

function egressNamespace({ name }: Namespace, cluster: ClusterView): EgressNamespace {
  const pods = cluster.podsInNamespace(name).filter(isLive);
  return {
    name,
    labels: namespaceLabels(cluster, name),
    pods: pods.map(({ name: pod, labels, hostNetwork }) => ({ name: pod, labels, hostNetwork })),
    networkPolicies: cluster.networkPolicies(name).filter((policy) => !isOurs(policy)),
  };
}

/** Made by a policy controller: ours never isolate a pod that somebody else's policy isolates, so they are no part of the question. */
export function isOurs({ labels }: NetworkPolicy): boolean {
  return labels[ownedLabels.managedBy] === fieldManager && labels[ownedLabels.ownerKind] !== undefined;
}

/**
 * What has to be blocked on the platforms of the cluster's nodes: those the MetadataProxies say, and those the nodes
 * say themselves. GCE's where there is no node yet.
 */
function blockedInCluster(cluster: ClusterView): BlockedAddresses {
  const platforms = cluster.nodes().flatMap((node): readonly Platform[] => {
    const proxy = owningProxy(node, cluster.proxies());
    return [platformOfNode(node), ...(proxy === undefined ? [] : [platformOf(proxy, node)])];
  });
  return blockedAddresses(new Set(platforms.length === 0 ? ['None'] : platforms));
}
