/** What the policy controllers need besides the common ports. */
import type { DenyKind } from '../../core/egress/plan.ts';

/** Which kinds of network policy the cluster serves. */
export interface NetworkPolicyDiscovery {
  /** Cached for some minutes: kinds come and go rarely. Throws kubernetes-unavailable. */
  discover(signal: AbortSignal): Promise<NetworkPolicyKinds>;
}

export interface NetworkPolicyKinds {
  /** Cluster-level deny kinds that are served, in any order. */
  readonly denyKinds: readonly DenyKind[];
  readonly cilium: boolean;
}
