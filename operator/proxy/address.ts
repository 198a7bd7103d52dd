import { isIP, isIPv6, SocketAddress } from 'node:net';

const mappedPrefix = '::ffff:';

/**
 * The one text of an IP address: an IPv4 client of a dual-stack socket arrives as `::ffff:10.0.0.7`, and a snapshot
 * may spell an IPv6 address in another way than the kernel does. Undefined for anything that is no address.
 */
export function canonicalAddress(text: string): string | undefined {
  if (isIP(text) === 0) return undefined;
  const address = isIPv6(text) ? canonicalIPv6(text) : text;
  const mapped = address.startsWith(mappedPrefix) ? address.slice(mappedPrefix.length) : '';
  return isIP(mapped) === 4 ? mapped : address;
}

function canonicalIPv6(text: string): string {
  // A zone names an interface of one host; it is no part of an address that a pod can have.
  const [address = text] = text.split('%', 1);
  return new SocketAddress({ family: 'ipv6', address }).address;
}
