/** The pods that would run for the manifests of a folder, each with an address of its own. */
import type { ForeignObject } from '../ports.ts';
import { mappingAt, type Mapping } from './values.ts';

export interface PodPlacement {
  readonly nodeFor: (pod: ForeignObject) => string;
  readonly hostIP: string;
}

/** Kinds that make pods, and where their template stands. */
const templates: Readonly<Record<string, readonly string[]>> = {
  Job: ['spec', 'template'],
  Deployment: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
};

/** One pod for a Pod or for the template of a workload. Addresses start at 127.0.1.1. */
export function podsOf(manifests: readonly ForeignObject[], placement: PodPlacement): readonly ForeignObject[] {
  const pods = manifests.map(podOf).filter((pod) => pod !== undefined);
  return pods.map((pod, index) => running(pod, placement, `127.0.${1 + Math.floor(index / 250)}.${1 + (index % 250)}`));
}

function podOf(manifest: ForeignObject): ForeignObject | undefined {
  if (manifest.kind === 'Pod') return manifest;
  const path = Object.hasOwn(templates, manifest.kind) ? templates[manifest.kind] : undefined;
  const template = path?.reduce<Mapping | undefined>((at, field) => mappingAt(at, field), manifest);
  if (template === undefined) return undefined;
  const { name, namespace } = manifest.metadata;
  const labels = mappingAt(mappingAt(template, 'metadata'), 'labels') as Readonly<Record<string, string>> | undefined;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `${name}-0`, ...(namespace !== undefined && { namespace }), ...(labels && { labels }) },
    spec: mappingAt(template, 'spec') ?? {},
  };
}

function running(pod: ForeignObject, { nodeFor, hostIP }: PodPlacement, podIP: string): ForeignObject {
  const spec = mappingAt(pod, 'spec') ?? {};
  const status = {
    phase: 'Running',
    hostIP,
    podIP,
    podIPs: [{ ip: podIP }],
    conditions: [{ type: 'Ready', status: 'True' }],
  };
  return { ...pod, spec: { serviceAccountName: 'default', ...spec, nodeName: nodeFor(pod) }, status };
}
