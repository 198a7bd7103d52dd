import type { AppliedObject, OwnedObject } from '../ports.ts';

/**
 * Whether applying `object` would change nothing: its template is the one that was applied last, as the annotation
 * with its hash says, and nobody has changed a field of ours since.
 */
export function isInPlace(object: AppliedObject, present: OwnedObject | undefined): boolean {
  return present !== undefined && contains(present.object, object);
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
