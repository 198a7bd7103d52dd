import { group, kinds, version, type KindName } from '../../api/v1/index.ts';
import type { ClusterStore } from '../../core/cluster/store.ts';
import type { StoredObject, StoreKind } from '../../core/cluster/kinds.ts';
import { projectNamespace, projectServiceAccount } from './project/account.ts';
import { projectCustom } from './project/custom.ts';
import { projectNetworkPolicy } from './project/network-policy.ts';
import { projectNode } from './project/node.ts';
import { projectPod } from './project/pod.ts';
import type { RawObject } from './project/raw.ts';
import type { Reflection } from './reflector.ts';
import type { ResourceType } from './resource.ts';

/** The writing half of the cluster store. */
export type StoreWriter = Pick<ClusterStore, 'replace' | 'upsert' | 'remove'>;

/**
 * Pods that can be someone on a node: scheduled and not finished. A pod that finishes leaves the selection, which
 * arrives as its deletion; finished Jobs by the ten thousand are never transferred.
 */
const livePods = 'status.phase!=Succeeded,status.phase!=Failed,spec.nodeName!=';

/** One reflection per kind of the cluster store: all that the controller watches, whatever the size of the cluster. */
export function clusterReflections(store: StoreWriter): readonly Reflection<StoredObject>[] {
  return [
    reflection(store, core('Pod', 'pods'), projectPod, livePods),
    reflection(store, core('ServiceAccount', 'serviceaccounts'), projectServiceAccount),
    reflection(store, core('Namespace', 'namespaces', false), projectNamespace),
    reflection(store, core('Node', 'nodes', false), projectNode),
    reflection(store, networkPolicies, projectNetworkPolicy),
    ...kinds.map(({ kind }) => reflection(store, customResourceType(kind), projectCustom(kind))),
  ];
}

/** One of our own kinds as a REST resource. */
function customResourceType(name: KindName): StoredType {
  const { kind, plural, scope } = definitions[name];
  return { group, version, kind, plural, namespaced: scope === 'Namespaced' };
}

const definitions = Object.fromEntries(kinds.map((definition) => [definition.kind, definition])) as Record<
  KindName,
  (typeof kinds)[number]
>;

type StoredType = ResourceType & { readonly kind: StoreKind };

const networkPolicies: StoredType = {
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  namespaced: true,
};

function core(kind: StoreKind, plural: string, namespaced = true): StoredType {
  return { group: '', version: 'v1', kind, plural, namespaced };
}

function reflection(
  store: StoreWriter,
  type: StoredType,
  project: (raw: RawObject) => StoredObject | undefined,
  fieldSelector?: string,
): Reflection<StoredObject> {
  return {
    type,
    ...(fieldSelector !== undefined && { fieldSelector }),
    project,
    sink: {
      replace: (objects) => store.replace(type.kind, objects),
      upsert: (object) => store.upsert(object),
      remove: (key) => store.remove(type.kind, key),
    },
  };
}
