/** What makes a policy be looked at again. */
import { keyOf, splitKey } from '../../core/cluster/kinds.ts';
import type { ClusterView, StoreChange } from '../../core/cluster/store.ts';
import { uncertainPolicies } from '../../core/snapshot/policy-bounds.ts';
import { hasNoEffect } from '../../core/snapshot/concerns.ts';
import type { AnyPolicy } from '../../core/snapshot/policies.ts';
import type { Timers } from '../../core/time.ts';
import type { PolicyCounters } from '../decisions/policy-counters.ts';
import type { Programming } from '../ports.ts';
import { counterIntervalMs } from '../status-writes.ts';

type PolicyKind = AnyPolicy['kind'];

/** At once: whatever decides what is blocked. Pods and nodes are left to `listen`: they change all the time. */
export function keysFor(kind: PolicyKind, change: StoreChange, cluster: ClusterView): Iterable<string> {
  if (hasNoEffect(change)) return [];
  const all = cluster.list(kind).map(keyOf);
  const own = kind === change.kind ? [change.key] : [];
  switch (change.kind) {
    case 'NetworkPolicy':
      return kind === 'MetadataPolicy' ? inNamespace(namespaceOfChange(change), cluster) : all;
    case 'MetadataPolicy':
      return kind === 'MetadataPolicy' ? [...own, ...uncertainBeside(change.key, cluster)] : own;
    // An exception of one reaches into the blocks of all others.
    case 'ClusterMetadataPolicy':
    case 'Namespace':
    case 'MetadataProxy':
      return [...all, ...own];
    default:
      return own;
  }
}

function uncertainBeside(key: string, cluster: ClusterView): readonly string[] {
  return uncertainPolicies(cluster, splitKey(key).namespace).map(keyOf);
}

function inNamespace(namespace: string, cluster: ClusterView): readonly string[] {
  return cluster.policies(namespace).map(keyOf);
}

function namespaceOfChange(change: Extract<StoreChange, { readonly kind: 'NetworkPolicy' | 'Pod' }>): string {
  return change.current?.namespace ?? change.previous?.namespace ?? '';
}

export interface PolicyListening {
  readonly kind: PolicyKind;
  readonly cluster: ClusterView;
  readonly programming: Programming;
  readonly counters: Pick<PolicyCounters, 'onChange'>;
  readonly timers: Timers;
}

/** Acknowledgements of nodes at once; pods, nodes and counters at most once per interval. Returns how to stop. */
export function listen(parts: PolicyListening, wake: (key: string) => void): () => void {
  const { cluster, kind, programming } = parts;
  const stopProgramming = programming.onChange((uids) => {
    for (const policy of cluster.list(kind)) if (uids.has(policy.metadata.uid ?? '')) wake(keyOf(policy));
  });
  const stopNumbers = listenToNumbers(parts, wake);
  return () => {
    stopProgramming();
    stopNumbers();
  };
}

function listenToNumbers(parts: PolicyListening, wake: (key: string) => void): () => void {
  const { cluster, counters, kind, timers } = parts;
  let concern = new Concern();
  let cancel: (() => void) | undefined;
  const flush = () => {
    const isConcerned = concern.of.bind(concern);
    concern = new Concern();
    cancel = undefined;
    for (const policy of cluster.list(kind)) if (isConcerned(policy)) wake(keyOf(policy));
  };
  const soon = () => (cancel ??= timers.after(counterIntervalMs, flush));
  const stopCluster = cluster.onChange((change) => {
    if (change.kind !== 'Pod' && change.kind !== 'Node') return;
    // A node may bring a platform, and so addresses to block, that no other has.
    if (change.kind === 'Node') concern.everybody = true;
    else concern.namespaces.add(namespaceOfChange(change));
    soon();
  });
  const stopCounters = counters.onChange((uids) => {
    for (const uid of uids) concern.uids.add(uid);
    soon();
  });
  return () => {
    stopCluster();
    stopCounters();
    cancel?.();
  };
}

/** Whom a number may have changed for since the last time. */
class Concern {
  everybody = false;
  readonly namespaces = new Set<string>();
  readonly uids = new Set<string>();

  of({ kind, metadata }: AnyPolicy): boolean {
    if (this.everybody || this.uids.has(metadata.uid ?? '')) return true;
    if (kind === 'ClusterMetadataPolicy') return this.namespaces.size > 0;
    return this.namespaces.has(metadata.namespace ?? '');
  }
}
