/** The metrics in memory, and their text for Prometheus. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { metrics } from '../../telemetry/metrics.ts';
import type { CounterName, GaugeName, LabelsOf, MetricName, Metrics } from '../../telemetry/metrics.ts';
import { presentable } from '../../telemetry/redact.ts';

export class PrometheusMetrics implements Metrics {
  readonly #registry = new Registry();
  readonly #counters = new Map<MetricName, Counter>();
  readonly #gauges = new Map<MetricName, Gauge>();

  constructor() {
    for (const [name, { type, labels, help }] of Object.entries(metrics)) {
      const metric = { name, help, labelNames: [...labels], registers: [this.#registry] };
      // The entries of the table are under its own keys.
      if (type === 'counter') this.#counters.set(name as MetricName, new Counter(metric));
      else this.#gauges.set(name as MetricName, new Gauge(metric));
    }
  }

  /** Adds memory, CPU time, event loop and garbage collection of this process. */
  measureProcess(): void {
    collectDefaultMetrics({ register: this.#registry });
  }

  add<M extends CounterName>(name: M, labels: LabelsOf<M>, by = 1): void {
    this.#counters.get(name)?.inc(shown(labels), by);
  }

  set<M extends GaugeName>(name: M, labels: LabelsOf<M>, value: number): void {
    this.#gauges.get(name)?.set(shown(labels), value);
  }

  remove<M extends MetricName>(name: M, labels: LabelsOf<M>): void {
    this.#counters.get(name)?.remove(shown(labels));
    this.#gauges.get(name)?.remove(shown(labels));
  }

  /** Of the text below. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The text exposition format, version 0.0.4. */
  exposition(): Promise<string> {
    return this.#registry.metrics();
  }
}

/** Label values are escaped by the client; what a terminal or a credential filter should not see never gets there. */
function shown(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([label, value]) => [label, presentable(value)]));
}
