/** What nodes would decide from, built as the controller builds it, without starting anything: out of files, or live. */
import { fileSamples } from '../adapters/files/load.ts';
import { coverageOf } from '../cli/coverage.ts';
import type { ExplainedCluster } from '../cli/ports.ts';
import { objectKey } from '../core/cluster/kinds.ts';
import type { Pod } from '../core/cluster/objects.ts';
import type { ClusterView } from '../core/cluster/store.ts';
import { defaultNamespace } from '../core/names.ts';
import { compilePolicy } from '../core/policy/compile.ts';
import { buildNodeSnapshot } from '../core/snapshot/build.ts';
import { LastGoodPolicies } from '../core/snapshot/policies.ts';
import type { AnyPolicy } from '../core/snapshot/policies.ts';
import { formatProblem } from '../local/problem.ts';
import type { LoadedSamples, Problem } from '../local/ports.ts';
import { indexSnapshot } from '../proxy/workloads.ts';
import type { NodeIndex } from '../proxy/workloads.ts';
import { newLocalCluster } from './local-cluster.ts';
import { sha256 } from './system.ts';

export type ClusterOutcome =
  | {
      readonly kind: 'loaded';
      readonly cluster: ExplainedCluster;
      /** Where a pod without namespace is looked for; undefined: everywhere. */
      readonly namespace: string | undefined;
    }
  /** Lines for standard error. */
  | { readonly kind: 'rejected'; readonly lines: readonly string[] };

export interface ExplainedOptions {
  /** As the controller's test flag: endpoints of providers may be http. */
  readonly allowInsecureEndpoints: boolean;
  /** Of the pods; undefined where nobody said. */
  readonly namespace: string | undefined;
}

/** Reads a file or folder of manifests. Whatever is wrong with it is a problem and not an exception. */
export async function clusterFromFiles(path: string, options: ExplainedOptions): Promise<ClusterOutcome> {
  const outcome = await fileSamples.load(path);
  const problems = outcome.kind === 'rejected' ? outcome.problems : rejectedPolicies(outcome.samples);
  if (outcome.kind === 'rejected' || problems.length > 0) {
    return { kind: 'rejected', lines: problems.map(formatProblem) };
  }
  const local = newLocalCluster();
  local.load(outcome.samples);
  const cluster = explainedCluster(local.store, options, workloadsOfLocalPod);
  return { kind: 'loaded', cluster, namespace: options.namespace };
}

/** The first pod of a workload in files has its name and a zero. */
function workloadsOfLocalPod({ name }: Pod): readonly string[] {
  return name.endsWith('-0') ? [name.slice(0, -2)] : [];
}

/** In a cluster the last good version would stay in force; a file has none. */
function rejectedPolicies({ resources }: LoadedSamples): readonly Problem[] {
  return resources.flatMap(({ object, at }) => {
    if (object.kind !== 'MetadataPolicy' && object.kind !== 'ClusterMetadataPolicy') return [];
    return compileErrors(object).map((what) => ({ at, what, fix: 'correct it' }));
  });
}

/** Why a policy does not compile; empty if it does. */
export function compileErrors(policy: AnyPolicy): readonly string[] {
  const outcome = compilePolicy(policy);
  if (outcome.kind === 'compiled') return [];
  return outcome.errors.map(
    ({ field, position, message }) => `${field} does not compile at character ${position + 1}: ${message}`,
  );
}

/** @param store has at least all that concerns the pods in it */
export function explainedCluster(
  store: ClusterView,
  { allowInsecureEndpoints }: ExplainedOptions,
  workloadsOf: ExplainedCluster['workloadsOf'],
): ExplainedCluster {
  const policies = new LastGoodPolicies(compilePolicy);
  const options = {
    rules: { ownNamespace: defaultNamespace, allowInsecureEndpoints },
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
    workloadsOf,
    coverageOf: (pod) => coverageOf(pod, store, indexOf(pod.nodeName)?.byUid(pod.uid)),
  };
}

function isOfUsers({ namespace }: Pod): boolean {
  return namespace !== defaultNamespace;
}

function byKey(one: Pod, other: Pod): number {
  return objectKey(one.namespace, one.name) < objectKey(other.namespace, other.name) ? -1 : 1;
}
