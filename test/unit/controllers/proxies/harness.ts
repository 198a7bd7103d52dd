/** The controller of MetadataProxies at work on a store, fakes and a clock of their own. */
import { createHash } from 'node:crypto';
import type { ContentHash, Hash } from '../../../../operator/core/brand.ts';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import { proxyController } from '../../../../operator/controllers/proxies/controller.ts';
import type { ProxyInstallation } from '../../../../operator/controllers/proxies/pod-template.ts';
import type { ProxyConnections } from '../../../../operator/controllers/proxies/ports.ts';
import { ControllerRuntime } from '../../../../operator/controllers/runtime.ts';
import { pod, storeOf } from '../../../builders/objects.ts';
import { FakeApiObjects } from '../../../fakes/api-objects.ts';
import { FakeEvents } from '../../../fakes/controllers.ts';
import { FakeTimers, settle } from '../../../fakes/timers.ts';

export const sha256: Hash = (text) => createHash('sha256').update(text).digest('hex') as ContentHash;

export const installation: ProxyInstallation = {
  namespace: 'metaveil-system',
  image: 'registry.example.com/metaveil:v0.1.0',
  nodeApiUrl: 'https://10.96.0.10:8443',
  nodeApiName: 'metaveil-controller.metaveil-system.svc',
  caConfigMap: 'metaveil-node-api-ca',
};

export class FakeConnections implements ProxyConnections {
  readonly #serving = new Set<string>();
  readonly #listeners = new Set<(nodes: ReadonlySet<string>) => void>();

  isServing(nodeName: string): boolean {
    return this.#serving.has(nodeName);
  }

  onChange(listener: (nodes: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  set(nodeName: string, serving: boolean): void {
    if (serving) this.#serving.add(nodeName);
    else this.#serving.delete(nodeName);
    for (const listener of this.#listeners) listener(new Set([nodeName]));
  }
}

export function startProxies(...objects: readonly StoredObject[]) {
  const store = storeOf(...objects);
  const api = new FakeApiObjects(store);
  const timers = new FakeTimers();
  const events = new FakeEvents();
  const connections = new FakeConnections();
  const untainted: string[] = [];
  const failures: unknown[] = [];
  const taints = {
    remove: (nodeName: string, key: string) => {
      untainted.push(`${nodeName} ${key}`);
      return Promise.resolve();
    },
  };
  const options = {
    cluster: store,
    writer: api,
    events,
    connections,
    taints,
    clock: timers,
    hash: sha256,
    installation,
  };
  const runtime = () =>
    new ControllerRuntime(store, [proxyController(options)], {
      timers,
      random: () => 0.5,
      onFailure: (_controller, _key, error) => failures.push(error),
    });
  return { store, api, timers, events, connections, untainted, taints, failures, runtime };
}

export type Proxies = ReturnType<typeof startProxies>;

export async function run(proxies: Proxies): Promise<ControllerRuntime> {
  const runtime = proxies.runtime();
  runtime.start();
  await settle();
  return runtime;
}

/** Names of the workloads that exist. */
export function workloadsOf({ api }: Proxies): readonly string[] {
  return api.names().filter((name) => /^(DaemonSet|Deployment) /.test(name));
}

/** What the workload controllers and a kubelet make of a workload: a pod on `nodeName` with the template's labels. */
export function podOf(proxies: Proxies, workload: string, nodeName: string, ready = true) {
  const { template } = proxies.api.object(workload)['spec'] as {
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: { readonly serviceAccountName: string };
    };
  };
  const ownerKind = workload.startsWith('DaemonSet') ? 'DaemonSet' : 'ReplicaSet';
  return pod({
    namespace: installation.namespace,
    name: `${ownerKind.toLowerCase()}-${nodeName}`,
    labels: template.metadata.labels,
    serviceAccountName: template.spec.serviceAccountName,
    hostNetwork: true,
    nodeName,
    ownerKind,
    ready,
  });
}

/** Reports a Deployment rolled out, as its controller does. */
export function settleDeployment({ api }: Proxies, name: string): void {
  api.change(name, (object) => {
    const { generation } = object.metadata as { readonly generation?: number };
    const status = { observedGeneration: generation, replicas: 1, updatedReplicas: 1, availableReplicas: 1 };
    return { ...object, status };
  });
}

export function conditionOf({ store }: Proxies, name: string, type: string) {
  return store.proxy(name)?.status?.conditions?.find((each) => each.type === type);
}

export function stateOf(proxies: Proxies, name: string, type: string): string {
  const found = conditionOf(proxies, name, type);
  return found === undefined ? 'absent' : `${found.status} ${found.reason}`;
}
