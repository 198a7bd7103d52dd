/** Which pods are proxies of ours: what the node API's caller check believes, from our own informer. */
import type { Hash, PodUid } from '../../core/brand.ts';
import { isLive } from '../../core/cluster/objects.ts';
import type { Pod } from '../../core/cluster/objects.ts';
import type { ClusterView, StoreChange } from '../../core/cluster/store.ts';
import { ownedLabels, proxyServiceAccount } from '../../core/names.ts';
import { hasNoEffect } from '../../core/snapshot/concerns.ts';
import type { ProxyPod, ProxyPods } from '../../nodeapi/server/ports.ts';
import { labelValue } from '../labels.ts';

export interface ProxyPodsOptions {
  readonly ownNamespace: string;
  readonly hash: Hash;
}

/** What the controller makes proxies with: the pods' controlling owner is one of these. */
const ownerKinds: ReadonlySet<string> = new Set(['DaemonSet', 'ReplicaSet']);

export class ClusterProxyPods implements ProxyPods {
  readonly #cluster: ClusterView;
  readonly #options: ProxyPodsOptions;
  readonly #present = new Set<PodUid>();
  readonly #listeners = new Set<(pod: PodUid) => void>();

  constructor(cluster: ClusterView, options: ProxyPodsOptions) {
    this.#cluster = cluster;
    this.#options = options;
    for (const pod of this.#candidates()) this.#check(pod.uid);
    cluster.onChange((change) => this.#follow(change));
  }

  find(uid: PodUid): ProxyPod | undefined {
    const pod = this.#cluster.pod(uid);
    if (pod === undefined || !isLive(pod) || !this.#isProxy(pod)) return undefined;
    const node = this.#cluster.node(pod.nodeName);
    if (node === undefined) return undefined;
    const { namespace, name, nodeName } = pod;
    return { uid, namespace, name, nodeName, nodeUid: node.uid };
  }

  onGone(listener: (pod: PodUid) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The labels name a MetadataProxy that exists: pods of one that is gone have nothing to ask for any more. */
  #isProxy(pod: Pod): boolean {
    return (
      pod.namespace === this.#options.ownNamespace &&
      pod.serviceAccountName === proxyServiceAccount &&
      pod.configHash === '' &&
      ownerKinds.has(pod.ownerKind) &&
      this.#cluster.proxies().some(({ metadata }) => this.#belongsTo(pod, metadata.name))
    );
  }

  #belongsTo(pod: Pod, proxyName: string): boolean {
    return pod.labels[ownedLabels.ownerName] === labelValue(proxyName, this.#options.hash);
  }

  #follow(change: StoreChange): void {
    for (const uid of this.#concerned(change)) this.#check(uid);
  }

  #concerned(change: StoreChange): Iterable<PodUid> {
    switch (change.kind) {
      case 'Pod':
        return [change.previous, change.current].flatMap((pod) => pod?.uid ?? []);
      case 'Node':
        return this.#cluster.podsOnNode(change.key).map(({ uid }) => uid);
      case 'MetadataProxy':
        return hasNoEffect(change) ? [] : this.#candidates().map(({ uid }) => uid);
      default:
        return [];
    }
  }

  #candidates(): readonly Pod[] {
    return this.#cluster.podsOfServiceAccount(this.#options.ownNamespace, proxyServiceAccount);
  }

  #check(uid: PodUid): void {
    if (this.find(uid) !== undefined) this.#present.add(uid);
    else if (this.#present.delete(uid)) for (const listener of this.#listeners) listener(uid);
  }
}
