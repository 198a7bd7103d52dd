/** Keeps the status of WorkloadIdentityProviders true. */
import type { WorkloadIdentityProvider, WorkloadIdentityProviderStatus } from '../../api/v1/index.ts';
import { keyOf } from '../../core/cluster/kinds.ts';
import type { ClusterView, StoreChange } from '../../core/cluster/store.ts';
import { acceptProvider } from '../../core/identity/provider.ts';
import type { ProviderRules } from '../../core/identity/provider.ts';
import type { Clock } from '../../core/time.ts';
import type { EventRecorder, IssuerDiscovery, ObjectWriter } from '../ports.ts';
import type { ReconcileResult } from '../queue.ts';
import { refOf } from '../refs.ts';
import type { ControllerDefinition } from '../runtime.ts';
import { WrittenStatuses } from '../status-writes.ts';
import type { Acceptances } from './acceptances.ts';
import { planProvider } from './plan.ts';
import type { Discovered, ProviderFacts } from './plan.ts';

export interface ProviderControllerOptions {
  readonly cluster: ClusterView;
  readonly rules: ProviderRules;
  readonly writer: ObjectWriter;
  readonly events: EventRecorder;
  readonly discovery: IssuerDiscovery;
  readonly acceptances: Acceptances;
  readonly clock: Clock;
}

/** Signing keys are rotated by people, days apart. */
const rediscoverMs = 600_000;
const retryDiscoveryMs = 30_000;

export class ProviderController implements ControllerDefinition {
  readonly name = 'providers';
  readonly #options: ProviderControllerOptions;
  readonly #written = new WrittenStatuses<WorkloadIdentityProviderStatus>();
  /** Of the cluster, so the same for all providers. */
  #discovered: { readonly found: Discovered; readonly at: number } | undefined;

  constructor(options: ProviderControllerOptions) {
    this.#options = options;
  }

  readonly allKeys = (cluster: ClusterView): Iterable<string> => cluster.providers().map(keyOf);

  readonly keysFor = (change: StoreChange): Iterable<string> =>
    change.kind === 'WorkloadIdentityProvider' ? [change.key] : [];

  readonly listen = (wake: (key: string) => void): (() => void) => this.#options.acceptances.onChange(wake);

  readonly reconcile = async (key: string, signal: AbortSignal): Promise<ReconcileResult> => {
    const provider = this.#options.cluster.provider(key);
    if (provider === undefined) {
      this.#written.forget(key);
      this.#options.acceptances.forget(key);
      return {};
    }
    if (provider.spec.type !== 'GKE') await this.#discover(signal);
    const plan = planProvider(this.#gather(key, provider));
    for (const status of plan.statuses) {
      await this.#options.writer.updateStatus(refOf(provider), status);
      this.#written.remember(key, provider, { status, at: this.#options.clock.now() });
    }
    for (const event of plan.events) this.#options.events.record(refOf(provider), event);
    const rediscover = this.#discovered === undefined ? retryDiscoveryMs : rediscoverMs;
    return { requeueAfterMs: Math.min(plan.requeueAfterMs ?? rediscover, rediscover) };
  };

  #gather(key: string, provider: WorkloadIdentityProvider): ProviderFacts {
    const now = this.#options.clock.now();
    return {
      provider,
      previous: this.#written.previous(key, provider, now),
      acceptance: acceptProvider(provider, this.#options.rules),
      discovered: this.#discovered?.found,
      lastAcceptedAt: this.#options.acceptances.lastAt(key),
      writes: this.#written.writes(key),
      now,
    };
  }

  /** An API server that does not tell is no reason to hold back what else the status says. */
  async #discover(signal: AbortSignal): Promise<void> {
    const now = this.#options.clock.now();
    if (this.#discovered !== undefined && now - this.#discovered.at < rediscoverMs) return;
    try {
      this.#discovered = { found: await this.#options.discovery.discover(signal), at: now };
    } catch {
      // Asked again after retryDiscoveryMs; until then the status keeps what it has.
    }
  }
}
