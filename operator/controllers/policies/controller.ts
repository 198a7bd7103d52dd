/** Keeps policies true: their status, and the objects that block direct egress. One controller for each of both kinds. */
import { refOf } from '../refs.ts';
import type { MetadataPolicyStatus } from '../../api/v1/index.ts';
import type { Hash } from '../../core/brand.ts';
import { keyOf, splitKey } from '../../core/cluster/kinds.ts';
import type { ClusterView } from '../../core/cluster/store.ts';
import type { AnyPolicy, EffectivePolicyOf } from '../../core/snapshot/policies.ts';
import type { Timers } from '../../core/time.ts';
import { attemptAll } from '../attempts.ts';
import type { PolicyCounters } from '../decisions/policy-counters.ts';
import type { EventRecorder, ObjectWriter, OwnedObject, Programming } from '../ports.ts';
import type { ReconcileResult } from '../queue.ts';
import type { ControllerDefinition } from '../runtime.ts';
import { WrittenStatuses } from '../status-writes.ts';
import { egressKinds, egressLabels, kindLabels, ownerOf } from './egress-objects.ts';
import { gatherPolicy, isOurs } from './gather.ts';
import { carries, planPolicy, planRemoval, planSweep } from './plan.ts';
import type { Deletion, ExistingEgress } from './plan.ts';
import type { NetworkPolicyDiscovery, NetworkPolicyKinds } from './ports.ts';
import { keysFor, listen } from './wakes.ts';

export interface PolicyControllerOptions {
  readonly kind: AnyPolicy['kind'];
  readonly cluster: ClusterView;
  readonly writer: ObjectWriter;
  readonly events: EventRecorder;
  readonly programming: Programming;
  readonly counters: PolicyCounters;
  readonly effective: EffectivePolicyOf;
  readonly discovery: NetworkPolicyDiscovery;
  readonly timers: Timers;
  readonly hash: Hash;
  readonly ownNamespace: string;
}

type Labels = Readonly<Record<string, string>>;

/** The one key that is no policy: looks for what policies left behind that nobody knows any more. */
const sweepKey = '*';

export function policyController(options: PolicyControllerOptions): ControllerDefinition {
  const controller = new PolicyController(options);
  return {
    name: options.kind === 'MetadataPolicy' ? 'metadata-policies' : 'cluster-metadata-policies',
    allKeys: (cluster) => [sweepKey, ...cluster.list(options.kind).map(keyOf)],
    keysFor: (change, cluster) => keysFor(options.kind, change, cluster),
    reconcile: (key, signal) => controller.reconcile(key, signal),
    listen: (wake) => listen(options, wake),
  };
}

class PolicyController {
  readonly #options: PolicyControllerOptions;
  readonly #written = new WrittenStatuses<MetadataPolicyStatus>();

  constructor(options: PolicyControllerOptions) {
    this.#options = options;
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const { cluster, discovery, kind } = this.#options;
    const kinds = await discovery.discover(signal);
    if (key === sweepKey) return this.#sweep(kinds);
    const policy: AnyPolicy | undefined = cluster.get(kind, key);
    return policy === undefined ? this.#remove(key, kinds) : this.#keep(key, policy, kinds);
  }

  async #keep(key: string, policy: AnyPolicy, kinds: NetworkPolicyKinds): Promise<ReconcileResult> {
    const { counters, timers, hash, writer, events } = this.#options;
    const now = timers.now();
    const previous = this.#written.previous(key, policy, now);
    const plan = planPolicy({
      situation: gatherPolicy(policy, kinds, this.#options),
      existing: await this.#existing(egressLabels(ownerOf(policy), hash), kinds),
      previous,
      counters: counters.countersOf(policy.metadata.uid ?? '', previous, now),
      writes: this.#written.writes(key),
      now,
      hash,
    });
    await this.#delete(plan.deletions);
    await attemptAll(plan.applications, (object) => writer.apply(object));
    for (const status of plan.status.statuses) {
      await writer.updateStatus(refOf(policy), status);
      this.#written.remember(key, policy, { status, at: now });
    }
    for (const event of plan.status.events) events.record(refOf(policy), event);
    const { requeueAfterMs } = plan.status;
    return requeueAfterMs === undefined ? {} : { requeueAfterMs };
  }

  async #remove(key: string, kinds: NetworkPolicyKinds): Promise<ReconcileResult> {
    const { kind, hash } = this.#options;
    await this.#delete(planRemoval(await this.#listed(egressLabels({ kind, ...splitKey(key) }, hash), kinds)));
    this.#written.forget(key);
    return {};
  }

  async #sweep(kinds: NetworkPolicyKinds): Promise<ReconcileResult> {
    const { cluster, kind, hash } = this.#options;
    const policies: readonly AnyPolicy[] = cluster.list(kind);
    const owners = policies.map((policy) => egressLabels(ownerOf(policy), hash));
    await this.#delete(planSweep(await this.#listed(kindLabels(kind), kinds), owners));
    return {};
  }

  async #existing(labels: Labels, kinds: NetworkPolicyKinds): Promise<ExistingEgress> {
    const ours = this.#options.cluster
      .list('NetworkPolicy')
      .filter((each) => isOurs(each) && carries(each.labels, labels));
    return { networkPolicies: ours, denials: await this.#list(kinds.denyKinds, labels) };
  }

  /** Asks the API server: what was written a moment ago is not in the store yet, and nobody would look again. */
  async #listed(labels: Labels, { denyKinds }: NetworkPolicyKinds): Promise<readonly OwnedObject[]> {
    return this.#list(['NetworkPolicy', ...denyKinds], labels);
  }

  async #list(kinds: readonly (keyof typeof egressKinds)[], labels: Labels): Promise<readonly OwnedObject[]> {
    const { writer } = this.#options;
    const listed = kinds.map((kind) => writer.listOwned({ apiVersion: egressKinds[kind], kind }, labels));
    return (await Promise.all(listed)).flat();
  }

  async #delete(deletions: readonly Deletion[]): Promise<void> {
    await attemptAll(deletions, ({ ref, uid }) => this.#options.writer.delete(ref, uid));
  }
}
