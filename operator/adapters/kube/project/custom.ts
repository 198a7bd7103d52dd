import { apiVersion, type ObjectMeta } from '../../../api/v1/index.ts';
import type { CustomObject } from '../../../core/cluster/kinds.ts';
import { isRecord, metaOf, recordAt, textAt, wordsAt, type RawMeta, type RawObject } from './raw.ts';

/**
 * One of our own kinds. The API server has checked `spec` and `status` against the CRD and filled in its defaults; what
 * is dropped here is managedFields and other people's annotations. Undefined if name, uid or spec is missing.
 */
export function projectCustom(kind: CustomObject['kind']): (raw: RawObject) => CustomObject | undefined {
  return (raw) => {
    const meta = metaOf(raw);
    if (meta === undefined || meta.uid === '' || !isRecord(raw['spec'])) return undefined;
    const { spec, status } = raw;
    const metadata = projectMeta(meta, recordAt(raw, 'metadata'));
    // The schema const is what the CRD was generated from, so the checked object has this type.
    return { apiVersion, kind, metadata, spec, ...(isRecord(status) && { status }) } as unknown as CustomObject;
  };
}

function projectMeta(meta: RawMeta, raw: RawObject): ObjectMeta {
  const deletionTimestamp = textAt(raw, 'deletionTimestamp');
  const { generation } = raw;
  return {
    name: meta.name,
    ...(meta.namespace !== '' && { namespace: meta.namespace }),
    uid: meta.uid,
    ...(typeof generation === 'number' && { generation }),
    resourceVersion: meta.resourceVersion,
    creationTimestamp: meta.creationTimestamp,
    ...(deletionTimestamp !== '' && { deletionTimestamp }),
    finalizers: wordsAt(raw, 'finalizers'),
    labels: meta.labels,
  };
}
