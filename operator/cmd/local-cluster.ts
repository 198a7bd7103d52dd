/** A cluster made of files, projected as the controller projects what it watches. */
import { clusterReflections } from '../adapters/kube/cluster-reflections.ts';
import { ownerLabels } from '../controllers/proxies/workloads.ts';
import { defaultNamespace } from '../core/names.ts';
import { LocalCluster } from '../local/cluster/local-cluster.ts';
import { sha256 } from './system.ts';

export function newLocalCluster(): LocalCluster {
  const projections = new Map(
    clusterReflections({ replace: () => undefined, upsert: () => undefined, remove: () => undefined }).map(
      ({ type, project }) => [type.kind, project],
    ),
  );
  return new LocalCluster({
    hash: sha256,
    namespace: defaultNamespace,
    project: (raw) => projections.get(String(raw['kind']))?.(raw),
    proxyPodLabels: (proxyName) => ownerLabels(proxyName, sha256),
  });
}
