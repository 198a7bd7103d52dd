/** What nodes would decide from, built out of files as the controller builds it, without starting anything. */
import { fileSamples } from '../adapters/files/load.ts';
import type { ExplainedCluster } from '../cli/ports.ts';
import { objectKey } from '../core/cluster/kinds.ts';
import type { Pod } from '../core/cluster/objects.ts';
import type { ClusterView } from '../core/cluster/store.ts';
import { defaultNamespace } from '../core/names.ts';
import { compilePolicy } from '../core/policy/compile.ts';
import { buildNodeSnapshot } from '../core/snapshot/build.ts';
import { LastGoodPolicies } from '../core/snapshot/policies.ts';
import type { LoadedSamples, Problem } from '../local/ports.ts';
import { indexSnapshot } from '../proxy/workloads.ts';
import type { NodeIndex } from '../proxy/workloads.ts';
import { newLocalCluster } from './local-cluster.ts';
import { sha256 } from './system.ts';

export type ClusterOutcome =
  | { readonly kind: 'loaded'; readonly cluster: ExplainedCluster }
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[] };

/** Reads a folder of manifests. Whatever is wrong with it is a problem and not an exception. */
export async function clusterFromFiles(path: string): Promise<ClusterOutcome> {
  const outcome = await fileSamples.load(path);
  if (outcome.kind === 'rejected') return outcome;
  const problems = rejectedPolicies(outcome.samples);
  if (problems.length > 0) return { kind: 'rejected', problems };
  const local = newLocalCluster();
  local.load(outcome.samples);
  return { kind: 'loaded', cluster: explainedCluster(local.store) };
}

/** In a cluster the last good version would stay in force; a file has none. */
function rejectedPolicies({ resources }: LoadedSamples): readonly Problem[] {
  return resources.flatMap(({ object, at }) => {
    if (object.kind !== 'MetadataPolicy' && object.kind !== 'ClusterMetadataPolicy') return [];
    const outcome = compilePolicy(object);
    if (outcome.kind === 'compiled') return [];
    return outcome.errors.map(({ field, position, message }) => {
      return { at, what: `${field} does not compile at character ${position + 1}: ${message}`, fix: 'correct it' };
    });
  });
}

function explainedCluster(store: ClusterView): ExplainedCluster {
  const policies = new LastGoodPolicies(compilePolicy);
  const options = {
    rules: { ownNamespace: defaultNamespace, allowInsecureEndpoints: false },
    effective: policies.effective.bind(policies),
    hash: sha256,
  };
  const nodes = new Map<string, NodeIndex | undefined>();
  const indexOf = (nodeName: string): NodeIndex | undefined => {
    if (!nodes.has(nodeName)) {
      const snapshot = buildNodeSnapshot(store, nodeName, options);
      nodes.set(nodeName, snapshot === undefined ? undefined : indexSnapshot(snapshot));
    }
    return nodes.get(nodeName);
  };
  return {
    pods: () => store.pods().filter(isOfUsers).sort(byKey),
    subjectOf: ({ nodeName, uid }) => indexOf(nodeName)?.byUid(uid),
  };
}

function isOfUsers({ namespace }: Pod): boolean {
  return namespace !== defaultNamespace;
}

function byKey(one: Pod, other: Pod): number {
  return objectKey(one.namespace, one.name) < objectKey(other.namespace, other.name) ? -1 : 1;
}
