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
    const found = await Promise.all(denyKinds.map((kind) => this.#discovery.find(egressKinds[kind], kind)));
    const present = denyKinds.filter((_, index) => found[index] !== undefined);
    return { denyKinds: present, cilium: present.includes('CiliumClusterwideNetworkPolicy') };
  }
}
