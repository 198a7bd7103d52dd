/** Which addresses a pod must not reach without the proxy, and what on them must stay open, per platform. */
import { metadataAddresses } from '../names.ts';
import type { Platform } from '../snapshot/types.ts';

/** Ports on a blocked address that other services of the platform use. */
export interface Opening {
  readonly address: string;
  readonly ports: readonly { readonly protocol: 'TCP' | 'UDP'; readonly port: number }[];
}

export interface BlockedAddresses {
  /** Sorted, without prefix length. */
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
  readonly openings: readonly Opening[];
}

const dns = [
  { protocol: 'TCP', port: 53 },
  { protocol: 'UDP', port: 53 },
] as const;

/** GCE serves DNS and NTP on the metadata address; CoreDNS forwards to it, so closing them breaks cluster DNS. */
const servicesOfGoogle: Opening = { address: '169.254.169.254', ports: [...dns, { protocol: 'UDP', port: 123 }] };

const openings: Readonly<Record<Platform, readonly Opening[]>> = {
  GCE: [servicesOfGoogle],
  AWS: [],
  Azure: [{ address: '168.63.129.16', ports: dns }],
  // Nodes that do not say where they run may run on GCE.
  None: [servicesOfGoogle],
};

/** Union over the platforms of the cluster's nodes: a NetworkPolicy cannot know on which node a pod will run. */
export function blockedAddresses(platforms: ReadonlySet<Platform>): BlockedAddresses {
  const sorted = [...platforms].sort();
  const union = (family: 'ipv4' | 'ipv6') =>
    [...new Set(sorted.flatMap((platform): readonly string[] => metadataAddresses[platform][family]))].sort();
  return {
    ipv4: union('ipv4'),
    ipv6: union('ipv6'),
    openings: [...new Set(sorted.flatMap((platform) => openings[platform]))],
  };
}
