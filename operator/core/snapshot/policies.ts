/** Which policies select a pod, and which version of each is in effect. */
import type { ClusterMetadataPolicy, MetadataPolicy } from '../../api/v1/index.ts';
import type { PolicyUid } from '../brand.ts';
import type { Namespace, Pod } from '../cluster/objects.ts';
import type { ClusterView } from '../cluster/store.ts';
import { countedPolicies } from './policy-bounds.ts';
import { matchesSelector } from '../selector/selector.ts';
import type { Labels } from '../selector/selector.ts';
import type { CompiledPolicy } from './types.ts';

export type AnyPolicy = MetadataPolicy | ClusterMetadataPolicy;

/** A policy that compiled, with the object it was compiled from: its selectors belong to the same version. */
export interface EffectivePolicy {
  readonly object: AnyPolicy;
  readonly compiled: CompiledPolicy;
}

/** Undefined for a policy that does not compile and never did. */
export type EffectivePolicyOf = (policy: AnyPolicy) => EffectivePolicy | undefined;

export type Compile = (
  policy: AnyPolicy,
) => { readonly kind: 'compiled'; readonly policy: CompiledPolicy } | { readonly kind: 'rejected' };

/** Compiles each version once and keeps the last good one of each policy for when a later one does not compile. */
export class LastGoodPolicies {
  readonly #compile: Compile;
  readonly #lastGood = new Map<string, EffectivePolicy>();
  readonly #seen = new WeakMap<AnyPolicy, EffectivePolicy | undefined>();

  constructor(compile: Compile) {
    this.#compile = compile;
  }

  effective(policy: AnyPolicy): EffectivePolicy | undefined {
    if (!this.#seen.has(policy)) this.#seen.set(policy, this.#next(policy));
    return this.#seen.get(policy);
  }

  /** Compiles what comes and forgets what goes, so that the last good version is known before it is needed. */
  follow(cluster: ClusterView): () => void {
    for (const policy of cluster.list('MetadataPolicy')) this.effective(policy);
    for (const policy of cluster.clusterPolicies()) this.effective(policy);
    return cluster.onChange((change) => {
      if (change.kind !== 'MetadataPolicy' && change.kind !== 'ClusterMetadataPolicy') return;
      if (change.current !== undefined) this.effective(change.current);
      else if (change.previous !== undefined) this.#lastGood.delete(identityOfPolicy(change.previous));
    });
  }

  #next(policy: AnyPolicy): EffectivePolicy | undefined {
    const key = identityOfPolicy(policy);
    const known = this.#lastGood.get(key);
    // A status update brings a new object of the same generation; keeping the old one keeps what hangs on it.
    if (known !== undefined && sameGeneration(known.object, policy)) return known;
    const outcome = this.#compile(policy);
    if (outcome.kind === 'rejected') return known;
    const effective = { object: policy, compiled: outcome.policy };
    this.#lastGood.set(key, effective);
    return effective;
  }
}

/** Objects of files have no generation, so nothing is known to be the same. */
function sameGeneration(a: AnyPolicy, b: AnyPolicy): boolean {
  return a.metadata.generation !== undefined && a.metadata.generation === b.metadata.generation;
}

function identityOfPolicy({ kind, metadata }: AnyPolicy): string {
  return `${kind}/${metadata.namespace ?? ''}/${metadata.name}/${metadata.uid ?? ''}`;
}

const labelsOf = new WeakMap<Namespace, Labels>();

/** Labels of a namespace; its name is always among them, as the API server sees to. */
export function namespaceLabels(cluster: ClusterView, name: string): Labels {
  const namespace = cluster.namespace(name);
  if (namespace === undefined) return { 'kubernetes.io/metadata.name': name };
  const labels = labelsOf.get(namespace) ?? { ...namespace.labels, 'kubernetes.io/metadata.name': name };
  labelsOf.set(namespace, labels);
  return labels;
}

export interface SelectionRules {
  readonly ownNamespace: string;
  readonly effective: EffectivePolicyOf;
}

/** Policies that select the pod, sorted by uid. Nothing selects pods of our own namespace. */
export function policiesSelecting(pod: Pod, cluster: ClusterView, rules: SelectionRules): readonly CompiledPolicy[] {
  if (pod.namespace === rules.ownNamespace) return [];
  const candidates = [...countedPolicies(cluster, pod.namespace), ...cluster.clusterPolicies()];
  return candidates
    .map(rules.effective)
    .filter((policy) => policy !== undefined)
    .filter(({ object }) => selectsPod(object, pod, cluster))
    .map(({ compiled }) => compiled)
    .sort((a, b) => compareUids(a.uid, b.uid));
}

/** Whether the selectors of a policy select the pod; of a MetadataPolicy only in its own namespace. */
export function selectsPod(policy: AnyPolicy, pod: Pod, cluster: ClusterView): boolean {
  if (!matchesSelector(policy.spec.podSelector, pod.labels)) return false;
  if (policy.kind === 'MetadataPolicy') return policy.metadata.namespace === pod.namespace;
  const { namespaceSelector } = policy.spec;
  return namespaceSelector === undefined || matchesSelector(namespaceSelector, namespaceLabels(cluster, pod.namespace));
}

function compareUids(a: PolicyUid, b: PolicyUid): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
