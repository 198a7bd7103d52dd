import { metrics } from '../../telemetry/metrics.ts';
import type { GeneratedFile } from './file.ts';
import { table } from './table.ts';

/** The metrics of the controller, from their one table. */
export function metricsFile(): GeneratedFile {
  const rows = Object.entries(metrics).map(([name, { type, labels, help }]) => [
    `\`${name}\``,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    help,
  ]);
  const sections = [
    '<!-- Written by `npm run generate` from operator/telemetry/metrics.ts. Do not edit. -->',
    '# Metrics',
    'The controller serves them at `/metrics`, port 8080 (`--metrics-listen ADDRESS:PORT`, `0` turns them off), as plain HTTP without authentication: Service `metaveil-controller-metrics` in `metaveil-system`, and `config/prometheus` for the Prometheus operator. Proxies serve none; they report to the controller every 5 s.',
    'Labels are from closed lists or are names of objects: never a pod, an address, a path as it was asked, or a token. A series ends with the object it is about.',
    table(['Metric', 'Type', 'Labels', 'What it is'], rows),
    'Beside these, `process_*` and `nodejs_*` as the Prometheus client for Node.js names them.',
    '## Reading them',
    'Nodes report to the replica that leads, and each replica counts for itself from its start: use `rate` or `increase` and sum over both. The counters in the status of a policy go on from one leader to the next. Neither counts what is merely absent: a document or listing without its concealed entries is no concealed request.',
    table(
      ['Question', 'Expression'],
      [
        [
          'Who still uses legacy endpoints?',
          code('sum by (namespace, service_account, endpoint) (increase(metaveil_legacy_requests_total[1d])) > 0'),
        ],
        [
          'What would a policy in mode Audit break?',
          code(
            'sum by (kind, namespace, policy) (increase(metaveil_decisions_total{decision="would-conceal"}[1d])) > 0',
          ),
        ],
        [
          'Are nodes without a controller? (with kube-state-metrics, `workload: DaemonSet`)',
          code(
            'sum(metaveil_node_api_sessions) < count(kube_pod_info{namespace="metaveil-system", created_by_kind="DaemonSet"})',
          ),
        ],
        [
          'Do identities fail?',
          code('sum by (outcome) (rate(metaveil_token_requests_total{outcome!~"issued|unbound"}[5m])) > 0'),
        ],
        ['Is nobody in charge?', code('sum(metaveil_leader) != 1 or absent(metaveil_leader)')],
      ],
    ),
  ];
  return { path: 'docs/reference/metrics.md', text: `${sections.join('\n\n')}\n` };
}

function code(expression: string): string {
  return `\`${expression}\``;
}
