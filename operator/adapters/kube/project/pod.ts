import type { PodUid } from '../../../core/brand.ts';
import type { Pod } from '../../../core/cluster/objects.ts';
import { conditionHolds, flagAt, metaOf, recordAt, recordsAt, textAt, type RawObject } from './raw.ts';

const configHash = 'kubernetes.io/config.hash';

/** A v1 Pod; undefined if it has no name or uid. */
export function projectPod(raw: RawObject): Pod | undefined {
  const meta = metaOf(raw);
  if (meta === undefined || meta.uid === '') return undefined;
  const spec = recordAt(raw, 'spec');
  const status = recordAt(raw, 'status');
  const owner = recordsAt(recordAt(raw, 'metadata'), 'ownerReferences').find((item) => item['controller'] === true);
  return {
    kind: 'Pod',
    uid: meta.uid as PodUid,
    namespace: meta.namespace,
    name: meta.name,
    labels: meta.labels,
    serviceAccountName: textAt(spec, 'serviceAccountName'),
    nodeName: textAt(spec, 'nodeName'),
    hostNetwork: flagAt(spec, 'hostNetwork'),
    phase: textAt(status, 'phase'),
    ips: podIPs(status),
    hostIP: textAt(status, 'hostIP'),
    deleting: meta.deleting,
    ready: conditionHolds(status, 'Ready'),
    ownerUid: owner === undefined ? '' : textAt(owner, 'uid'),
    ownerKind: owner === undefined ? '' : textAt(owner, 'kind'),
    configHash: meta.annotations[configHash] ?? '',
    creationTimestamp: meta.creationTimestamp,
  };
}

function podIPs(status: RawObject): readonly string[] {
  return recordsAt(status, 'podIPs')
    .map((item) => textAt(item, 'ip'))
    .filter((ip) => ip !== '');
}
