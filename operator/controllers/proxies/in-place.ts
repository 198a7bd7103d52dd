import type { AppliedObject, OwnedObject } from '../ports.ts';
import { templateHashAnnotation, templateHashOf } from './workloads.ts';

/**
 * Whether applying `object` would change nothing: its template is the one that was applied last, and nobody has
 * changed a field of ours since.
 */
export function isInPlace(object: AppliedObject, present: OwnedObject | undefined): boolean {
  if (present === undefined) return false;
  const isCurrent = templateHashOf(present) === object.metadata.annotations?.[templateHashAnnotation];
  return isCurrent && contains(present.object, object);
}

/**
 * Whether `present` has all of `wanted`; the API server adds defaults. Quantities are not compared: it writes `1024Mi`
 * as `1Gi`, and the hash tells when ours change.
 */
function contains(present: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null) return present === wanted;
  if (typeof present !== 'object' || present === null) return false;
  if (Array.isArray(wanted) && (!Array.isArray(present) || present.length !== wanted.length)) return false;
  return Object.entries(wanted as Readonly<Record<string, unknown>>).every(
    ([key, value]) =>
      value === undefined || key === 'resources' || contains((present as Record<string, unknown>)[key], value),
  );
}
