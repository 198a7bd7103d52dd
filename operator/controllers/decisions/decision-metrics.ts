/** What the nodes counted, as metrics. Series end with the object they are about, and no pod can make many. */
import { splitKey } from '../../core/cluster/kinds.ts';
import type { ClusterView, StoreChange } from '../../core/cluster/store.ts';
import { otherEndpoint } from '../../core/request/endpoints.ts';
import type { CompiledPolicy } from '../../core/snapshot/types.ts';
import type { DecisionCounters, LegacyRequests, NodeCounts, PolicyDecisions } from '../../nodeapi/server/ports.ts';
import type { LabelsOf, Metrics } from '../../telemetry/metrics.ts';
import { exists } from './policy-counters.ts';

/** Series of legacy requests that a namespace may have, before further ones are summed up. */
export const mostLegacySeries = 100;

const decisions = ['concealed', 'would-conceal', 'legacy'] as const satisfies readonly PolicyDecisions['decision'][];
const accesses = ['allowed', 'denied'] as const satisfies readonly LegacyRequests['access'][];

type LegacyLabels = LabelsOf<'metaveil_legacy_requests_total'>;

export class DecisionMetrics implements DecisionCounters {
  readonly #cluster: ClusterView;
  readonly #metrics: Metrics;
  /** Namespace → its series of legacy requests, each under its text. */
  readonly #legacy = new Map<string, Map<string, LegacyLabels>>();

  constructor(cluster: ClusterView, metrics: Metrics) {
    this.#cluster = cluster;
    this.#metrics = metrics;
    cluster.onChange((change) => {
      if (change.current === undefined) this.#removed(change);
    });
  }

  record(counts: NodeCounts): void {
    for (const { policy, decision, count } of counts.decisions) {
      const labels = policy === undefined ? this.#proxyLabels(counts.proxyName) : this.#policyLabels(policy);
      if (labels !== undefined) this.#metrics.add('metaveil_decisions_total', { ...labels, decision }, count);
    }
    for (const requests of counts.legacy) this.#recordLegacy(requests);
  }

  /** Undefined for a policy that is gone: its series would never end. */
  #policyLabels(policy: CompiledPolicy) {
    if (!exists(policy, this.#cluster)) return undefined;
    return { kind: policy.kind, namespace: policy.namespace, policy: policy.name };
  }

  #proxyLabels(name: string) {
    if (this.#cluster.proxy(name) === undefined) return undefined;
    return { kind: 'MetadataProxy', namespace: '', policy: name };
  }

  #recordLegacy({ workload, endpoint, access, count }: LegacyRequests): void {
    const { namespace, serviceAccount } = workload;
    if (this.#cluster.namespace(namespace) === undefined) return;
    const named = { namespace, service_account: serviceAccount.name, endpoint, decision: access };
    const isKept = this.#cluster.serviceAccount(namespace, serviceAccount.name) !== undefined && this.#keep(named);
    const labels = isKept ? named : { namespace, service_account: '', endpoint: otherEndpoint, decision: access };
    this.#metrics.add('metaveil_legacy_requests_total', labels, count);
  }

  /** False when the namespace has too many. */
  #keep(labels: LegacyLabels): boolean {
    const series = this.#legacy.get(labels.namespace) ?? new Map<string, LegacyLabels>();
    const text = `${labels.service_account} ${labels.decision} ${labels.endpoint}`;
    if (!series.has(text) && series.size >= mostLegacySeries) return false;
    this.#legacy.set(labels.namespace, series.set(text, labels));
    return true;
  }

  #removed({ kind, key }: StoreChange): void {
    const { namespace, name } = splitKey(key);
    switch (kind) {
      case 'MetadataPolicy':
      case 'ClusterMetadataPolicy':
      case 'MetadataProxy':
        this.#removeDecisions({ kind, namespace, policy: name });
        break;
      case 'ServiceAccount':
        this.#removeLegacy(namespace, name);
        break;
      case 'Namespace':
        this.#removeNamespace(name);
        break;
      default:
        // No series is about the other kinds.
        break;
    }
  }

  #removeDecisions(labels: Omit<LabelsOf<'metaveil_decisions_total'>, 'decision'>): void {
    for (const decision of decisions) this.#metrics.remove('metaveil_decisions_total', { ...labels, decision });
  }

  #removeLegacy(namespace: string, serviceAccount: string): void {
    const series = this.#legacy.get(namespace) ?? new Map<string, LegacyLabels>();
    for (const [text, labels] of series) {
      if (labels.service_account !== serviceAccount) continue;
      series.delete(text);
      this.#metrics.remove('metaveil_legacy_requests_total', labels);
    }
    if (series.size === 0) this.#legacy.delete(namespace);
  }

  #removeNamespace(namespace: string): void {
    for (const labels of this.#legacy.get(namespace)?.values() ?? [])
      this.#metrics.remove('metaveil_legacy_requests_total', labels);
    this.#legacy.delete(namespace);
    const rest = { namespace, service_account: '', endpoint: otherEndpoint };
    for (const decision of accesses) this.#metrics.remove('metaveil_legacy_requests_total', { ...rest, decision });
  }
}
