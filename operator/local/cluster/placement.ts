/** Which node a pod of the files runs on: what a scheduler would do, as far as manifests tell. */
import type { MetadataProxy } from '../../api/v1/index.ts';
import type { ForeignObject } from '../ports.ts';
import { mappingAt, mappingsAt, textsAt } from './values.ts';

export interface Nodes {
  /** Names of the Node objects of the files. */
  readonly named: ReadonlySet<string>;
  /** In the order of the files; each has a node of its own. */
  readonly proxies: readonly MetadataProxy[];
  readonly nodeOf: (proxy: MetadataProxy) => string;
}

/** A node that no MetadataProxy selects. */
export const unselectedNode = 'local';

/**
 * The Node of the files that the pod names; else the pool of the first MetadataProxy whose nodeSelector the pod's own
 * one includes; else that of the first one that the pod could run on.
 */
export function nodeFor(pod: ForeignObject, { named, proxies, nodeOf }: Nodes): string {
  const spec = mappingAt(pod, 'spec') ?? {};
  const nodeName = spec['nodeName'];
  if (typeof nodeName === 'string' && named.has(nodeName)) return nodeName;
  const wanted = wantedLabels(spec);
  const labelsOf = (proxy: MetadataProxy) => Object.entries(proxy.spec.nodeSelector ?? {});
  const chosen =
    proxies.find((proxy) => labelsOf(proxy).every(([key, value]) => isOnly(wanted.get(key), value))) ??
    proxies.find((proxy) => labelsOf(proxy).every(([key, value]) => wanted.get(key)?.has(value) ?? true));
  const isElsewhere = wanted.get('kubernetes.io/os')?.has('linux') === false;
  return chosen === undefined || isElsewhere ? unselectedNode : nodeOf(chosen);
}

function isOnly(values: ReadonlySet<string> | undefined, value: string): boolean {
  return values?.size === 1 && values.has(value);
}

/** Label keys the pod's node must have, with the values it may have. */
function wantedLabels(spec: Readonly<Record<string, unknown>>): ReadonlyMap<string, ReadonlySet<string>> {
  const wanted = new Map<string, ReadonlySet<string>>();
  for (const { key, operator, values } of requiredAffinity(spec)) {
    if (typeof key === 'string' && operator === 'In') wanted.set(key, new Set(textsAt(values)));
  }
  for (const [key, value] of Object.entries(mappingAt(spec, 'nodeSelector') ?? {}))
    wanted.set(key, new Set([String(value)]));
  return wanted;
}

/** Of several terms each alone would do, so none of them is certain. */
function requiredAffinity(spec: Readonly<Record<string, unknown>>) {
  const affinity = mappingAt(mappingAt(spec, 'affinity'), 'nodeAffinity');
  const required = mappingAt(affinity, 'requiredDuringSchedulingIgnoredDuringExecution');
  const [term, ...more] = mappingsAt(required, 'nodeSelectorTerms');
  return term === undefined || more.length > 0 ? [] : mappingsAt(term, 'matchExpressions');
}
