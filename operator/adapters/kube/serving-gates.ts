import { MetaveilError } from '../../core/errors.ts';
import { fieldManager } from '../../core/names.ts';
import { timestamp, type Clock } from '../../core/time.ts';
import { servingGate } from '../../controllers/proxies/pod-template.ts';
import type { ServingGates } from '../../controllers/proxies/ports.ts';
import type { KubeClient } from './client.ts';
import { errorOfFailure, isOtherUid } from './failure.ts';
import { objectPath, type ResourceType } from './resource.ts';

export interface ServingGatesOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** Whether this replica leads, asked before every write. */
  readonly mayWrite: () => boolean;
}

const pods: ResourceType = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };

/** Sets the readiness gate of a proxy pod: one condition of its status is ours, all others are the kubelet's. */
export class KubeServingGates implements ServingGates {
  readonly #options: ServingGatesOptions;

  constructor(options: ServingGatesOptions) {
    this.#options = options;
  }

  async set(
    pod: { readonly namespace: string; readonly name: string; readonly uid: string },
    serving: boolean,
  ): Promise<void> {
    const { client, clock, mayWrite } = this.#options;
    if (!mayWrite()) throw new MetaveilError('kubernetes-conflict', 'another replica leads now; nothing was written');
    const { namespace, name, uid } = pod;
    const path = objectPath(pods, pod, 'status');
    const condition = {
      type: servingGate,
      status: serving ? 'True' : 'False',
      lastTransitionTime: timestamp(clock.now()),
    };
    const body = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name, uid },
      status: { conditions: [condition] },
    };
    const reply = await client.transport.send({
      method: 'PATCH',
      path,
      query: { fieldManager, force: 'true' },
      contentType: 'application/apply-patch+yaml',
      body: JSON.stringify(body),
    });
    if (reply.kind !== 'failed' || reply.failure.status === 404 || isOtherUid(reply.failure)) return;
    throw errorOfFailure(`PATCH ${path}`, reply.failure);
  }
}
