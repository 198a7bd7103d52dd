import { metadataAddresses } from '../names.ts';
import type { AcceptedHosts, Rejection } from './canonical.ts';
import type { Headers } from './headers.ts';
import { requestLimits } from './limits.ts';
import { reject } from './rejection.ts';

/** The addresses of Google's server and the usual cluster domain. */
export const metadataHosts: AcceptedHosts = {
  addresses: [...metadataAddresses.GCE.ipv4, ...metadataAddresses.GCE.ipv6],
  clusterDomain: 'cluster.local',
};

export type ReadHost =
  { readonly kind: 'read'; readonly host: string } | { readonly kind: 'rejected'; readonly rejection: Rejection };

const withPort = /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?$/;

/**
 * The one Host header, lower case. A browser tricked by DNS rebinding sends the attacker's name here, so only our own
 * names pass. The port is free: proxies listen where the redirect and the environment variables point.
 */
export function readHost(headers: Headers, accepted: AcceptedHosts): ReadHost {
  const [value, ...more] = headers.get('host') ?? [];
  if (value === undefined || more.length > 0) return rejected('host-missing', 'Host absent or given twice');
  const host = value.toLowerCase();
  return isAccepted(host, accepted) ? { kind: 'read', host } : rejected('host-not-allowed', 'Host is another name');
}

function isAccepted(host: string, accepted: AcceptedHosts): boolean {
  const parts = host.length <= requestLimits.hostBytes ? withPort.exec(host) : null;
  if (parts === null) return false;
  const [, name = '', port] = parts;
  return isPort(port) && (isAcceptedAddress(name, accepted) || isMetadataName(name, accepted));
}

function rejected(code: 'host-missing' | 'host-not-allowed', detail: string): ReadHost {
  return { kind: 'rejected', rejection: reject(code, detail) };
}

function isPort(port: string | undefined): boolean {
  return port === undefined || (Number(port) >= 1 && Number(port) <= 65_535);
}

function isAcceptedAddress(name: string, accepted: AcceptedHosts): boolean {
  const isBracketed = name.startsWith('[');
  const bare = isBracketed ? name.slice(1, -1) : name;
  return isBracketed === bare.includes(':') && accepted.addresses.includes(bare);
}

const names = ['metadata.google.internal', 'metadata'];

/**
 * Resolvers append search suffixes, and some clients send the name so completed. Suffixes accepted are the cluster's
 * domain and `.internal`, which cannot be registered by anybody.
 */
function isMetadataName(name: string, accepted: AcceptedHosts): boolean {
  const bare = name.endsWith('.') ? name.slice(0, -1) : name;
  if (names.includes(bare)) return true;
  if (bare.split('.').includes('')) return false;
  return names.some((own) => {
    if (!bare.startsWith(`${own}.`)) return false;
    return bare.endsWith('.internal') || bare.endsWith(`.${accepted.clusterDomain}`);
  });
}
