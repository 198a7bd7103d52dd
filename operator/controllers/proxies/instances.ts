/**
 * The instances of the proxy as they report themselves: which nodes are served, and the readiness gate of each pod.
 * A pod keeps its gate while the controller is away; only the instance itself takes it back.
 */
import type { PodUid } from '../../core/brand.ts';
import type { Clock } from '../../core/time.ts';
import type { InstanceReadiness, ProxyPods } from '../../nodeapi/server/ports.ts';
import type { ReconcileResult } from '../queue.ts';
import type { ControllerDefinition } from '../runtime.ts';
import type { ProxyConnections, ServingGates } from './ports.ts';

interface Instance {
  readonly nodeName: string;
  readonly serving: boolean;
}

export interface InstancesOptions {
  readonly pods: ProxyPods;
  readonly gates: ServingGates;
  readonly clock: Clock;
}

/** Between two times that one gate is opened, in ms: a node that says yes and no on and on makes no write storm. */
const reopenMs = 2_000;

export class Instances implements InstanceReadiness, ProxyConnections, ControllerDefinition {
  readonly name = 'serving-gates';
  readonly #options: InstancesOptions;
  readonly #instances = new Map<PodUid, Instance>();
  /** Node → instances that serve it: asked for every node of a MetadataProxy at once. */
  readonly #servers = new Map<string, Set<PodUid>>();
  /** What the gate of each pod was last set to, and when, in ms since the epoch. */
  readonly #written = new Map<PodUid, { readonly serving: boolean; readonly at: number }>();
  readonly #listeners = new Set<(nodes: ReadonlySet<string>) => void>();
  #wake: (key: string) => void = () => undefined;

  constructor(options: InstancesOptions) {
    this.#options = options;
    options.pods.onGone((pod) => this.#forget(pod));
  }

  report(instance: PodUid, ready: boolean): void {
    const pod = this.#options.pods.find(instance);
    if (pod === undefined) return;
    const before = this.#instances.get(instance);
    this.#instances.set(instance, { nodeName: pod.nodeName, serving: ready });
    if (before?.serving === ready) return;
    this.#index(instance, pod.nodeName, ready);
    this.#wake(instance);
    this.#tell(pod.nodeName);
  }

  isServing(nodeName: string): boolean {
    return this.#servers.has(nodeName);
  }

  onChange(listener: (nodes: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  readonly allKeys = (): Iterable<string> => [...this.#instances.keys()];
  /** Instances report themselves; nothing in the store says whether one serves. */
  readonly keysFor = (): Iterable<string> => [];

  readonly reconcile = async (key: string): Promise<ReconcileResult> => {
    const uid = key as PodUid;
    const { pods, gates, clock } = this.#options;
    const [pod, instance, written] = [pods.find(uid), this.#instances.get(uid), this.#written.get(uid)];
    if (pod === undefined || instance === undefined || written?.serving === instance.serving) return {};
    const at = clock.now();
    const waitMs = instance.serving && written !== undefined ? written.at + reopenMs - at : 0;
    if (waitMs > 0) return { requeueAfterMs: waitMs };
    await gates.set(pod, instance.serving);
    this.#written.set(uid, { serving: instance.serving, at });
    return {};
  };

  /** Whoever leads meanwhile hears from the instances, and sets their gates: what we know is worth nothing then. */
  listen(wake: (key: string) => void): () => void {
    this.#wake = wake;
    return () => {
      this.#wake = () => undefined;
      for (const known of [this.#instances, this.#servers, this.#written]) known.clear();
    };
  }

  #forget(pod: PodUid): void {
    const gone = this.#instances.get(pod);
    this.#instances.delete(pod);
    this.#written.delete(pod);
    if (gone === undefined) return;
    this.#index(pod, gone.nodeName, false);
    this.#tell(gone.nodeName);
  }

  #index(instance: PodUid, nodeName: string, serving: boolean): void {
    const servers = this.#servers.get(nodeName) ?? new Set();
    if (serving) servers.add(instance);
    else servers.delete(instance);
    if (servers.size > 0) this.#servers.set(nodeName, servers);
    else this.#servers.delete(nodeName);
  }

  #tell(nodeName: string): void {
    for (const listener of [...this.#listeners]) listener(new Set([nodeName]));
  }
}
