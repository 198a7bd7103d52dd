import { setTimeout as delay } from 'node:timers/promises';
import type { Pod } from 'kubernetes-types/core/v1.js';
import type { ClusterAccess } from './access.ts';
import { isApiError, type WatchEvent } from './api.ts';
import { Nodes, Pods, type Stored } from './kinds.ts';
import { bindAndRun, refreshReadiness, removePod } from './pods.ts';

export interface DaemonPodOptions {
  /** The nodes to play kubelet for; pods bound elsewhere are left alone. */
  readonly nodes: readonly string[];
  /** Default: all namespaces. Narrow it when several tests share a cluster. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  /** What to do with terminating pods: let them go at once (default), or keep them for the test to remove. */
  readonly terminating?: 'remove' | 'keep';
}

export interface DaemonPods {
  /** Throws what kept it from placing a pod, if anything but the API server did. */
  stop(): Promise<void>;
}

const RECONNECT_AFTER_MS = 100;
/** Addresses below are left to pods that a test places itself. */
const FIRST_HOST = 100;
const LAST_HOST = 254;

/**
 * Plays scheduler and kubelet for the pods that controllers make (DaemonSet, Deployment, Job): binds them, reports
 * them Running on an address of the node's podCIDR, follows their readiness gates, and lets terminating ones go.
 * Goes on through a restart of the API server.
 *
 * It honours the affinity to metadata.name that DaemonSet pods carry, and nodeSelector. A pod with any other
 * required node affinity stays Pending; taints, host ports and resources are the real scheduler's job
 * (`startCluster({ scheduler: true })`; this then only plays the kubelet).
 */
export function runDaemonPods(cluster: ClusterAccess, options: DaemonPodOptions): DaemonPods {
  const stopping = new AbortController();
  const kubelets = new StandInKubelets(cluster, options);
  const done = follow(cluster, options, kubelets, stopping.signal);
  return {
    stop: async () => {
      stopping.abort();
      await done;
      kubelets.throwFailure();
    },
  };
}

async function follow(
  cluster: ClusterAccess,
  options: DaemonPodOptions,
  kubelets: StandInKubelets,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const event of cluster.api.watch(Pods, options, signal)) await kubelets.handle(event);
    } catch {
      // A lost connection, or an object that changed under us: the next watch replays everything there is.
    }
    await delay(RECONNECT_AFTER_MS, undefined, { signal, ref: false }).catch(() => undefined);
  }
}

class StandInKubelets {
  readonly #cluster: ClusterAccess;
  readonly #options: DaemonPodOptions;
  /** podIP by pod uid. */
  readonly #addresses = new Map<string, string>();
  #failure: unknown;

  constructor(cluster: ClusterAccess, options: DaemonPodOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  async handle(event: WatchEvent<Pod>): Promise<void> {
    const { uid } = event.object.metadata;
    if (event.type === 'DELETED') {
      this.#addresses.delete(uid);
      return;
    }
    const known = event.object.status?.podIP;
    if (known !== undefined) this.#addresses.set(uid, known);
    try {
      await this.#advance(event.object);
    } catch (error) {
      // The event was older than the object; a newer one is on its way.
      if (!isApiError(error, 404, 409)) throw error;
    }
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw new Error('a pod could not be placed', { cause: this.#failure });
  }

  async #advance(pod: Stored<Pod>): Promise<void> {
    const node = await this.#nodeFor(pod);
    if (node === undefined) return;
    if (pod.metadata.deletionTimestamp !== undefined) {
      if (this.#options.terminating !== 'keep') await removePod(this.#cluster, pod.metadata);
      return;
    }
    const phase = pod.status?.phase;
    if (phase === 'Pending') await this.#run(pod, node);
    if (phase === 'Running') await refreshReadiness(this.#cluster, pod);
  }

  async #run(pod: Stored<Pod>, node: string): Promise<void> {
    const podIP = pod.spec?.hostNetwork === true ? undefined : await this.#addressFor(pod.metadata.uid, node);
    await bindAndRun(this.#cluster, pod.metadata, { node, podIP });
  }

  async #nodeFor(pod: Stored<Pod>): Promise<string | undefined> {
    const bound = pod.spec?.nodeName;
    if (bound !== undefined) return this.#options.nodes.includes(bound) ? bound : undefined;
    return this.#cluster.scheduler ? undefined : this.#schedule(pod);
  }

  async #schedule(pod: Stored<Pod>): Promise<string | undefined> {
    const names = candidateNames(pod, this.#options.nodes);
    const wanted = Object.entries(pod.spec?.nodeSelector ?? {});
    for (const name of names) {
      const labels = (await this.#cluster.api.find(Nodes, { name }))?.metadata.labels ?? {};
      if (wanted.every(([key, value]) => labels[key] === value)) return name;
    }
    return undefined;
  }

  async #addressFor(uid: string, node: string): Promise<string> {
    const known = this.#addresses.get(uid);
    if (known !== undefined) return known;
    const { spec } = await this.#cluster.api.get(Nodes, { name: node });
    const address = freeAddress(spec?.podCIDR, new Set(this.#addresses.values()));
    if (address === undefined) {
      this.#failure = new Error(`node ${node}: no address left, or its podCIDR is not of the form a.b.c.0/24`);
      throw this.#failure;
    }
    this.#addresses.set(uid, address);
    return address;
  }
}

function freeAddress(podCIDR: string | undefined, taken: ReadonlySet<string>): string | undefined {
  const prefix = /^(\d+\.\d+\.\d+)\.0\/24$/.exec(podCIDR ?? '')?.[1];
  if (prefix === undefined) return undefined;
  for (let host = FIRST_HOST; host <= LAST_HOST; host += 1) {
    if (!taken.has(`${prefix}.${host}`)) return `${prefix}.${host}`;
  }
  return undefined;
}

/** The nodes that the pod's required affinity leaves: all without one, none if it is more than a node's name. */
function candidateNames(pod: Stored<Pod>, nodes: readonly string[]): readonly string[] {
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms === undefined) return nodes;
  const named = terms.flatMap((term) => {
    if (term.matchExpressions !== undefined) return [];
    const field = term.matchFields?.length === 1 ? term.matchFields[0] : undefined;
    return field?.key === 'metadata.name' && field.operator === 'In' ? (field.values ?? []) : [];
  });
  return named.filter((name) => nodes.includes(name));
}
