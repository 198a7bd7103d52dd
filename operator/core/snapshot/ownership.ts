/** Which MetadataProxy a node belongs to. */
import type { MetadataProxy } from '../../api/v1/index.ts';
import type { Node } from '../cluster/objects.ts';
import { matchesSelector } from '../selector/selector.ts';

/** Whether the MetadataProxy asks for the node: its nodeSelector, and Linux always. */
export function selectsNode(proxy: MetadataProxy, node: Node): boolean {
  return matchesSelector({ matchLabels: { ...proxy.spec.nodeSelector, 'kubernetes.io/os': 'linux' } }, node.labels);
}

/**
 * The oldest that selects the node, by name if they are of one age. One that is being deleted still owns its nodes
 * until it is gone: it has to clean up after itself before another may move in.
 */
export function owningProxy(node: Node, proxies: readonly MetadataProxy[]): MetadataProxy | undefined {
  return proxies.filter((proxy) => selectsNode(proxy, node)).sort(byAge)[0];
}

function byAge(a: MetadataProxy, b: MetadataProxy): number {
  const [ageA, ageB] = [a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? ''];
  if (ageA !== ageB) return ageA < ageB ? -1 : 1;
  return a.metadata.name < b.metadata.name ? -1 : 1;
}
