/** From a situation to what is to be done about a MetadataProxy: pure. */
import type { MetadataProxy, MetadataProxyStatus } from '../../api/v1/index.ts';
import { metadataProxyFinalizer, startupTaintKey } from '../../core/names.ts';
import { conditionsOf, listed, readyFrom } from '../conditions.ts';
import type { Aspect } from '../conditions.ts';
import { labelValue } from '../labels.ts';
import type { AppliedObject, KubernetesEvent, OwnedObject } from '../ports.ts';
import { nodesOf, planStatus } from '../status-plan.ts';
import type { StatusPlan } from '../status-plan.ts';
import type { RecentWrites } from '../status-writes.ts';
import type { ProxySituation } from './gather.ts';
import { planHandover } from './handover.ts';
import { isInPlace } from './in-place.ts';
import { planRollout } from './rollout.ts';
import type { ExistingDeployment } from './rollout.ts';
import { daemonSet, deployment, nodeLabel, serviceAccount, templateHashOf } from './workloads.ts';
import type { WorkloadContext } from './workloads.ts';

export type ProxyPlan =
  | {
      readonly kind: 'keep';
      readonly addFinalizer: boolean;
      readonly deletions: readonly OwnedObject[];
      readonly applications: readonly AppliedObject[];
      readonly status: StatusPlan<MetadataProxyStatus>;
      /** Nodes that are served now and still carry the startup taint. */
      readonly untaint: readonly string[];
      readonly requeueAfterMs?: number;
    }
  | {
      readonly kind: 'remove';
      readonly deletions: readonly OwnedObject[];
      /** Nodes have let go, or had their time. */
      readonly removeFinalizer: boolean;
      readonly events: readonly KubernetesEvent[];
      readonly requeueAfterMs?: number;
    };

export interface ProxyPlanInput {
  readonly situation: ProxySituation;
  readonly context: WorkloadContext;
  readonly previous: MetadataProxyStatus | undefined;
  readonly now: number;
  readonly writes: RecentWrites | undefined;
}

/** How long a deletion waits for Ready nodes to remove their rules. */
const releaseMs = 120_000;
const releasePollMs = 2_000;
/** A rollout goes on when a Deployment has settled, which nothing tells us. */
const rolloutPollMs = 5_000;

export function planProxy(input: ProxyPlanInput): ProxyPlan {
  const { deletionTimestamp } = input.situation.proxy.metadata;
  return deletionTimestamp === undefined ? planKeep(input) : planRemove(input, Date.parse(deletionTimestamp));
}

function planRemove({ situation, now }: ProxyPlanInput, deletedAt: number): ProxyPlan {
  const { existing, instances, proxy } = situation;
  const holding = [...new Set(instances.map(({ node }) => node))];
  const isOver = existing.length === 0 && holding.length === 0;
  const isLate = now - deletedAt >= releaseMs;
  const removeFinalizer = (isOver || isLate) && (proxy.metadata.finalizers?.includes(metadataProxyFinalizer) ?? false);
  return {
    kind: 'remove',
    deletions: existing,
    removeFinalizer,
    events: removeFinalizer && holding.length > 0 ? [unreleasedEvent(holding)] : [],
    ...(isOver || isLate ? {} : { requeueAfterMs: releasePollMs }),
  };
}

function unreleasedEvent(nodes: readonly string[]): KubernetesEvent {
  const message = `These nodes did not confirm within 2 min that their rules are gone: ${listed(nodes)}. Restart them, or delete the nft table metaveil there.`;
  return { type: 'Warning', reason: 'RulesLeftBehind', message };
}

function planKeep(input: ProxyPlanInput): ProxyPlan {
  const { situation, context } = input;
  const accepted = acceptedAspect(situation);
  const desired = accepted.status === 'True' ? desiredWorkloads(situation, context) : [];
  const handover = planHandover(situation, desired, context.hash);
  const rollout = planRollout(desired, existingDeployments(situation, context), situation.proxy.spec.maxUnavailable);
  return {
    kind: 'keep',
    addFinalizer: !(situation.proxy.metadata.finalizers?.includes(metadataProxyFinalizer) ?? false),
    deletions: handover.deletions,
    applications: [
      ...(situation.hasServiceAccount ? [] : [serviceAccount(context.installation)]),
      ...missing(rollout.apply, situation.existing),
    ],
    status: planStatus(input.previous, statusOf(input, accepted), {
      generation: generationOf(situation.proxy),
      now: input.now,
      writes: input.writes,
    }),
    untaint: situation.proxy.spec.removeStartupTaint ? taintedNodes(situation) : [],
    ...((rollout.waiting.length > 0 || handover.isUnderWay) && { requeueAfterMs: rolloutPollMs }),
  };
}

function missing(desired: readonly AppliedObject[], existing: readonly OwnedObject[]): readonly AppliedObject[] {
  const byName = new Map(existing.map((owned) => [`${owned.ref.kind}/${owned.ref.name}`, owned]));
  return desired.filter((object) => !isInPlace(object, byName.get(`${object.kind}/${object.metadata.name}`)));
}

function taintedNodes({ nodes }: ProxySituation): readonly string[] {
  return nodes
    .filter(({ node, serving }) => serving && node.taints.some(({ key }) => key === startupTaintKey))
    .map(({ node }) => node.name);
}

function desiredWorkloads({ proxy, nodes }: ProxySituation, context: WorkloadContext): readonly AppliedObject[] {
  switch (proxy.spec.workload) {
    case 'DaemonSet':
      return [daemonSet(proxy, context)];
    case 'Deployment':
      return nodes.map(({ node }) => deployment(proxy, node, context));
  }
}

function existingDeployments(
  { existing, nodes }: ProxySituation,
  { hash }: WorkloadContext,
): readonly ExistingDeployment[] {
  const away = new Set(nodes.filter(({ node }) => !node.ready).map(({ node }) => labelValue(node.name, hash)));
  return existing
    .filter(({ ref }) => ref.kind === 'Deployment')
    .map((owned) => ({
      name: owned.ref.name,
      templateHash: templateHashOf(owned),
      state: away.has(owned.labels[nodeLabel] ?? '') ? 'node-away' : rolloutState(owned.object),
    }));
}

interface DeploymentState {
  readonly metadata?: { readonly generation?: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
    readonly replicas?: number;
  };
}

function rolloutState({ metadata, status }: DeploymentState): 'settled' | 'unsettled' {
  if ((status?.observedGeneration ?? 0) < (metadata?.generation ?? 0)) return 'unsettled';
  const counts = [status?.replicas, status?.updatedReplicas, status?.availableReplicas];
  return counts.every((count) => count === 1) ? 'settled' : 'unsettled';
}

function statusOf({ situation, previous, now }: ProxyPlanInput, accepted: Aspect): MetadataProxyStatus {
  const generation = generationOf(situation.proxy);
  const parts = [accepted, availableAspect(situation, accepted)];
  const ready = situation.nodes.filter(({ node }) => node.ready);
  return {
    observedGeneration: generation,
    conditions: conditionsOf(readyFrom(parts), parts, { previous: previous?.conditions, generation, now }),
    nodes: nodesOf(ready.length, ready.filter(({ serving }) => serving).length),
  };
}

function generationOf({ metadata }: MetadataProxy): number {
  return metadata.generation ?? 0;
}

function acceptedAspect({ proxy, overlaps }: ProxySituation): Aspect {
  const missing = notImplemented(proxy);
  if (missing !== undefined) return { type: 'Accepted', status: 'False', reason: 'NotImplemented', message: missing };
  if (overlaps.length > 0) {
    const owners = listed([...new Set(overlaps.map(({ owner }) => owner))]);
    const message = `Older MetadataProxy ${owners} owns ${listed(overlaps.map(({ node }) => node))}; make the nodeSelectors disjoint.`;
    return { type: 'Accepted', status: 'False', reason: 'Overlap', message };
  }
  const message = ['Its nodes belong to no other MetadataProxy.', ...withoutEffect(proxy)].join(' ');
  return { type: 'Accepted', status: 'True', reason: 'Accepted', message };
}

/** Said aloud: a mode that is accepted and does nothing would be taken for protection. */
function notImplemented({ spec }: MetadataProxy): string | undefined {
  if (spec.interception === 'Env' || spec.interception === 'CiliumLocalRedirect') {
    return `interception: ${spec.interception} is not in this version; use NFTables or None.`;
  }
  return undefined;
}

/** Said as well, but not refused: withdrawing the proxies for it would protect nobody. */
function withoutEffect({ spec }: MetadataProxy): readonly string[] {
  if (spec.hostNetworkWorkloads !== 'Deny') return [];
  return ["hostNetworkWorkloads: Deny is not in this version: pods on the host's network reach the node's own server."];
}

function availableAspect({ nodes }: ProxySituation, accepted: Aspect): Aspect {
  const type = 'Available';
  if (accepted.status !== 'True') {
    return { type, status: 'Unknown', reason: accepted.reason, message: 'Waits until the MetadataProxy is accepted.' };
  }
  const ready = nodes.filter(({ node }) => node.ready);
  const missing = ready.filter(({ serving }) => !serving).map(({ node }) => node.name);
  if (missing.length > 0) {
    return {
      type,
      status: 'Unknown',
      reason: 'NodesNotConnected',
      message: `No connected proxy on ${listed(missing)}.`,
    };
  }
  if (ready.length === 0) {
    return { type, status: 'True', reason: 'NoNodes', message: 'No Ready Linux node matches the nodeSelector.' };
  }
  return { type, status: 'True', reason: 'Available', message: 'Every selected Ready node runs a connected proxy.' };
}
