/**
 * The cluster as the controller sees it: an in-memory view, indexed for the questions that are asked, fed by reflectors
 * (or by files). Writers call `replace`, `upsert` and `remove`; everybody else gets the read-only `ClusterView`.
 */
import type {
  ClusterMetadataPolicy,
  MetadataPolicy,
  MetadataProxy,
  WorkloadIdentityBinding,
  WorkloadIdentityProvider,
} from '../../api/v1/index.ts';
import type { PodUid } from '../brand.ts';
import { sameValue } from './equal.ts';
import { Grouping } from './grouping.ts';
import { keyOf, namespaceOf, objectKey, storeKinds, uidOf } from './kinds.ts';
import type { ObjectKey, ObjectOf, StoredObject, StoreKind } from './kinds.ts';
import type { Namespace, NetworkPolicy, Node, Pod, ServiceAccount } from './objects.ts';

interface ChangeOf<K extends StoreKind> {
  readonly kind: K;
  readonly key: ObjectKey;
  /** Absent when the object is new. */
  readonly previous: ObjectOf<K> | undefined;
  /** Absent when the object is gone. */
  readonly current: ObjectOf<K> | undefined;
}

/** One change of one object. An object deleted and recreated under its name arrives as a removal and an addition. */
export type StoreChange = { [K in StoreKind]: ChangeOf<K> }[StoreKind];

export interface ClusterView {
  pod(uid: PodUid): Pod | undefined;
  podNamed(namespace: string, name: string): Pod | undefined;
  pods(): readonly Pod[];
  podsOnNode(nodeName: string): readonly Pod[];
  podsOfServiceAccount(namespace: string, name: string): readonly Pod[];
  podsInNamespace(namespace: string): readonly Pod[];
  serviceAccount(namespace: string, name: string): ServiceAccount | undefined;
  serviceAccountsInNamespace(namespace: string): readonly ServiceAccount[];
  namespace(name: string): Namespace | undefined;
  namespaces(): readonly Namespace[];
  node(name: string): Node | undefined;
  nodes(): readonly Node[];
  binding(namespace: string, name: string): WorkloadIdentityBinding | undefined;
  bindings(): readonly WorkloadIdentityBinding[];
  bindingsOfProvider(name: string): readonly WorkloadIdentityBinding[];
  provider(name: string): WorkloadIdentityProvider | undefined;
  providers(): readonly WorkloadIdentityProvider[];
  policies(namespace: string): readonly MetadataPolicy[];
  clusterPolicies(): readonly ClusterMetadataPolicy[];
  proxy(name: string): MetadataProxy | undefined;
  proxies(): readonly MetadataProxy[];
  networkPolicies(namespace: string): readonly NetworkPolicy[];
  /** The object of a kind under its key (`namespace/name` or `name`). */
  get<K extends StoreKind>(kind: K, key: ObjectKey): ObjectOf<K> | undefined;
  list<K extends StoreKind>(kind: K): readonly ObjectOf<K>[];
  /** True once every kind has been listed: before that, absence proves nothing. */
  hasSynced(): boolean;
  /** Listeners run synchronously, in order, after the store has changed. Returns how to stop listening. */
  onChange(listener: (change: StoreChange) => void): () => void;
}

type Tables = { readonly [K in StoreKind]: Map<ObjectKey, ObjectOf<K>> };

export class ClusterStore implements ClusterView {
  readonly #tables: Tables = emptyTables();
  readonly #listed = new Set<StoreKind>();
  readonly #listeners = new Set<(change: StoreChange) => void>();
  readonly #podByUid = new Map<string, Pod>();
  readonly #podsByNode = new Grouping<Pod>((pod) => pod.nodeName);
  readonly #podsByAccount = new Grouping<Pod>((pod) => objectKey(pod.namespace, pod.serviceAccountName));
  readonly #podsByNamespace = new Grouping<Pod>((pod) => pod.namespace);
  readonly #accountsByNamespace = new Grouping<ServiceAccount>((account) => account.namespace);
  readonly #bindingsByProvider = new Grouping<WorkloadIdentityBinding>((binding) => binding.spec.providerName);
  readonly #policiesByNamespace = new Grouping<MetadataPolicy>(namespaceOf);
  readonly #networkPoliciesByNamespace = new Grouping<NetworkPolicy>((policy) => policy.namespace);

  /** Makes `objects` all there is of a kind: what is missing from them is removed first, with a notification each. */
  replace<K extends StoreKind>(kind: K, objects: readonly ObjectOf<K>[]): void {
    const kept = new Set(objects.map(keyOf));
    for (const key of [...this.#tables[kind].keys()]) if (!kept.has(key)) this.remove(kind, key);
    for (const object of objects) this.upsert(object);
    this.#listed.add(kind);
  }

  /** Adds or updates; says nothing to anybody if the object is the same as before. */
  upsert(object: StoredObject): void {
    const key = keyOf(object);
    const previous = this.get(object.kind, key);
    if (previous !== undefined && uidOf(previous) !== uidOf(object)) this.remove(object.kind, key);
    else if (sameValue(previous, object)) return;
    this.#write(object.kind, key, object);
  }

  /** Removes by key (`namespace/name` or `name`); removing what is not there is no change. */
  remove(kind: StoreKind, key: ObjectKey): void {
    if (this.#tables[kind].has(key)) this.#write(kind, key, undefined);
  }

  get<K extends StoreKind>(kind: K, key: ObjectKey): ObjectOf<K> | undefined {
    return this.#tables[kind].get(key);
  }

  list<K extends StoreKind>(kind: K): readonly ObjectOf<K>[] {
    return [...this.#tables[kind].values()];
  }

  hasSynced(): boolean {
    return this.#listed.size === storeKinds.length;
  }

  onChange(listener: (change: StoreChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  pod(uid: PodUid): Pod | undefined {
    return this.#podByUid.get(uid);
  }

  podNamed(namespace: string, name: string): Pod | undefined {
    return this.get('Pod', objectKey(namespace, name));
  }

  pods(): readonly Pod[] {
    return this.list('Pod');
  }

  podsOnNode(nodeName: string): readonly Pod[] {
    return this.#podsByNode.members(nodeName);
  }

  podsOfServiceAccount(namespace: string, name: string): readonly Pod[] {
    return this.#podsByAccount.members(objectKey(namespace, name));
  }

  podsInNamespace(namespace: string): readonly Pod[] {
    return this.#podsByNamespace.members(namespace);
  }

  serviceAccount(namespace: string, name: string): ServiceAccount | undefined {
    return this.get('ServiceAccount', objectKey(namespace, name));
  }

  serviceAccountsInNamespace(namespace: string): readonly ServiceAccount[] {
    return this.#accountsByNamespace.members(namespace);
  }

  namespace(name: string): Namespace | undefined {
    return this.get('Namespace', name);
  }

  namespaces(): readonly Namespace[] {
    return this.list('Namespace');
  }

  node(name: string): Node | undefined {
    return this.get('Node', name);
  }

  nodes(): readonly Node[] {
    return this.list('Node');
  }

  binding(namespace: string, name: string): WorkloadIdentityBinding | undefined {
    return this.get('WorkloadIdentityBinding', objectKey(namespace, name));
  }

  bindings(): readonly WorkloadIdentityBinding[] {
    return this.list('WorkloadIdentityBinding');
  }

  bindingsOfProvider(name: string): readonly WorkloadIdentityBinding[] {
    return this.#bindingsByProvider.members(name);
  }

  provider(name: string): WorkloadIdentityProvider | undefined {
    return this.get('WorkloadIdentityProvider', name);
  }

  providers(): readonly WorkloadIdentityProvider[] {
    return this.list('WorkloadIdentityProvider');
  }

  policies(namespace: string): readonly MetadataPolicy[] {
    return this.#policiesByNamespace.members(namespace);
  }

  clusterPolicies(): readonly ClusterMetadataPolicy[] {
    return this.list('ClusterMetadataPolicy');
  }

  proxy(name: string): MetadataProxy | undefined {
    return this.get('MetadataProxy', name);
  }

  proxies(): readonly MetadataProxy[] {
    return this.list('MetadataProxy');
  }

  networkPolicies(namespace: string): readonly NetworkPolicy[] {
    return this.#networkPoliciesByNamespace.members(namespace);
  }

  #write(kind: StoreKind, key: ObjectKey, current: StoredObject | undefined): void {
    // The compiler cannot see that key, table and object are of one kind; keyOf and the callers above guarantee it.
    const table = this.#tables[kind] as Map<ObjectKey, StoredObject>;
    const previous = table.get(key);
    if (current === undefined) table.delete(key);
    else table.set(key, current);
    const change = { kind, key, previous, current } as StoreChange;
    this.#index(change);
    for (const listener of this.#listeners) listener(change);
  }

  #index(change: StoreChange): void {
    switch (change.kind) {
      case 'Pod':
        this.#indexPod(change);
        break;
      case 'ServiceAccount':
        this.#accountsByNamespace.move(change.key, change.previous, change.current);
        break;
      case 'WorkloadIdentityBinding':
        this.#bindingsByProvider.move(change.key, change.previous, change.current);
        break;
      case 'MetadataPolicy':
        this.#policiesByNamespace.move(change.key, change.previous, change.current);
        break;
      case 'NetworkPolicy':
        this.#networkPoliciesByNamespace.move(change.key, change.previous, change.current);
        break;
      default:
        // The other kinds are few or are only asked for by key.
        break;
    }
  }

  #indexPod({ key, previous, current }: ChangeOf<'Pod'>): void {
    if (previous !== undefined) this.#podByUid.delete(previous.uid);
    if (current !== undefined) this.#podByUid.set(current.uid, current);
    this.#podsByNode.move(key, previous, current);
    this.#podsByAccount.move(key, previous, current);
    this.#podsByNamespace.move(key, previous, current);
  }
}

function emptyTables(): Tables {
  return {
    Pod: new Map(),
    ServiceAccount: new Map(),
    Namespace: new Map(),
    Node: new Map(),
    NetworkPolicy: new Map(),
    WorkloadIdentityBinding: new Map(),
    WorkloadIdentityProvider: new Map(),
    MetadataPolicy: new Map(),
    ClusterMetadataPolicy: new Map(),
    MetadataProxy: new Map(),
  };
}
