/** Whose identity a change in the cluster can alter, so that cached tokens can be dropped at once. */
import type { WorkloadIdentityBinding } from '../../api/v1/index.ts';
import type { BindingUid } from '../../core/brand.ts';
import { keyOf } from '../../core/cluster/kinds.ts';
import type { ServiceAccount } from '../../core/cluster/objects.ts';
import type { ClusterView, StoreChange } from '../../core/cluster/store.ts';
import { adoptedUid, bindingUid, defaultProviderName, federatedUid } from '../../core/identity/view.ts';

/** Keys (`namespace/name`) of ServiceAccounts. Status updates are to be left out before. */
export function accountsConcerned(change: StoreChange, cluster: ClusterView): Iterable<string> {
  switch (change.kind) {
    case 'WorkloadIdentityBinding':
    case 'ServiceAccount':
      return [change.key];
    case 'Namespace':
      return cluster.serviceAccountsInNamespace(change.key).map(keyOf);
    case 'WorkloadIdentityProvider':
      return change.key === defaultProviderName ? everyAccount(cluster) : bindingsOf(change.key, cluster);
    case 'MetadataProxy':
      return everyAccount(cluster);
    default:
      return [];
  }
}

/** Every uid under which a view of the ServiceAccount may have been handed out. */
export function viewUidsOf(
  binding: WorkloadIdentityBinding | undefined,
  account: ServiceAccount | undefined,
): readonly BindingUid[] {
  const own = binding === undefined ? [] : [bindingUid(binding)];
  return account === undefined ? own : [...own, adoptedUid(account), federatedUid(account)];
}

function bindingsOf(provider: string, cluster: ClusterView): readonly string[] {
  return cluster.bindingsOfProvider(provider).map(keyOf);
}

/** With the default provider or a MetadataProxy also the identities of those without a binding change. */
function everyAccount(cluster: ClusterView): Iterable<string> {
  return new Set([...cluster.list('ServiceAccount'), ...cluster.bindings()].map(keyOf));
}
