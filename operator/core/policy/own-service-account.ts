import type { Profile } from '../../api/v1/index.ts';
import type { WorkloadIdentity } from '../snapshot/types.ts';
import type { CanonicalPath, PolicySubject, ServiceAccountSource } from './decision.ts';
import { isServiceAccountPath, type PolicyPath } from './match.ts';

/**
 * Whose account a workload under `profile` sees below instance/service-accounts/. Only a pod that nobody bound can
 * get the node's: one whose binding is suspended or broken must not fall back to an identity with other rights.
 */
export function accountUnder(profile: Profile, { workload, settings }: PolicySubject): ServiceAccountSource {
  const { identity } = workload;
  if (identity.kind === 'bound' && identity.binding.name !== '') return { kind: 'binding', binding: identity.binding };
  if (profile === 'Privileged' && settings.platform === 'GCE' && isUnclaimed(identity)) return { kind: 'node' };
  if (identity.kind === 'unbound') return { kind: 'absent', reason: identity.reason };
  return settings.unboundWorkloads === 'FederatedIdentity'
    ? { kind: 'federated', binding: identity.binding }
    : { kind: 'absent', reason: 'no-binding' };
}

function isUnclaimed(identity: WorkloadIdentity): boolean {
  return identity.kind === 'bound' || (identity.reason !== 'suspended' && identity.reason !== 'not-accepted');
}

/** The path with the e-mail of the workload's account replaced by `default`; permits carry it in this form. */
export function withoutAlias(path: CanonicalPath, account: ServiceAccountSource): CanonicalPath {
  const [, , name, ...rest] = path;
  if (!isServiceAccountPath(path) || name === undefined || name !== emailOf(account)) return path;
  return ['instance', 'service-accounts', 'default', ...rest];
}

/**
 * The path with all names of the account in it, so that a policy on one name holds for the others. Only a binding's
 * names are taken as known: an unbound pod may get the node's account under one profile and a federated one under a
 * stricter, and what hid the first must hide the second.
 */
export function policyPath(path: CanonicalPath, account: ServiceAccountSource): PolicyPath {
  const segments = withoutAlias(path, account);
  const name = segments[2];
  if (!isServiceAccountPath(segments) || name === undefined) return { segments, accounts: [] };
  if (account.kind !== 'binding') return { segments, accounts: 'any' };
  return { segments, accounts: name === 'default' ? [name, account.binding.email] : [name] };
}

function emailOf(account: ServiceAccountSource): string | undefined {
  return account.kind === 'binding' || account.kind === 'federated' ? account.binding.email : undefined;
}
