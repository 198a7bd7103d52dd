import { egressKinds } from '../../controllers/policies/egress-objects.ts';
import type { NetworkPolicyDiscovery, NetworkPolicyKinds } from '../../controllers/policies/ports.ts';
import type { DenyKind } from '../../core/egress/plan.ts';
import type { ApiDiscovery } from './discovery.ts';

const denyKinds: readonly DenyKind[] = [
  'ClusterNetworkPolicy',
  'CiliumClusterwideNetworkPolicy',
  'GlobalNetworkPolicy',
];

/** Which kinds of network policy the cluster serves; ApiDiscovery remembers. */
export class KubeNetworkPolicyDiscovery implements NetworkPolicyDiscovery {
  readonly #discovery: ApiDiscovery;

  constructor(discovery: ApiDiscovery) {
    this.#discovery = discovery;
  }

  async discover(): Promise<NetworkPolicyKinds> {
    const served: DenyKind[] = [];
    for (const kind of denyKinds) if (await this.#serves(egressKinds[kind], kind)) served.push(kind);
    // Cilium's agents register nodes whatever policies are allowed; GKE's Dataplane V2 is Cilium too.
    return { denyKinds: served, cilium: await this.#serves('cilium.io/v2', 'CiliumNode') };
  }

  async #serves(apiVersion: string, kind: string): Promise<boolean> {
    return (await this.#discovery.find(apiVersion, kind)) !== undefined;
  }
}
