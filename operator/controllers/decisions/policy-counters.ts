/**
 * What the nodes counted per policy since this replica leads, on top of what the policy's status says already: another
 * leader goes on from there. What was counted after the last write of a leader that fails is lost.
 */
import type { MetadataPolicyStatus } from '../../api/v1/index.ts';
import { objectKey } from '../../core/cluster/kinds.ts';
import type { ClusterView } from '../../core/cluster/store.ts';
import type { CompiledPolicy } from '../../core/snapshot/types.ts';
import { timestamp } from '../../core/time.ts';
import type { DecisionCounters, NodeCounts, PolicyDecisions } from '../../nodeapi/server/ports.ts';

type Counts = Readonly<Required<Pick<MetadataPolicyStatus, 'concealed' | 'wouldConceal' | 'legacy'>>>;

/** The counters of a status, all of them. */
export type StatusCounters = Counts & { readonly countersSince: string };

export type CountersListener = (policyUids: ReadonlySet<string>) => void;

interface Entry {
  counts: Counts;
  /** Whether what the status said is in `counts`. */
  continued: boolean;
}

const none: Counts = { concealed: 0, wouldConceal: 0, legacy: 0 };

const fields = {
  concealed: 'concealed',
  'would-conceal': 'wouldConceal',
  legacy: 'legacy',
} as const satisfies Record<PolicyDecisions['decision'], keyof Counts>;

export class PolicyCounters implements DecisionCounters {
  readonly #cluster: ClusterView;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<CountersListener>();

  constructor(cluster: ClusterView) {
    this.#cluster = cluster;
    cluster.onChange((change) => {
      if (change.kind !== 'MetadataPolicy' && change.kind !== 'ClusterMetadataPolicy') return;
      if (change.current === undefined) this.#entries.delete(change.previous?.metadata.uid ?? '');
    });
  }

  record({ decisions }: NodeCounts): void {
    const changed = new Set<string>();
    for (const { policy, decision, count } of decisions) {
      // A node may still count for a policy that is gone.
      if (policy === undefined || !exists(policy, this.#cluster)) continue;
      const entry = this.#entry(policy.uid);
      const field = fields[decision];
      entry.counts = { ...entry.counts, [field]: bounded(entry.counts[field] + count) };
      changed.add(policy.uid);
    }
    if (changed.size > 0) for (const listener of this.#listeners) listener(changed);
  }

  /** What the status is to say; `now` in ms, for a policy that nothing was counted for before. */
  countersOf(policyUid: string, status: MetadataPolicyStatus | undefined, now: number): StatusCounters {
    const entry = this.#entry(policyUid);
    const stored: Counts = { ...none, ...status };
    entry.counts = entry.continued ? largest(entry.counts, stored) : sum(entry.counts, stored);
    entry.continued = true;
    return { ...entry.counts, countersSince: status?.countersSince ?? timestamp(now) };
  }

  /** uids of policies that were counted for. Returns the unsubscription. */
  onChange(listener: CountersListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Another replica goes on from what the statuses say. */
  handOver(): void {
    this.#entries.clear();
  }

  #entry(policyUid: string): Entry {
    const known = this.#entries.get(policyUid);
    if (known !== undefined) return known;
    const entry = { counts: none, continued: false };
    this.#entries.set(policyUid, entry);
    return entry;
  }
}

/** Whether the cluster has this very policy now. */
export function exists({ kind, namespace, name, uid }: CompiledPolicy, cluster: ClusterView): boolean {
  const object = cluster.get<CompiledPolicy['kind']>(kind, objectKey(namespace, name));
  return object?.metadata.uid === uid;
}

function sum(one: Counts, other: Counts): Counts {
  return combined(one, other, (a, b) => bounded(a + b));
}

/** Only we write them, so a larger number is ours that the watch had not shown when we continued from it. */
function largest(one: Counts, other: Counts): Counts {
  return combined(one, other, Math.max);
}

function combined(one: Counts, other: Counts, combine: (a: number, b: number) => number): Counts {
  return {
    concealed: combine(one.concealed, other.concealed),
    wouldConceal: combine(one.wouldConceal, other.wouldConceal),
    legacy: combine(one.legacy, other.legacy),
  };
}

function bounded(count: number): number {
  return Math.min(count, Number.MAX_SAFE_INTEGER);
}
