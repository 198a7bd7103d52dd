import type { NetworkPolicyDiscovery, NetworkPolicyKinds } from '../../controllers/policies/ports.ts';
import { egressKinds } from '../../controllers/policies/egress-objects.ts';
import type { DenyKind } from '../../core/egress/plan.ts';
import type { ApiDiscovery } from './discovery.ts';

const denyKinds: readonly DenyKind[] = [
  'ClusterNetworkPolicy',
  'CiliumClusterwideNetworkPolicy',
  'GlobalNetworkPolicy',
];

/** Which kinds of network policy the API server serves; the discovery below remembers for some minutes. */
export class KubeNetworkPolicyKinds implements NetworkPolicyDiscovery {
  readonly #discovery: ApiDiscovery;

  constructor(discovery: ApiDiscovery) {
    this.#discovery = discovery;
  }

  async discover(): Promise<NetworkPolicyKinds> {
    const served = await Promise.all(denyKinds.map((kind) => this.#serves(egressKinds[kind], kind)));
    return {
      denyKinds: denyKinds.filter((_, index) => served[index]),
      // Its agents register their nodes whatever policies are allowed; GKE's Dataplane V2 is Cilium without the rest.
      cilium: await this.#serves('cilium.io/v2', 'CiliumNode'),
    };
  }

  async #serves(apiVersion: string, kind: string): Promise<boolean> {
    return (await this.#discovery.find(apiVersion, kind)) !== undefined;
  }
}
