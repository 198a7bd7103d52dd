import type { CanonicalPath } from '../policy/decision.ts';
import type { RequestVersion } from './canonical.ts';

export type Route =
  | { readonly kind: 'known'; readonly version: RequestVersion; readonly path: CanonicalPath }
  | { readonly kind: 'unknown' };

/**
 * Which API tree the segments of a target name. Only the exact spelling reaches v1; every spelling of a legacy API is
 * recognised, so that a change of case is no way around its denial.
 */
export function route(segments: CanonicalPath): Route {
  const [first, second, ...rest] = segments;
  if (first === undefined) return { kind: 'known', version: 'root', path: [] };
  if (first === '0.1') return { kind: 'known', version: 'legacy', path: v1PathOf01(segments.slice(1)) };
  if (first.toLowerCase() !== 'computemetadata') return { kind: 'unknown' };
  if (second?.toLowerCase() === 'v1beta1') return { kind: 'known', version: 'legacy', path: lowerStructure(rest) };
  if (first !== 'computeMetadata') return { kind: 'unknown' };
  if (second === undefined) return { kind: 'known', version: 'versions', path: [] };
  return second === 'v1' && hasLowerStructure(rest)
    ? { kind: 'known', version: 'v1', path: rest }
    : { kind: 'unknown' };
}

/** Google's own names, which make up the first two levels, are lower case; deeper ones may be a customer's. */
const structuralLevels = 2;
const structuralName = /^[a-z0-9-]+$/;

function hasLowerStructure(path: CanonicalPath): boolean {
  return path.slice(0, structuralLevels).every((segment) => structuralName.test(segment));
}

function lowerStructure(path: CanonicalPath): CanonicalPath {
  return path.map((segment, level) => (level < structuralLevels ? segment.toLowerCase() : segment));
}

/**
 * Entries of /0.1/meta-data/ that v1 has elsewhere; all others are entries of v1's instance/. The first two never were
 * there: whoever asks for them mixes up the versions and means v1's.
 */
const renamed01: ReadonlyMap<string, CanonicalPath> = new Map([
  ['instance', ['instance']],
  ['project', ['project']],
  ['instance-id', ['instance', 'id']],
  ['project-id', ['project', 'project-id']],
  ['numeric-project-id', ['project', 'numeric-project-id']],
  ['network', ['instance', 'network-interfaces']],
  ['auth-token', ['instance', 'service-accounts', 'default', 'token']],
]);

function v1PathOf01(segments: CanonicalPath): CanonicalPath {
  const below = segments[0]?.toLowerCase() === 'meta-data' ? segments.slice(1) : segments;
  const [entry, ...rest] = below;
  if (entry === undefined) return ['instance'];
  const name = entry.toLowerCase();
  const path = [...(renamed01.get(name) ?? ['instance', name]), ...rest];
  const isAcquire = path.at(-1)?.toLowerCase() === 'acquire';
  return name === 'service-accounts' && isAcquire ? [...path.slice(0, -1), 'token'] : path;
}
