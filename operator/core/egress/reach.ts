/** Does a rule of somebody else's NetworkPolicy allow a metadata address? */
import type { EgressRule, NetworkPolicy } from '../cluster/objects.ts';
import type { BlockedAddresses } from './addresses.ts';
import { cidrContains } from './cidr.ts';

const metadataPort = 80;

/** A NetworkPolicy that isolates its pods for egress. */
export function isolatesEgress(policy: NetworkPolicy): boolean {
  return policy.policyTypes.includes('Egress');
}

/** The first blocked address that some rule of `policy` allows on TCP 80, or undefined. */
export function reachedAddress(policy: NetworkPolicy, blocked: BlockedAddresses): string | undefined {
  const addresses = [...blocked.ipv4, ...blocked.ipv6];
  return addresses.find((address) => policy.egress.some((rule) => allowsAddress(rule, address) && allowsPort(rule)));
}

/** Pod and namespace peers never match: no pod has a metadata address. */
function allowsAddress(rule: EgressRule, address: string): boolean {
  if (rule.to === undefined || rule.to.length === 0) return true;
  return rule.to.some(({ ipBlock }) => {
    if (ipBlock === undefined || !cidrContains(ipBlock.cidr, address)) return false;
    return !(ipBlock.except ?? []).some((except) => cidrContains(except, address));
  });
}

/** A named port is resolved on the destination pod, so it cannot match an address outside the cluster. */
function allowsPort(rule: EgressRule): boolean {
  if (rule.ports === undefined || rule.ports.length === 0) return true;
  return rule.ports.some(({ protocol, port, endPort }) => {
    if ((protocol ?? 'TCP') !== 'TCP') return false;
    if (port === undefined) return true;
    return typeof port === 'number' && port <= metadataPort && metadataPort <= (endPort ?? port);
  });
}
