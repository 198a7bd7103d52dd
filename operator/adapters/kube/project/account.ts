import type { ServiceAccountUid } from '../../../core/brand.ts';
import type { Namespace, ServiceAccount } from '../../../core/cluster/objects.ts';
import { gkeServiceAccountAnnotation } from '../../../core/names.ts';
import { metaOf, type RawObject } from './raw.ts';

/** A v1 ServiceAccount; undefined if it has no name or uid. */
export function projectServiceAccount(raw: RawObject): ServiceAccount | undefined {
  const meta = metaOf(raw);
  if (meta === undefined || meta.uid === '') return undefined;
  return {
    kind: 'ServiceAccount',
    uid: meta.uid as ServiceAccountUid,
    namespace: meta.namespace,
    name: meta.name,
    gkeServiceAccount: meta.annotations[gkeServiceAccountAnnotation] ?? '',
  };
}

/** A v1 Namespace; undefined if it has no name. */
export function projectNamespace(raw: RawObject): Namespace | undefined {
  const meta = metaOf(raw);
  if (meta === undefined) return undefined;
  const { uid, name, labels, deleting } = meta;
  return { kind: 'Namespace', uid, name, labels, ...(deleting && { deleting }) };
}
