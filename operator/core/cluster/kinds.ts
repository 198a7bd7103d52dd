/** The kinds the controller keeps in memory, and how their objects are keyed. */
import type {
  ClusterMetadataPolicy,
  MetadataPolicy,
  MetadataProxy,
  WorkloadIdentityBinding,
  WorkloadIdentityProvider,
} from '../../api/v1/index.ts';
import type { Namespace, NetworkPolicy, Node, Pod, ServiceAccount } from './objects.ts';

export type CustomObject =
  WorkloadIdentityBinding | WorkloadIdentityProvider | MetadataPolicy | ClusterMetadataPolicy | MetadataProxy;
export type CoreObject = Pod | ServiceAccount | Namespace | Node | NetworkPolicy;
export type StoredObject = CustomObject | CoreObject;

export type StoreKind = StoredObject['kind'];
export type ObjectOf<K extends StoreKind> = Extract<StoredObject, { readonly kind: K }>;

export const storeKinds = [
  'Pod',
  'ServiceAccount',
  'Namespace',
  'Node',
  'NetworkPolicy',
  'WorkloadIdentityBinding',
  'WorkloadIdentityProvider',
  'MetadataPolicy',
  'ClusterMetadataPolicy',
  'MetadataProxy',
] as const satisfies readonly StoreKind[];

/** `namespace/name`, or `name` for a cluster-scoped object. */
export type ObjectKey = string;

export function objectKey(namespace: string, name: string): ObjectKey {
  return namespace === '' ? name : `${namespace}/${name}`;
}

/** The two halves of a key; namespace is '' for a cluster-scoped object. */
export function splitKey(key: ObjectKey): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf('/');
  return slash < 0 ? { namespace: '', name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

export function namespaceOf(object: StoredObject): string {
  if ('metadata' in object) return object.metadata.namespace ?? '';
  return 'namespace' in object ? object.namespace : '';
}

export function keyOf(object: StoredObject): ObjectKey {
  return objectKey(namespaceOf(object), 'metadata' in object ? object.metadata.name : object.name);
}

/** '' only for a custom resource that comes from a file and never got a uid. */
export function uidOf(object: StoredObject): string {
  return 'metadata' in object ? (object.metadata.uid ?? '') : object.uid;
}
