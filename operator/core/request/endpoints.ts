/**
 * Names of metadata endpoints for counters: a closed list, so that no pod can make up a metric label, a counter or an
 * event. What a request really asked for is in the proxy's log.
 */
import type { CanonicalPath } from '../policy/decision.ts';

/** Stands for every path that is not in the list. */
export const otherEndpoint = 'other';

const accountEntries = ['', '/aliases', '/email', '/identity', '/scopes', '/token'];
const interfaceEntries = [
  '',
  '/access-configs',
  '/access-configs/*',
  '/access-configs/*/external-ip',
  '/access-configs/*/type',
  '/dns-servers',
  '/forwarded-ips',
  '/gateway',
  '/ip',
  '/ip-aliases',
  '/ipv6s',
  '/mac',
  '/mtu',
  '/network',
  '/subnetmask',
];

/** v1 paths as Google documents them, with `*` for one segment that a customer or a machine names. */
const endpoints: readonly string[] = [
  '/',
  'instance',
  'instance/attributes',
  'instance/attributes/cluster-location',
  'instance/attributes/cluster-name',
  'instance/attributes/cluster-uid',
  'instance/attributes/kube-env',
  'instance/attributes/ssh-keys',
  'instance/attributes/startup-script',
  'instance/attributes/user-data',
  'instance/attributes/*',
  'instance/cpu-platform',
  'instance/description',
  'instance/disks',
  'instance/disks/*',
  'instance/gce-workload-certificates',
  'instance/gce-workload-certificates/*',
  'instance/guest-attributes',
  'instance/guest-attributes/*',
  'instance/guest-attributes/*/*',
  'instance/hostname',
  'instance/id',
  'instance/image',
  'instance/licenses',
  'instance/machine-type',
  'instance/maintenance-event',
  'instance/name',
  'instance/network-interfaces',
  ...interfaceEntries.map((entry) => `instance/network-interfaces/*${entry}`),
  'instance/preempted',
  'instance/scheduling',
  'instance/scheduling/*',
  'instance/service-accounts',
  ...accountEntries.map((entry) => `instance/service-accounts/default${entry}`),
  ...accountEntries.map((entry) => `instance/service-accounts/*${entry}`),
  'instance/tags',
  'instance/zone',
  'project',
  'project/attributes',
  'project/attributes/ssh-keys',
  'project/attributes/*',
  'project/numeric-project-id',
  'project/project-id',
  'universe',
  'universe/universe-domain',
];

const known: ReadonlySet<string> = new Set(endpoints);
const patterns = endpoints.filter((endpoint) => endpoint.includes('*')).map((endpoint) => endpoint.split('/'));

/** Every name there is. */
export const endpointNames: readonly string[] = [...endpoints, otherEndpoint];

/** The name under which a v1 path is counted. */
export function endpointOf(path: CanonicalPath): string {
  if (path.length === 0) return '/';
  const exact = path.join('/');
  // A star in a path is a character like any other.
  if (known.has(exact) && !exact.includes('*')) return exact;
  return patterns.find((pattern) => matches(pattern, path))?.join('/') ?? otherEndpoint;
}

/** A name that somebody else gives, or `other` if it is none. */
export function knownEndpoint(name: string): string {
  return known.has(name) ? name : otherEndpoint;
}

function matches(pattern: readonly string[], path: CanonicalPath): boolean {
  return pattern.length === path.length && pattern.every((segment, at) => segment === '*' || segment === path[at]);
}
