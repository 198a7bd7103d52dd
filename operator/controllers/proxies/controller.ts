/** Keeps MetadataProxies true: the workloads that serve their nodes, their status, and their finalizer. */
import { refOf } from '../refs.ts';
import type { MetadataProxy, MetadataProxyStatus } from '../../api/v1/index.ts';
import { objectKey } from '../../core/cluster/kinds.ts';
import type { ClusterView, StoreChange } from '../../core/cluster/store.ts';
import { metadataProxyFinalizer, ownedLabels, proxyServiceAccount, startupTaintKey } from '../../core/names.ts';
import { hasNoEffect } from '../../core/snapshot/concerns.ts';
import { owningProxy } from '../../core/snapshot/ownership.ts';
import type { Clock } from '../../core/time.ts';
import { attemptAll } from '../attempts.ts';
import type { EventRecorder, OwnedObject } from '../ports.ts';
import type { ReconcileResult } from '../queue.ts';
import type { ControllerDefinition } from '../runtime.ts';
import { WrittenStatuses } from '../status-writes.ts';
import { existingWorkloads, gatherProxy } from './gather.ts';
import type { ProxyContext } from './gather.ts';
import { planProxy } from './plan.ts';
import type { ProxyPlan } from './plan.ts';
import type { NodeTaints } from './ports.ts';
import { ownerLabels, ownerLabelValue, workloadLabels } from './workloads.ts';

export interface ProxyControllerOptions extends ProxyContext {
  readonly events: EventRecorder;
  readonly taints: NodeTaints;
  readonly clock: Clock;
}

/** The one key that is no name: looks for what MetadataProxies left behind that nobody knows any more. */
const sweepKey = '*';

export function proxyController(options: ProxyControllerOptions): ControllerDefinition {
  const controller = new ProxyController(options);
  return {
    name: 'metadata-proxies',
    allKeys: (cluster) => [sweepKey, ...namesOf(cluster)],
    keysFor: (change, cluster) => keysFor(change, cluster, options.installation.namespace),
    reconcile: (key) => controller.reconcile(key),
    listen: (wake) => options.connections.onChange((nodes) => wakeOwners(nodes, options.cluster, wake)),
  };
}

class ProxyController {
  readonly #options: ProxyControllerOptions;
  readonly #written = new WrittenStatuses<MetadataProxyStatus>();

  constructor(options: ProxyControllerOptions) {
    this.#options = options;
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    if (key === sweepKey) return this.#sweep();
    const proxy = this.#options.cluster.proxy(key);
    if (proxy === undefined) return this.#gone(key);
    const now = this.#options.clock.now();
    const plan = planProxy({
      situation: await gatherProxy(proxy, this.#options),
      context: this.#options,
      previous: this.#written.previous(key, proxy, now),
      writes: this.#written.writes(key),
      now,
    });
    return plan.kind === 'keep' ? this.#keep(proxy, plan, now) : this.#remove(proxy, plan);
  }

  async #keep(
    proxy: MetadataProxy,
    plan: Extract<ProxyPlan, { readonly kind: 'keep' }>,
    now: number,
  ): Promise<ReconcileResult> {
    const { writer, events } = this.#options;
    const ref = refOf(proxy);
    if (plan.addFinalizer) await writer.addFinalizer(ref, metadataProxyFinalizer);
    await this.#delete(plan.deletions);
    await attemptAll(plan.applications, (object) => writer.apply(object));
    for (const status of plan.status.statuses) {
      await writer.updateStatus(ref, status);
      this.#written.remember(proxy.metadata.name, proxy, { status, at: now });
    }
    for (const event of plan.status.events) events.record(ref, event);
    // Last: the right to change nodes is optional, and without it everything else must work.
    await attemptAll(plan.untaint, (node) => this.#options.taints.remove(node, startupTaintKey));
    return soonest(plan.requeueAfterMs, plan.status.requeueAfterMs);
  }

  /** The finalizer goes last: until then a restarted controller takes up where this one stopped. */
  async #remove(proxy: MetadataProxy, plan: Extract<ProxyPlan, { readonly kind: 'remove' }>): Promise<ReconcileResult> {
    await this.#delete(plan.deletions);
    if (plan.removeFinalizer && this.#isLast(proxy.metadata.name)) await this.#deleteServiceAccount();
    for (const event of plan.events) this.#options.events.record(refOf(proxy), event);
    if (plan.removeFinalizer) await this.#options.writer.removeFinalizer(refOf(proxy), metadataProxyFinalizer);
    return soonest(plan.requeueAfterMs);
  }

  /** Somebody removed the finalizer by hand: nothing of the object must stay. */
  async #gone(name: string): Promise<ReconcileResult> {
    this.#written.forget(name);
    await this.#delete(await existingWorkloads(ownerLabels(name, this.#options.hash), this.#options));
    if (this.#isLast(name)) await this.#deleteServiceAccount();
    return {};
  }

  /** Of MetadataProxies whose finalizer somebody removed while no controller ran. */
  async #sweep(): Promise<ReconcileResult> {
    const { cluster, hash } = this.#options;
    const known = new Set(namesOf(cluster).map((name) => ownerLabelValue(name, hash)));
    const workloads = await existingWorkloads(workloadLabels, this.#options);
    await this.#delete(workloads.filter(({ labels }) => !known.has(labels[ownedLabels.ownerName] ?? '')));
    if (cluster.proxies().length === 0) await this.#deleteServiceAccount();
    return {};
  }

  #isLast(name: string): boolean {
    return this.#options.cluster.proxies().every(({ metadata }) => metadata.name === name);
  }

  async #deleteServiceAccount(): Promise<void> {
    const { cluster, installation, writer } = this.#options;
    const account = cluster.serviceAccount(installation.namespace, proxyServiceAccount);
    if (account === undefined) return;
    const { namespace, name, uid } = account;
    await writer.delete({ apiVersion: 'v1', kind: 'ServiceAccount', namespace, name }, uid);
  }

  async #delete(objects: readonly OwnedObject[]): Promise<void> {
    await attemptAll(objects, ({ ref }) => this.#options.writer.delete(ref, ref.uid));
  }
}

function soonest(...delays: readonly (number | undefined)[]): ReconcileResult {
  const known = delays.filter((delay) => delay !== undefined);
  return known.length === 0 ? {} : { requeueAfterMs: Math.min(...known) };
}

function namesOf(cluster: ClusterView): readonly string[] {
  return cluster.proxies().map(({ metadata }) => metadata.name);
}

/** A change of one MetadataProxy, or of a node's labels, can move nodes between all of them. */
function keysFor(change: StoreChange, cluster: ClusterView, ownNamespace: string): Iterable<string> {
  if (hasNoEffect(change)) return [];
  switch (change.kind) {
    case 'MetadataProxy':
      return [...namesOf(cluster), change.key];
    case 'Node':
      return namesOf(cluster);
    case 'ServiceAccount':
      return change.key === objectKey(ownNamespace, proxyServiceAccount) ? namesOf(cluster) : [];
    default:
      return [];
  }
}

function wakeOwners(nodes: ReadonlySet<string>, cluster: ClusterView, wake: (key: string) => void): void {
  for (const name of nodes) {
    const node = cluster.node(name);
    const owner = node === undefined ? undefined : owningProxy(node, cluster.proxies());
    if (owner !== undefined) wake(owner.metadata.name);
  }
}
