import type { NodeUid } from '../../../core/brand.ts';
import type { Node, Taint } from '../../../core/cluster/objects.ts';
import { conditionHolds, flagAt, metaOf, recordAt, recordsAt, textAt, type RawObject } from './raw.ts';

/** A v1 Node; undefined if it has no name or uid. Heartbeats project to the same value, so the store stays quiet. */
export function projectNode(raw: RawObject): Node | undefined {
  const meta = metaOf(raw);
  if (meta === undefined || meta.uid === '') return undefined;
  const spec = recordAt(raw, 'spec');
  const status = recordAt(raw, 'status');
  return {
    kind: 'Node',
    uid: meta.uid as NodeUid,
    name: meta.name,
    labels: meta.labels,
    providerID: textAt(spec, 'providerID'),
    internalIPs: internalIPs(status),
    ready: conditionHolds(status, 'Ready'),
    unschedulable: flagAt(spec, 'unschedulable'),
    taints: recordsAt(spec, 'taints').map(projectTaint),
    creationTimestamp: meta.creationTimestamp,
  };
}

function internalIPs(status: RawObject): readonly string[] {
  return recordsAt(status, 'addresses')
    .filter((address) => address['type'] === 'InternalIP')
    .map((address) => textAt(address, 'address'))
    .filter((address) => address !== '');
}

function projectTaint(raw: RawObject): Taint {
  return { key: textAt(raw, 'key'), value: textAt(raw, 'value'), effect: textAt(raw, 'effect') };
}
