/** Sets the emulated Google up as the files say it should be: pools, providers, and the grants people would have made. */
import type { WorkloadIdentityBinding } from '../../api/v1/index.ts';
import type { ClusterView } from '../../core/cluster/store.ts';
import { principalOf } from '../../core/identity/principal.ts';
import type { GoogleEmulator } from './emulator.ts';

export const workloadIdentityUser = 'roles/iam.workloadIdentityUser';

/** One grant that the embedded default takes as made. */
export interface AssumedGrant {
  readonly googleServiceAccount: string;
  readonly member: string;
}

/** Brings the emulator from `previous` to what the cluster asks for now; returns what to pass as `previous` next time. */
export function federate(
  emulator: GoogleEmulator,
  cluster: ClusterView,
  issuer: string,
  previous: readonly AssumedGrant[],
): readonly AssumedGrant[] {
  for (const { spec } of cluster.providers()) {
    if (spec.provider === undefined) continue;
    const audiences = spec.audience === undefined ? {} : { allowedAudiences: [spec.audience] };
    emulator.addProvider({ name: spec.provider, issuer, ...audiences });
  }
  const grants = cluster
    .bindings()
    .map((binding) => grantFor(binding, cluster))
    .filter((grant) => grant !== undefined);
  for (const { googleServiceAccount, member } of previous) {
    emulator.revoke(googleServiceAccount, workloadIdentityUser, member);
  }
  for (const { googleServiceAccount, member } of grants) {
    emulator.grant(googleServiceAccount, workloadIdentityUser, member);
  }
  return grants;
}

function grantFor({ metadata, spec }: WorkloadIdentityBinding, cluster: ClusterView): AssumedGrant | undefined {
  const provider = cluster.provider(spec.providerName);
  if (provider === undefined || spec.googleServiceAccount === undefined) return undefined;
  const member = principalOf(provider, metadata.namespace ?? '', spec.serviceAccountName);
  return member === undefined ? undefined : { googleServiceAccount: spec.googleServiceAccount, member };
}
