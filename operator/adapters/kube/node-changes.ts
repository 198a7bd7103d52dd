/** The two small changes to objects that kubelet owns: a proxy pod's readiness gate and a node's startup taint. */
import type { NodeTaints, ServingGates } from '../../controllers/proxies/ports.ts';
import { servingGate } from '../../controllers/proxies/pod-template.ts';
import { MetaveilError } from '../../core/errors.ts';
import { fieldManager } from '../../core/names.ts';
import { timestamp } from '../../core/time.ts';
import type { Clock } from '../../core/time.ts';
import { unlessNotFound, type KubeClient } from './client.ts';
import { errorOfFailure, isOtherUid } from './failure.ts';
import { isRecord, recordAt, recordsAt, textAt } from './project/raw.ts';
import { objectPath, type ResourceType } from './resource.ts';

const pods: ResourceType = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };
const nodes: ResourceType = { group: '', version: 'v1', kind: 'Node', plural: 'nodes', namespaced: false };

export class KubeServingGates implements ServingGates {
  readonly #client: KubeClient;
  readonly #clock: Clock;

  constructor(client: KubeClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** A strategic merge by condition type; the uid makes the API server refuse another pod of the same name. */
  async set(
    pod: { readonly namespace: string; readonly name: string; readonly uid: string },
    serving: boolean,
  ): Promise<void> {
    const condition = {
      type: servingGate,
      status: serving ? 'True' : 'False',
      lastTransitionTime: timestamp(this.#clock.now()),
    };
    const body = { metadata: { uid: pod.uid }, status: { conditions: [condition] } };
    const path = objectPath(pods, pod, 'status');
    const call = { method: 'PATCH', path, query: { fieldManager } } as const;
    const contentType = 'application/strategic-merge-patch+json';
    const reply = await this.#client.transport.send({ ...call, contentType, body: JSON.stringify(body) });
    if (reply.kind !== 'failed' || reply.failure.status === 404 || isOtherUid(reply.failure)) return;
    throw errorOfFailure(`PATCH ${path}`, reply.failure);
  }
}

export class KubeNodeTaints implements NodeTaints {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async remove(nodeName: string, taintKey: string): Promise<void> {
    const path = objectPath(nodes, { name: nodeName });
    const node = await unlessNotFound(this.#client.request({ method: 'GET', path }));
    if (!isRecord(node)) return;
    const index = recordsAt(recordAt(node, 'spec'), 'taints').findIndex((taint) => textAt(taint, 'key') === taintKey);
    if (index < 0) return;
    const taint = `/spec/taints/${index}`;
    const patch = [
      { op: 'test', path: `${taint}/key`, value: taintKey },
      { op: 'remove', path: taint },
    ];
    const contentType = 'application/json-patch+json';
    const call = { method: 'PATCH', path, query: { fieldManager }, contentType } as const;
    const reply = await this.#client.transport.send({ ...call, body: JSON.stringify(patch) });
    if (reply.kind !== 'failed' || reply.failure.status === 404) return;
    if (reply.failure.status === 422) throw new MetaveilError('kubernetes-conflict', `PATCH ${path}: it changed`);
    throw errorOfFailure(`PATCH ${path}`, reply.failure);
  }
}
