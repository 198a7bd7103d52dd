/** How snapshots are versioned, compared and brought up to date. */
import type { Hash } from '../brand.ts';
import { canonicalJson } from './canonical.ts';
import type { NodeSnapshot, Resource, ResourceKey, SnapshotDelta, VersionedResource } from './types.ts';

export function resourceKey(resource: Resource): ResourceKey {
  return `${resource.kind}/${resource.id}`;
}

export function versioned(resource: Resource, hash: Hash): VersionedResource {
  return { key: resourceKey(resource), hash: hash(canonicalJson(resource)), resource };
}

/** Resources end up sorted by key; the version is a hash over the (key, hash) pairs. */
export function snapshotOf(resources: Iterable<VersionedResource>, hash: Hash): NodeSnapshot {
  const sorted = [...resources].sort((a, b) => (a.key < b.key ? -1 : 1));
  const version = hash(sorted.map((each) => `${each.key} ${each.hash}\n`).join(''));
  return { version, resources: new Map(sorted.map((each) => [each.key, each])) };
}

export function diffSnapshots(from: NodeSnapshot, to: NodeSnapshot): SnapshotDelta {
  const upserts = [...to.resources.values()].filter(({ key, hash }) => from.resources.get(key)?.hash !== hash);
  const removals = [...from.resources.keys()].filter((key) => !to.resources.has(key));
  return { from: from.version, to: to.version, upserts, removals };
}
