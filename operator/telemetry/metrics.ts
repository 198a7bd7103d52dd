/**
 * Every metric there is, with its labels and what it means: the reference page is made from this table. Labels come from
 * closed lists or are names of objects that administrators made; no pod, address, path or token is ever one.
 */

interface MetricDefinition {
  readonly type: 'counter' | 'gauge';
  readonly labels: readonly string[];
  /** One sentence or two; for the exposition and the reference. */
  readonly help: string;
}

export const metrics = {
  metaveil_decisions_total: {
    type: 'counter',
    labels: ['kind', 'namespace', 'policy', 'decision'],
    help: 'Requests that a policy concealed (concealed) or would have concealed in mode Audit (would-conceal), and requests to legacy endpoints by pods that it selects (legacy). What the default profile of a MetadataProxy decides counts for that, and so do legacy requests of pods that no policy selects.',
  },
  metaveil_legacy_requests_total: {
    type: 'counter',
    labels: ['namespace', 'service_account', 'endpoint', 'decision'],
    help: 'Requests to the 0.1 and v1beta1 APIs by the v1 path that replaces them, denied or allowed. Beyond 100 combinations in a namespace, further ones have no service_account and endpoint other.',
  },
  metaveil_token_requests_total: {
    type: 'counter',
    labels: ['kind', 'outcome'],
    help: 'Tokens that proxies asked for, access or identity: issued, or why they were refused.',
  },
  metaveil_node_api_sessions: {
    type: 'gauge',
    labels: [],
    help: 'Proxies that watch the node API of this replica; 0 on a follower.',
  },
  metaveil_reconcile_queue_depth: {
    type: 'gauge',
    labels: ['controller'],
    help: 'Objects that wait to be reconciled, are being reconciled, or are planned for later.',
  },
  metaveil_reconcile_failures_total: {
    type: 'counter',
    labels: ['controller'],
    help: 'Reconciliations that failed and are tried again.',
  },
  metaveil_leader: {
    type: 'gauge',
    labels: [],
    help: '1 on the replica that reconciles and serves the node API, else 0.',
  },
  metaveil_build_info: {
    type: 'gauge',
    labels: ['version'],
    help: 'Always 1; the label has the version.',
  },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof metrics;
export type CounterName = { [M in MetricName]: (typeof metrics)[M]['type'] extends 'counter' ? M : never }[MetricName];
export type GaugeName = Exclude<MetricName, CounterName>;
export type LabelsOf<M extends MetricName> = Readonly<Record<(typeof metrics)[M]['labels'][number], string>>;

/** Takes what is measured. Never throws. */
export interface Metrics {
  add<M extends CounterName>(name: M, labels: LabelsOf<M>, by?: number): void;
  set<M extends GaugeName>(name: M, labels: LabelsOf<M>, value: number): void;
  /** Ends a series, because what it is about is gone. */
  remove<M extends MetricName>(name: M, labels: LabelsOf<M>): void;
}

/** Measures nothing, for tests and tools. */
export const silentMetrics: Metrics = { add: () => undefined, set: () => undefined, remove: () => undefined };
