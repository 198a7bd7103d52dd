/**
 * Which nodes' snapshots a change can alter. Naming too many costs time, naming too few leaves a node with wrong
 * identities: a property test compares with building everything anew.
 */
import { sameValue } from '../cluster/equal.ts';
import { splitKey } from '../cluster/kinds.ts';
import type { CustomObject, StoredObject, StoreKind } from '../cluster/kinds.ts';
import type { Pod } from '../cluster/objects.ts';
import type { ClusterView, StoreChange } from '../cluster/store.ts';
import { epochOf } from '../identity/view.ts';

export function nodesConcerned(change: StoreChange, cluster: ClusterView): Iterable<string> {
  if (hasNoEffect(change)) return [];
  if (change.kind === 'Pod') return nodesOf([change.previous, change.current]);
  return concernedBy[change.kind](splitKey(change.key), cluster);
}

type Concern = (key: { readonly namespace: string; readonly name: string }, cluster: ClusterView) => Iterable<string>;

const nobody: Concern = () => [];
const everyNode: Concern = (_key, cluster) => cluster.nodes().map(({ name }) => name);
const nodesOfAccount: Concern = (key, cluster) => nodesOf(cluster.podsOfServiceAccount(key.namespace, key.name));

const concernedBy: Readonly<Record<Exclude<StoreKind, 'Pod'>, Concern>> = {
  Node: ({ name }) => [name],
  // The uid of kube-system is what every node serves as cluster-uid.
  Namespace: (key, cluster) =>
    key.name === 'kube-system' ? everyNode(key, cluster) : nodesOf(cluster.podsInNamespace(key.name)),
  ServiceAccount: nodesOfAccount,
  WorkloadIdentityBinding: nodesOfAccount,
  MetadataPolicy: ({ namespace }, cluster) => nodesOf(cluster.podsInNamespace(namespace)),
  NetworkPolicy: nobody,
  WorkloadIdentityProvider: everyNode,
  ClusterMetadataPolicy: everyNode,
  MetadataProxy: everyNode,
};

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
