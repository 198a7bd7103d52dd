/**
 * A cluster made of files: what kubectl would have applied, plus what Kubernetes itself would have added around it.
 * One node stands for each MetadataProxy, beside the Node objects of the files; pods run where placement.ts says, each
 * with a loopback address of its own.
 */
import type { MetadataProxy } from '../../api/v1/index.ts';
import type { Hash } from '../../core/brand.ts';
import { sameValue } from '../../core/cluster/equal.ts';
import { keyOf, objectKey, storeKinds } from '../../core/cluster/kinds.ts';
import type { CustomObject, StoredObject } from '../../core/cluster/kinds.ts';
import { ClusterStore } from '../../core/cluster/store.ts';
import { proxyServiceAccount } from '../../core/names.ts';
import { owningProxy } from '../../core/snapshot/ownership.ts';
import type { ForeignObject, LoadedSamples, OwnResource } from '../ports.ts';
import { nodeFor, unselectedNode } from './placement.ts';
import { podsOf } from './pods.ts';

/** A Kubernetes object as the API server would serve it. */
export type RawManifest = Readonly<Record<string, unknown>>;

export interface LocalClusterParts {
  readonly hash: Hash;
  /** From the API server's form to what the store keeps; undefined for kinds that nothing reads. */
  readonly project: (raw: RawManifest) => StoredObject | undefined;
  readonly namespace: string;
  /** Labels that the pods of a MetadataProxy carry. */
  readonly proxyPodLabels: (proxyName: string) => Readonly<Record<string, string>>;
}

/** A proxy that runs on a node of the local cluster. */
export interface LocalProxyPod {
  readonly proxyName: string;
  readonly nodeName: string;
  readonly podName: string;
}

const born = Date.parse('2026-01-01T00:00:00Z');
const hostIP = '127.0.0.1';

export class LocalCluster {
  readonly store = new ClusterStore();
  readonly #parts: LocalClusterParts;
  /** What the operator made, by kind and name: it outlives a change of the files. */
  readonly #made = new Map<string, StoredObject>();
  #proxyPods: readonly LocalProxyPod[] = [];

  constructor(parts: LocalClusterParts) {
    this.#parts = parts;
  }

  /** Takes over the files as they are now. An object that is still there keeps its uid, and its status until it changes. */
  load(samples: LoadedSamples): void {
    const own = samples.resources.map(({ object }, index) => this.#withMetadata(object, index));
    const raws = this.#surroundings(samples, own);
    const projected = raws.map((raw) => this.#parts.project(raw)).filter((object) => object !== undefined);
    const all = [...projected, ...own, ...this.#made.values()];
    const objects = new Map(all.map((object) => [identityOf(object), object]));
    for (const kind of storeKinds) {
      const ofKind = [...objects.values()].filter((object) => object.kind === kind);
      this.store.replace(kind, ofKind);
    }
  }

  /** The operator applied an object: it sees it again, as through a watch. */
  created(manifest: ForeignObject): void {
    const object = this.#parts.project(this.#withUid(manifest));
    if (object === undefined) return;
    this.#made.set(identityOf(object), object);
    this.store.upsert(object);
  }

  /** The operator deleted an object. */
  deleted({
    kind,
    namespace = '',
    name,
  }: {
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
  }): void {
    const object = this.#made.get(`${kind}/${objectKey(namespace, name)}`);
    if (object === undefined) return;
    this.#made.delete(identityOf(object));
    this.store.remove(object.kind, keyOf(object));
  }

  /** Where proxies run: on the node of every MetadataProxy, and on the Nodes of the files that one owns. */
  proxyPods(): readonly LocalProxyPod[] {
    return this.#proxyPods;
  }

  #withMetadata(object: OwnResource, index: number): CustomObject {
    const { kind, metadata } = object;
    const before = this.store.get(kind, keyOf(object));
    const uid = this.#uid(kind, metadata.namespace ?? '', metadata.name);
    if (before === undefined) {
      return { ...object, metadata: { ...metadata, uid, generation: 1, creationTimestamp: timestampOf(index) } };
    }
    const changes = sameValue(before.spec, object.spec) ? 0 : 1;
    const generation = (before.metadata.generation ?? 0) + changes;
    return { ...before, ...object, metadata: { ...before.metadata, ...metadata, uid, generation } };
  }

  #surroundings(samples: LoadedSamples, own: readonly CustomObject[]): readonly RawManifest[] {
    const manifests = samples.others.map(({ object }) => object);
    const proxies = own.filter((object) => object.kind === 'MetadataProxy');
    const declared = manifests.filter(({ kind }) => kind === 'Node');
    const names = new Set(declared.map(({ metadata }) => metadata.name));
    const nodes = { named: names, proxies, nodeOf: ({ metadata }: MetadataProxy) => nodeNameOf(metadata.name) };
    const pods = podsOf(manifests, { nodeFor: (pod) => nodeFor(pod, nodes), hostIP });
    const implied = [...this.#implied(manifests, pods), ...impliedNodes(proxies)].filter(
      ({ kind, metadata }) => kind !== 'Node' || !names.has(metadata.name),
    );
    this.#proxyPods = [
      ...proxies.map(({ metadata: { name } }) => proxyPodOf(name)),
      ...this.#onDeclared(declared, proxies),
    ];
    const proxyPods = this.#proxyPods.map((pod) => this.#proxyPod(pod));
    const named = [...manifests.filter(({ kind }) => kind !== 'Pod'), ...pods, ...implied, ...proxyPods];
    return named.map((manifest) => this.#withUid(manifest));
  }

  #onDeclared(nodes: readonly ForeignObject[], proxies: readonly MetadataProxy[]): readonly LocalProxyPod[] {
    return nodes.flatMap((manifest) => {
      const node = this.#parts.project(this.#withUid(manifest));
      const owner = node?.kind === 'Node' ? owningProxy(node, proxies)?.metadata.name : undefined;
      const { name } = manifest.metadata;
      if (owner === undefined || name === nodeNameOf(owner)) return [];
      return [{ proxyName: owner, nodeName: name, podName: `metaveil-proxy-${owner}-${name}` }];
    });
  }

  /** Namespaces and ServiceAccounts that exist in every cluster without anybody applying them. */
  #implied(manifests: readonly ForeignObject[], pods: readonly ForeignObject[]): readonly ForeignObject[] {
    const namespaces = new Set(['kube-system', this.#parts.namespace]);
    for (const { metadata } of [...manifests, ...pods]) if (metadata.namespace) namespaces.add(metadata.namespace);
    const declared = new Set(manifests.filter(({ kind }) => kind === 'Namespace').map(({ metadata }) => metadata.name));
    const missing = [...namespaces].filter((name) => !declared.has(name));
    return [
      ...missing.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
      ...[...namespaces].map((namespace) => account(namespace, 'default')),
    ];
  }

  #proxyPod({ proxyName, nodeName, podName }: LocalProxyPod): ForeignObject {
    const controller = {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      name: podName,
      uid: `owner-${podName}`,
      controller: true,
    };
    const metadata = {
      name: podName,
      namespace: this.#parts.namespace,
      labels: this.#parts.proxyPodLabels(proxyName),
      ownerReferences: [controller],
    };
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: { nodeName, hostNetwork: true, serviceAccountName: proxyServiceAccount, containers: [] },
      status: { phase: 'Running', hostIP, podIP: hostIP, podIPs: [{ ip: hostIP }] },
    };
  }

  #withUid(manifest: ForeignObject): RawManifest {
    const { kind, metadata } = manifest;
    const uid = this.#uid(kind, metadata.namespace ?? '', metadata.name);
    return { ...manifest, metadata: { ...metadata, uid, creationTimestamp: timestampOf(0) } };
  }

  /** The same for the same object in every run, in the form of a UUID. */
  #uid(kind: string, namespace: string, name: string): string {
    const digits = this.#parts.hash(JSON.stringify([kind, namespace, name]));
    return [
      digits.slice(0, 8),
      digits.slice(8, 12),
      digits.slice(12, 16),
      digits.slice(16, 20),
      digits.slice(20, 32),
    ].join('-');
  }
}

function identityOf(object: StoredObject): string {
  return `${object.kind}/${keyOf(object)}`;
}

function proxyPodOf(proxyName: string): LocalProxyPod {
  return { proxyName, nodeName: nodeNameOf(proxyName), podName: `metaveil-proxy-${proxyName}` };
}

function impliedNodes(proxies: readonly MetadataProxy[]): readonly ForeignObject[] {
  const ofProxies = proxies.map(({ metadata, spec }) => {
    const name = nodeNameOf(metadata.name);
    return nodeManifest(name, { 'kubernetes.io/os': 'linux', 'kubernetes.io/hostname': name, ...spec.nodeSelector });
  });
  return [nodeManifest(unselectedNode, {}), ...ofProxies];
}

function nodeManifest(name: string, labels: Readonly<Record<string, string>>): ForeignObject {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels },
    status: {
      addresses: [{ type: 'InternalIP', address: hostIP }],
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  };
}

function nodeNameOf(proxyName: string): string {
  return `node-${proxyName}`;
}

function account(namespace: string, name: string): ForeignObject {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } };
}

/** Files have an order but no times: the earlier document counts as the older object. */
function timestampOf(index: number): string {
  return new Date(born + index * 1000).toISOString().replace('.000', '');
}
