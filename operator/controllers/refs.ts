import type { CustomObject } from '../core/cluster/kinds.ts';
import type { ObjectRef } from './ports.ts';

/** How ports name one of our own objects. */
export function refOf({ apiVersion, kind, metadata }: CustomObject): ObjectRef {
  const { name, namespace, uid } = metadata;
  return { apiVersion, kind, name, ...(namespace !== undefined && { namespace }), ...(uid !== undefined && { uid }) };
}
