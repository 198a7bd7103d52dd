/** Whether a proxy that stops is replaced by another one, or was the last of its node. */
import type { ClusterView } from '../../core/cluster/store.ts';
import { owningProxy } from '../../core/snapshot/ownership.ts';
import type { NodeRelease } from '../../nodeapi/server/ports.ts';

/**
 * Rules outlive the processes (away means closed), so they go only when nobody is to come after: no MetadataProxy that
 * stays selects the node, or the one that does redirects nothing in the kernel.
 */
export function nodeRelease(cluster: ClusterView): NodeRelease {
  return {
    decide: (nodeName) => {
      const node = cluster.node(nodeName);
      const staying = cluster.proxies().filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      const next = node === undefined ? undefined : owningProxy(node, staying);
      return next?.spec.interception === 'NFTables' ? 'keep' : 'released';
    },
  };
}
