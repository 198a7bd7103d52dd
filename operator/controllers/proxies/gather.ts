/** Everything a plan for one MetadataProxy depends on, as one frozen value. */
import type { MetadataProxy } from '../../api/v1/index.ts';
import { isLive } from '../../core/cluster/objects.ts';
import type { Node } from '../../core/cluster/objects.ts';
import type { ClusterView } from '../../core/cluster/store.ts';
import { proxyServiceAccount } from '../../core/names.ts';
import { matchesSelector } from '../../core/selector/selector.ts';
import { owningProxy, selectsNode } from '../../core/snapshot/ownership.ts';
import type { ObjectWriter, OwnedObject } from '../ports.ts';
import { selectorLabels } from './pod-template.ts';
import type { ProxyConnections } from './ports.ts';
import { ownerLabels, ownerLabelValue } from './workloads.ts';
import type { WorkloadContext } from './workloads.ts';

export interface ProxyContext extends WorkloadContext {
  readonly cluster: ClusterView;
  readonly connections: ProxyConnections;
  readonly writer: ObjectWriter;
}

export interface ProxySituation {
  readonly proxy: MetadataProxy;
  /** Nodes it owns, sorted by name. */
  readonly nodes: readonly SelectedNode[];
  /** Nodes it selects that an older MetadataProxy owns, with that one's name. Sorted by node. */
  readonly overlaps: readonly { readonly node: string; readonly owner: string }[];
  /** DaemonSets and Deployments made for it that exist. */
  readonly existing: readonly OwnedObject[];
  /** Its pods on Ready nodes, whoever owns those now. Sorted by node. */
  readonly instances: readonly ProxyInstance[];
  readonly hasServiceAccount: boolean;
}

export interface ProxyInstance {
  readonly node: string;
  /** What made the pod. */
  readonly form: 'DaemonSet' | 'Deployment';
  readonly ready: boolean;
}

export interface SelectedNode {
  readonly node: Node;
  readonly serving: boolean;
}

export async function gatherProxy(proxy: MetadataProxy, context: ProxyContext): Promise<ProxySituation> {
  const { cluster, connections, hash, installation } = context;
  const selected = cluster.nodes().filter((node) => selectsNode(proxy, node));
  const owners = selected.map((node) => ({ node, owner: owningProxy(node, cluster.proxies()) }));
  return {
    proxy,
    nodes: owners
      .filter(({ owner }) => owner?.metadata.name === proxy.metadata.name)
      .map(({ node }) => ({ node, serving: connections.isServing(node.name) }))
      .sort((a, b) => compare(a.node.name, b.node.name)),
    overlaps: owners
      .filter(({ owner }) => owner !== undefined && owner.metadata.name !== proxy.metadata.name)
      .map(({ node, owner }) => ({ node: node.name, owner: owner?.metadata.name ?? '' }))
      .sort((a, b) => compare(a.node, b.node)),
    existing: await existingWorkloads(ownerLabels(proxy.metadata.name, hash), context),
    instances: instancesOf(ownerLabelValue(proxy.metadata.name, hash), context),
    hasServiceAccount: cluster.serviceAccount(installation.namespace, proxyServiceAccount) !== undefined,
  };
}

/** In our own namespace only: what carries our labels elsewhere is not of our making. */
export async function existingWorkloads(
  labels: Readonly<Record<string, string>>,
  { installation, writer }: Pick<ProxyContext, 'installation' | 'writer'>,
): Promise<readonly OwnedObject[]> {
  const { namespace } = installation;
  const kinds = ['DaemonSet', 'Deployment'].map((kind) =>
    writer.listOwned({ apiVersion: 'apps/v1', kind, namespace }, labels),
  );
  return (await Promise.all(kinds)).flat();
}

function instancesOf(owner: string, { cluster, installation }: ProxyContext): readonly ProxyInstance[] {
  const selector = { matchLabels: selectorLabels(owner) };
  return cluster
    .podsInNamespace(installation.namespace)
    .filter((pod) => isLive(pod) && matchesSelector(selector, pod.labels))
    .filter(({ nodeName }) => cluster.node(nodeName)?.ready === true)
    .map(({ nodeName, ownerKind, ready }) => ({
      node: nodeName,
      form: ownerKind === 'DaemonSet' ? ('DaemonSet' as const) : ('Deployment' as const),
      ready,
    }))
    .sort((a, b) => compare(a.node, b.node));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
