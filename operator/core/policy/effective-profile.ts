import type { Profile } from '../../api/v1/index.ts';
import type { CompiledPolicy } from '../snapshot/types.ts';
import type { PolicyReference } from './decision.ts';
import { isStricter } from './profiles.ts';

export interface EffectiveProfile {
  readonly profile: Profile;
  readonly from: PolicyReference | 'MetadataProxy';
}

/**
 * The strictest of the base and of every MetadataPolicy; base is the strictest among the ClusterMetadataPolicies or,
 * if none has one, the MetadataProxy's default. So the platform team may loosen the default, a namespace may not.
 */
export function effectiveProfile(policies: readonly CompiledPolicy[], defaultProfile: Profile): EffectiveProfile {
  const base = strictest(policies, 'ClusterMetadataPolicy') ?? { profile: defaultProfile, from: 'MetadataProxy' };
  const tightened = strictest(policies, 'MetadataPolicy');
  return tightened !== undefined && isStricter(tightened.profile, base.profile) ? tightened : base;
}

function strictest(policies: readonly CompiledPolicy[], kind: CompiledPolicy['kind']): EffectiveProfile | undefined {
  let found: EffectiveProfile | undefined;
  for (const policy of policies) {
    if (policy.kind !== kind || policy.profile === undefined) continue;
    if (found !== undefined && !isStricter(policy.profile, found.profile)) continue;
    found = { profile: policy.profile, from: referenceTo(policy) };
  }
  return found;
}

export function referenceTo({ kind, namespace, name }: CompiledPolicy): PolicyReference {
  return { kind, namespace, name };
}
