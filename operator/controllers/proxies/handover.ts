/** Which workloads go now, also when a MetadataProxy changes from one form of workload to the other. */
import type { Hash } from '../../core/brand.ts';
import { labelValue } from '../labels.ts';
import type { AppliedObject, OwnedObject } from '../ports.ts';
import type { ProxySituation } from './gather.ts';
import { nodeLabel } from './workloads.ts';

export interface Handover {
  /** To delete now. */
  readonly deletions: readonly OwnedObject[];
  /** Something has to wait until its successor serves. */
  readonly isUnderWay: boolean;
}

/**
 * What is not desired goes; but what serves a node stays until the other form of workload serves it: two instances
 * share the node as they do during an update, so no request fails.
 */
export function planHandover(situation: ProxySituation, desired: readonly AppliedObject[], hash: Hash): Handover {
  const names = new Set(desired.map(({ kind, metadata }) => `${kind}/${metadata.name}`));
  const unwanted = situation.existing.filter(({ ref }) => !names.has(`${ref.kind}/${ref.name}`));
  const waiting = desired.length === 0 ? new Set<string>() : waitingNodes(situation, hash);
  const deletions = unwanted.filter((owned) => !isNeeded(owned, situation, waiting));
  return { deletions, isUnderWay: deletions.length < unwanted.length };
}

function isNeeded({ ref, labels }: OwnedObject, { proxy }: ProxySituation, waiting: ReadonlySet<string>): boolean {
  if (ref.kind === proxy.spec.workload) return false;
  return ref.kind === 'DaemonSet' ? waiting.size > 0 : waiting.has(labels[nodeLabel] ?? '');
}

/** Label values of the nodes that only the outgoing form serves. */
function waitingNodes({ proxy, nodes, instances }: ProxySituation, hash: Hash): ReadonlySet<string> {
  const serving = instances.filter(({ ready }) => ready);
  const taken = new Set(serving.filter(({ form }) => form === proxy.spec.workload).map(({ node }) => node));
  const held = new Set(serving.map(({ node }) => node));
  const waiting = nodes.filter(({ node }) => held.has(node.name) && !taken.has(node.name));
  return new Set(waiting.map(({ node }) => labelValue(node.name, hash)));
}
