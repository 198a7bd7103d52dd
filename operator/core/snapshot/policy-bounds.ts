/**
 * What the MetadataPolicies of one namespace may cost the nodes where its pods run. Whoever may make policies there must
 * not be able to make a node's snapshot too large to be sent, or each request there too slow, for everybody else's pods.
 */
import type { MetadataPolicy } from '../../api/v1/index.ts';
import type { ClusterView } from '../cluster/store.ts';

export const policyBounds = { policies: 32, patterns: 256 } as const;

/** The policies of a namespace that take effect: the oldest, as many as there is room for. */
export function countedPolicies(cluster: ClusterView, namespace: string): readonly MetadataPolicy[] {
  const policies = cluster.policies(namespace);
  if (fits(policies)) return policies;
  const sorted = byAge(policies);
  const excess = sorted.findIndex((_policy, index) => !fits(sorted.slice(0, index + 1)));
  return sorted.slice(0, excess);
}

/** Whether a policy takes effect, as far as its namespace's others let it. */
export function isCounted({ metadata }: MetadataPolicy, cluster: ClusterView): boolean {
  const counted = countedPolicies(cluster, metadata.namespace ?? '');
  return counted.some(({ metadata: { name } }) => name === metadata.name);
}

/** Policies that may begin or cease to count when another one of their namespace changes. */
export function uncertainPolicies(cluster: ClusterView, namespace: string): readonly MetadataPolicy[] {
  // One policy can make room for, or take it from, as many others as it has patterns.
  return byAge(cluster.policies(namespace)).slice(0, policyBounds.policies + mostPatterns);
}

/** Of one policy; its schema allows no more. */
const mostPatterns = 64;

function fits(policies: readonly MetadataPolicy[]): boolean {
  if (policies.length > policyBounds.policies) return false;
  return policies.reduce((sum, { spec }) => sum + (spec.conceal?.length ?? 0), 0) <= policyBounds.patterns;
}

/**
 * Oldest first, so that a new policy never ends the effect of one that is there. Of the same second, which is all that
 * the API server writes down, it is the name.
 */
function byAge(policies: readonly MetadataPolicy[]): readonly MetadataPolicy[] {
  const key = ({ metadata }: MetadataPolicy): string => `${metadata.creationTimestamp ?? ''} ${metadata.name}`;
  return [...policies].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
