import { posix } from 'node:path';

export type GceTarget =
  /** `v1`, or one of the APIs from before the header was asked for. */
  | {
      readonly kind: 'tree';
      readonly api: 'v1' | 'legacy';
      readonly segments: readonly string[];
      readonly slash: boolean;
    }
  | { readonly kind: 'root' }
  /** `/computeMetadata/`. */
  | { readonly kind: 'versions' }
  | { readonly kind: 'unknown' };

/**
 * Reads a path as generously as any server could: absolute form, decoded, dots resolved, slashes collapsed. A proxy
 * in front that lets an odd spelling through then finds it answered, and the test sees the leak.
 */
export function targetOf(path: string): GceTarget {
  const decodedPath = decode(path.replace(/^https?:\/\/[^/]*/i, ''));
  if (decodedPath === undefined) return { kind: 'unknown' };
  const clean = posix.normalize(decodedPath.replaceAll('\\', '/').replaceAll(/\/{2,}/g, '/'));
  const slash = clean.endsWith('/');
  const [first, ...rest] = clean.split('/').filter((segment) => segment !== '');
  if (first === undefined) return { kind: 'root' };
  if (first === '0.1' && rest[0] === 'meta-data') {
    return { kind: 'tree', api: 'legacy', segments: ['instance', ...rest.slice(1)], slash };
  }
  return first.toLowerCase() === 'computemetadata' ? versioned(rest, slash) : { kind: 'unknown' };
}

function versioned([version, ...segments]: readonly string[], slash: boolean): GceTarget {
  if (version === undefined) return slash ? { kind: 'versions' } : { kind: 'unknown' };
  if (version !== 'v1' && version !== 'v1beta1') return { kind: 'unknown' };
  return { kind: 'tree', api: version === 'v1' ? 'v1' : 'legacy', segments, slash };
}

/** Decoded until it no longer changes, as a chain of servers would. */
function decode(path: string): string | undefined {
  try {
    const once = decodeURIComponent(path);
    return once === path ? once : decode(once);
  } catch {
    return undefined;
  }
}
