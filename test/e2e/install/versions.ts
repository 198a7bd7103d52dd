/** resourceVersions of all that the controller makes or writes a status of: the proof that nothing was written. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterAccess } from '../../cluster/access.ts';
import {
  ConfigMaps,
  DaemonSets,
  Deployments,
  Events,
  NetworkPolicies,
  Pods,
  Secrets,
  ServiceAccounts,
} from '../../cluster/kinds.ts';
import type { Kind } from '../../cluster/kinds.ts';
import { ownKinds } from './product.ts';

export type Versions = ReadonlyMap<string, string>;

/** All namespaces: whatever the controller might touch shows. Leases, which are renewed, are not among them. */
const looked: readonly Kind<object>[] = [
  ...ownKinds,
  ...[DaemonSets, Deployments, NetworkPolicies, ServiceAccounts, ConfigMaps, Secrets, Pods, Events],
];

export async function versionsOf(cluster: ClusterAccess): Promise<Versions> {
  const versions = new Map<string, string>();
  for (const kind of looked) {
    for (const { metadata } of await cluster.api.list(kind)) {
      versions.set(`${kind.kind} ${metadata.namespace ?? ''}/${metadata.name}`, metadata.resourceVersion);
    }
  }
  return versions;
}

/** Counters and texts are written at most every 10 s: only a longer silence says that nothing is left to write. */
const silenceMs = 11_000;
const pollMs = 500;

/** Versions that have not changed for longer than the controller ever holds back a write. */
export async function quietVersions(cluster: ClusterAccess): Promise<Versions> {
  const deadline = Date.now() + 60_000;
  let versions = await versionsOf(cluster);
  let since = Date.now();
  while (Date.now() - since < silenceMs) {
    if (Date.now() > deadline) throw new Error('objects kept changing for a minute');
    // Real time of a real server: there is no clock to advance, and silence can only be waited for.
    await delay(pollMs);
    const next = await versionsOf(cluster);
    if (changesBetween(versions, next).length > 0) since = Date.now();
    versions = next;
  }
  return versions;
}

/** Sorted: what came, went or has another version. */
export function changesBetween(before: Versions, after: Versions): readonly string[] {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return [...keys].filter((key) => before.get(key) !== after.get(key)).sort();
}
