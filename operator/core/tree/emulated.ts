import type { ServiceAccountSource } from '../policy/decision.ts';
import type { BindingView, EmulatedInstance } from '../snapshot/types.ts';
import { defaultScopes } from '../token/grants.ts';
import { directory, isSpellable, list, number, text, type DirectoryNode } from './node.ts';

/** All of /computeMetadata/v1/ for one workload. */
export function emulatedTree(instance: EmulatedInstance, account: ServiceAccountSource): DirectoryNode {
  return directory({
    instance: directory({
      attributes: attributesTree(instance),
      hostname: text(instance.hostname),
      id: number(instance.instanceId),
      name: text(instance.instanceName),
      'service-accounts': serviceAccountsTree(account),
      zone: text(zoneOf(instance)),
    }),
    project: directory({
      attributes: directory({}, 'verbatim'),
      'numeric-project-id': number(instance.numericProjectId),
      'project-id': text(instance.projectId),
    }),
    universe: directory({ 'universe-domain': text(instance.universeDomain) }),
  });
}

/** Clients take the last segment as the zone; Google has the project's number in the second. */
function zoneOf({ zone, numericProjectId, projectId }: EmulatedInstance): string | undefined {
  const project = numericProjectId ?? projectId;
  return zone === undefined || project === undefined ? undefined : `projects/${project}/zones/${zone}`;
}

function attributesTree(instance: EmulatedInstance): DirectoryNode {
  const custom = Object.entries(instance.attributes).filter(([key]) => isSpellable(key));
  const cluster = Object.entries({
    'cluster-location': instance.clusterLocation,
    'cluster-name': instance.clusterName,
    'cluster-uid': instance.clusterUid,
  }).filter(([, value]) => value !== undefined);
  return directory(Object.fromEntries([...custom, ...cluster].map(([key, value]) => [key, text(value)])), 'verbatim');
}

/**
 * instance/service-accounts/ of one workload: also what replaces the node's own below a real upstream. Empty for
 * `node`, whose account only the real server has, and for `absent`.
 */
export function serviceAccountsTree(account: ServiceAccountSource): DirectoryNode {
  if (account.kind === 'absent') return { ...directory({}, 'verbatim'), unbound: account.reason };
  if (account.kind === 'node') return directory({}, 'verbatim');
  const tree = accountTree(account.binding);
  return directory({ default: tree, [account.binding.email]: tree }, 'verbatim');
}

/** Python asks for exactly the scopes that stand here, so they must be ones the binding grants. */
function accountTree(binding: BindingView): DirectoryNode {
  return directory({
    aliases: list(['default']),
    email: text(binding.email),
    identity: { kind: 'dynamic', leaf: 'identity' },
    scopes: list(defaultScopes(binding)),
    token: { kind: 'dynamic', leaf: 'token' },
  });
}
