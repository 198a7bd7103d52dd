/**
 * Which nodes' snapshots a change can alter. Naming too many costs time, naming too few leaves a node with wrong
 * identities: a property test compares with building everything anew.
 */
import { sameValue } from '../cluster/equal.ts';
import { splitKey } from '../cluster/kinds.ts';
import type { CustomObject, StoredObject } from '../cluster/kinds.ts';
import type { Pod } from '../cluster/objects.ts';
import type { ClusterView, StoreChange } from '../cluster/store.ts';
import { epochOf } from '../identity/view.ts';

export function nodesConcerned(change: StoreChange, cluster: ClusterView): Iterable<string> {
  if (hasNoEffect(change)) return [];
  const { namespace, name } = splitKey(change.key);
  switch (change.kind) {
    case 'Pod':
      return nodesOf([change.previous, change.current]);
    case 'Node':
      return [name];
    case 'Namespace':
      // The uid of kube-system is what every node serves as cluster-uid.
      return name === 'kube-system' ? everyNode(cluster) : nodesOf(cluster.podsInNamespace(name));
    case 'ServiceAccount':
    case 'WorkloadIdentityBinding':
      return nodesOf(cluster.podsOfServiceAccount(namespace, name));
    case 'MetadataPolicy':
      return nodesOf(cluster.podsInNamespace(namespace));
    case 'NetworkPolicy':
      return [];
    case 'WorkloadIdentityProvider':
    case 'ClusterMetadataPolicy':
    case 'MetadataProxy':
      return everyNode(cluster);
  }
}

/** Our own status updates are the most frequent changes of all, and identities and snapshots do not depend on them. */
export function hasNoEffect({ previous, current }: StoreChange): boolean {
  if (!isCustom(previous) || !isCustom(current)) return false;
  return sameValue(effectOf(previous), effectOf(current));
}

function isCustom(object: StoredObject | undefined): object is CustomObject {
  return object !== undefined && 'metadata' in object;
}

function effectOf(object: CustomObject) {
  const { uid, generation, creationTimestamp, deletionTimestamp } = object.metadata;
  const epoch = object.kind === 'WorkloadIdentityBinding' ? epochOf(object) : '';
  return { uid, generation, creationTimestamp, deletionTimestamp, epoch, spec: object.spec };
}

function nodesOf(pods: readonly (Pod | undefined)[]): Iterable<string> {
  return new Set(pods.map((pod) => pod?.nodeName ?? '').filter((nodeName) => nodeName !== ''));
}

function everyNode(cluster: ClusterView): Iterable<string> {
  return cluster.nodes().map(({ name }) => name);
}
