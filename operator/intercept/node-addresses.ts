import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { MetaveilError } from '../core/errors.ts';
import type { NodeAddresses } from '../core/redirect/plan.ts';

/**
 * One address per family from a list like that of `status.hostIPs`; the first of a family counts. Loopback is refused:
 * the kernel drops pods' packets that are redirected there.
 *
 * @throws {MetaveilError} invalid-configuration
 */
export function parseNodeAddresses(text: string): NodeAddresses {
  const addresses = text.split(',').map((each) => each.trim());
  const invalid = addresses.find((each) => !isNodeAddress(each));
  if (invalid !== undefined) {
    throw new MetaveilError('invalid-configuration', `METAVEIL_HOST_IP: "${invalid}" is not an address of a node`);
  }
  const ipv4 = addresses.find((each) => isIPv4(each));
  const ipv6 = addresses.find((each) => isIPv6(each));
  return { ...(ipv4 !== undefined && { ipv4 }), ...(ipv6 !== undefined && { ipv6: canonical(ipv6) }) };
}

function isNodeAddress(text: string): boolean {
  if (isIPv4(text)) return !text.startsWith('127.') && !text.startsWith('0.');
  if (!isIPv6(text) || text.includes('%')) return false;
  return !/^::1?$|^::ffff:|^fe[89ab]/.test(canonical(text));
}

/** The form in which nft lists it. */
function canonical(address: string): string {
  return new SocketAddress({ family: 'ipv6', address }).address;
}
