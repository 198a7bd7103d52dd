/** The token path's view of the cluster: which pods are live, who they are, and which bindings are in force now. */
import type { BindingUid, PodUid } from '../../core/brand.ts';
import { objectKey, splitKey } from '../../core/cluster/kinds.ts';
import { isLive } from '../../core/cluster/objects.ts';
import type { Pod } from '../../core/cluster/objects.ts';
import type { ClusterView, StoreChange } from '../../core/cluster/store.ts';
import type { IdentityRules } from '../../core/identity/accept.ts';
import { identityOf, identityOfAccount } from '../../core/identity/identity.ts';
import type { PodRules } from '../../core/identity/identity.ts';
import { bindingUid } from '../../core/identity/view.ts';
import { serviceAccountOf } from '../../core/snapshot/build.ts';
import { owningProxy } from '../../core/snapshot/ownership.ts';
import { hasNoEffect } from '../../core/snapshot/concerns.ts';
import type { BindingView } from '../../core/snapshot/types.ts';
import type { LiveWorkload, WorkloadLookup } from '../../nodeapi/server/ports.ts';
import { federationSettings } from '../providers/federation.ts';
import { accountsConcerned, viewUidsOf } from './bindings-concerned.ts';

export class ClusterWorkloads implements WorkloadLookup {
  readonly #cluster: ClusterView;
  readonly #rules: IdentityRules;
  readonly #listeners = new Set<(bindings: ReadonlySet<BindingUid>) => void>();
  /** Which ServiceAccount (`namespace/name`) the uid of a binding's view stands for. */
  readonly #accountOf = new Map<BindingUid, string>();

  constructor(cluster: ClusterView, rules: IdentityRules) {
    this.#cluster = cluster;
    this.#rules = rules;
    for (const account of cluster.list('ServiceAccount')) this.#index(objectKey(account.namespace, account.name));
    for (const { metadata } of cluster.bindings()) this.#index(objectKey(metadata.namespace ?? '', metadata.name));
    cluster.onChange((change) => this.#follow(change));
  }

  find(uid: PodUid): LiveWorkload | undefined {
    const pod = this.#cluster.pod(uid);
    // As in snapshots: without its namespace's labels nothing about the pod is certain.
    if (pod === undefined || !isLive(pod) || this.#cluster.namespace(pod.namespace) === undefined) return undefined;
    const { identity, provider } = identityOf(pod, this.#cluster, this.#rulesOn(pod));
    return {
      uid,
      namespace: pod.namespace,
      name: pod.name,
      nodeName: pod.nodeName,
      serviceAccount: serviceAccountOf(pod, this.#cluster),
      identity,
      provider: provider && federationSettings(provider),
    };
  }

  binding(uid: BindingUid): BindingView | undefined {
    const key = this.#accountOf.get(uid);
    if (key === undefined) return undefined;
    const { identity } = identityOfAccount(splitKey(key), this.#cluster, this.#widestRules());
    return identity.kind === 'bound' && identity.binding.uid === uid ? identity.binding : undefined;
  }

  onBindingChange(listener: (bindings: ReadonlySet<BindingUid>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #rulesOn(pod: Pod): PodRules {
    const node = this.#cluster.node(pod.nodeName);
    const proxy = node && owningProxy(node, this.#cluster.proxies());
    return { ...this.#rules, unboundWorkloads: proxy?.spec.unboundWorkloads ?? 'Deny' };
  }

  /** A federated identity is in force as long as some node may serve it. */
  #widestRules(): PodRules {
    const somewhere = this.#cluster.proxies().some(({ spec }) => spec.unboundWorkloads === 'FederatedIdentity');
    return { ...this.#rules, unboundWorkloads: somewhere ? 'FederatedIdentity' : 'Deny' };
  }

  #follow(change: StoreChange): void {
    if (hasNoEffect(change)) return;
    const before = uidsBefore(change);
    if (change.current === undefined) for (const uid of before) this.#accountOf.delete(uid);
    const concerned = new Set<BindingUid>(before);
    for (const key of accountsConcerned(change, this.#cluster)) {
      for (const uid of this.#index(key)) concerned.add(uid);
    }
    if (concerned.size > 0) for (const listener of this.#listeners) listener(concerned);
  }

  /** Notes every uid a view of this ServiceAccount can have now. */
  #index(key: string): readonly BindingUid[] {
    const { namespace, name } = splitKey(key);
    const uids = viewUidsOf(this.#cluster.binding(namespace, name), this.#cluster.serviceAccount(namespace, name));
    for (const uid of uids) this.#accountOf.set(uid, key);
    return uids;
  }
}

/** The uids a changed or removed object stood for. */
function uidsBefore(change: StoreChange): readonly BindingUid[] {
  if (change.kind === 'WorkloadIdentityBinding' && change.previous !== undefined) return [bindingUid(change.previous)];
  if (change.kind === 'ServiceAccount') return viewUidsOf(undefined, change.previous);
  return [];
}
