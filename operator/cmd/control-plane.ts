/**
 * The controller as one object: store, snapshots, node API and reconcilers, wired to ports. The same wiring runs in a
 * cluster and in the embedded default; only the adapters differ.
 */
import type { AddressInfo } from 'node:net';
import { X509CertificateIssuer } from '../adapters/http/certificate-issuer.ts';
import { BindingController } from '../controllers/bindings/controller.ts';
import { GoogleVerifier } from '../controllers/bindings/google-verifier.ts';
import { DecisionMetrics } from '../controllers/decisions/decision-metrics.ts';
import { LegacyEvents } from '../controllers/decisions/legacy-events.ts';
import { PolicyCounters } from '../controllers/decisions/policy-counters.ts';
import { ClusterProxyPods } from '../controllers/lookup/proxy-pods.ts';
import { ClusterWorkloads } from '../controllers/lookup/workloads.ts';
import { policyController } from '../controllers/policies/controller.ts';
import type { NetworkPolicyDiscovery } from '../controllers/policies/ports.ts';
import type { EventRecorder, IssuerDiscovery, ObjectWriter } from '../controllers/ports.ts';
import { Acceptances } from '../controllers/providers/acceptances.ts';
import { ProviderController } from '../controllers/providers/controller.ts';
import { proxyConnections } from '../controllers/proxies/connections.ts';
import { proxyController } from '../controllers/proxies/controller.ts';
import { Instances } from '../controllers/proxies/instances.ts';
import type { ProxyInstallation } from '../controllers/proxies/pod-template.ts';
import type { NodeTaints, ServingGates } from '../controllers/proxies/ports.ts';
import { nodeRelease } from '../controllers/proxies/release.ts';
import { ControllerRuntime } from '../controllers/runtime.ts';
import type { ControllerDefinition } from '../controllers/runtime.ts';
import type { ClusterStore } from '../core/cluster/store.ts';
import { controllerService, productVersion } from '../core/names.ts';
import { compilePolicy } from '../core/policy/compile.ts';
import { NodeSnapshotBuilder } from '../core/snapshot/builder.ts';
import { LastGoodPolicies } from '../core/snapshot/policies.ts';
import type { EffectivePolicyOf } from '../core/snapshot/policies.ts';
import { Certificates } from '../nodeapi/server/certificates.ts';
import type { AuthorityStore, TrustBundle } from '../nodeapi/server/certificates.ts';
import type {
  GoogleCredentials,
  Leadership,
  NodeCounts,
  ServiceAccountTokens,
  TokenReviewer,
} from '../nodeapi/server/ports.ts';
import { NodeApiServer } from '../nodeapi/server/server.ts';
import { describeError } from '../telemetry/log.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { sha256, systemTimers } from './system.ts';

export interface ControlPlaneParts {
  readonly store: ClusterStore;
  readonly writer: ObjectWriter;
  readonly events: EventRecorder;
  readonly kubernetes: ServiceAccountTokens;
  readonly reviewer: TokenReviewer;
  readonly issuer: IssuerDiscovery;
  readonly networkPolicies: NetworkPolicyDiscovery;
  readonly gates: ServingGates;
  readonly taints: NodeTaints;
  readonly google: GoogleCredentials;
  readonly leadership: Leadership;
  readonly authority: AuthorityStore;
  readonly trustBundle: TrustBundle;
  readonly installation: ProxyInstallation;
  /** Test flag: endpoints of providers may be http. */
  readonly allowInsecureEndpoints: boolean;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Certificates are looked at this often, in ms; a follower picks up a new CA within that time. */
const certificateCheckMs = 60_000;
const certificateRetryMs = 2_000;

export class ControlPlane {
  readonly #parts: ControlPlaneParts;
  readonly #snapshots: NodeSnapshotBuilder;
  readonly #instances: Instances;
  readonly #effective: EffectivePolicyOf;
  readonly #certificates: Certificates;
  readonly #acceptances = new Acceptances();
  readonly #counters: PolicyCounters;
  readonly #legacyEvents: LegacyEvents;
  readonly #decisionMetrics: DecisionMetrics;
  readonly server: NodeApiServer;
  #runtime: ControllerRuntime | undefined;
  /** Of the queues, when they were measured last. */
  #depths: Readonly<Record<string, number>> = {};
  #transition: Promise<void> = Promise.resolve();
  #cancelCertificates: () => void = () => undefined;
  #stopped = false;

  constructor(parts: ControlPlaneParts) {
    this.#parts = parts;
    const { store, installation, allowInsecureEndpoints, logger } = parts;
    const rules = { ownNamespace: installation.namespace, allowInsecureEndpoints };
    const policies = new LastGoodPolicies(compilePolicy);
    policies.follow(store);
    this.#effective = policies.effective.bind(policies);
    this.#snapshots = new NodeSnapshotBuilder(store, {
      rules,
      effective: this.#effective,
      hash: sha256,
      soon: setImmediate,
    });
    const pods = new ClusterProxyPods(store, { ownNamespace: installation.namespace, hash: sha256 });
    this.#instances = new Instances({ pods, gates: parts.gates, clock: systemTimers });
    this.#counters = new PolicyCounters(store);
    this.#legacyEvents = new LegacyEvents({ events: parts.events, clock: systemTimers });
    this.#decisionMetrics = new DecisionMetrics(store, parts.metrics);
    this.#certificates = new Certificates({
      store: parts.authority,
      bundle: parts.trustBundle,
      issuer: new X509CertificateIssuer(),
      clock: systemTimers,
      names: [serverName(installation.namespace)],
    });
    this.server = new NodeApiServer({
      ...parts,
      pods,
      snapshots: this.#snapshots,
      workloads: new ClusterWorkloads(store, rules),
      release: nodeRelease(store),
      readiness: this.#instances,
      counters: { record: (counts) => this.#record(counts) },
      namespace: installation.namespace,
      clock: systemTimers,
      random: Math.random,
      log: logger,
    });
  }

  /** To be called once the store has synced. The node API answers from here on, as leader or naming the leader. */
  async start(address: { readonly host: string; readonly port: number }): Promise<AddressInfo> {
    await this.#checkCertificates();
    const bound = await this.server.listen(address);
    this.#parts.leadership.onChange(() => this.#follow());
    this.#follow();
    return bound;
  }

  /** Finishes what is under way; the caller gives the Lease back afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelCertificates();
    this.#follow();
    await this.#transition;
    await this.server.close();
    this.#snapshots.stop();
  }

  /** Starts or ends reconciling with the leadership, one transition after the other. */
  #follow(): void {
    this.#transition = this.#transition.then(async () => {
      const leads = !this.#stopped && this.#parts.leadership.role().kind === 'leader';
      if (leads === (this.#runtime !== undefined)) return;
      if (!leads) return this.#endReconciling();
      await this.#checkCertificates();
      this.#runtime = this.#newRuntime();
      this.#runtime.start();
      this.#parts.logger.info('controller-leading');
    });
  }

  async #endReconciling(): Promise<void> {
    await this.#runtime?.stop();
    this.#runtime = undefined;
    this.#counters.handOver();
    this.#parts.logger.info('controller-following');
  }

  #newRuntime(): ControllerRuntime {
    const { logger, metrics, store } = this.#parts;
    return new ControllerRuntime(store, this.#controllers(), {
      timers: systemTimers,
      random: Math.random,
      onFailure: (controller, name, error) => {
        metrics.add('metaveil_reconcile_failures_total', { controller });
        logger.warn('reconcile-failed', { kind: controller, name, error: describeError(error) });
      },
    });
  }

  #controllers(): readonly ControllerDefinition[] {
    const { store: cluster, allowInsecureEndpoints, installation } = this.#parts;
    const rules = { ownNamespace: installation.namespace, allowInsecureEndpoints };
    const common = {
      ...this.#parts,
      cluster,
      rules,
      programming: this.server.programming,
      effective: this.#effective,
      acceptances: this.#acceptances,
      counters: this.#counters,
      timers: systemTimers,
      clock: systemTimers,
      random: Math.random,
      hash: sha256,
      ownNamespace: installation.namespace,
    };
    return [
      new BindingController({ ...common, verifier: new GoogleVerifier(common) }),
      new ProviderController({ ...common, discovery: this.#parts.issuer }),
      policyController({ ...common, kind: 'MetadataPolicy', discovery: this.#parts.networkPolicies }),
      policyController({ ...common, kind: 'ClusterMetadataPolicy', discovery: this.#parts.networkPolicies }),
      proxyController({ ...common, connections: proxyConnections(this.#instances, this.server.programming) }),
      this.#instances,
    ];
  }

  #record(counts: NodeCounts): void {
    this.#counters.record(counts);
    this.#legacyEvents.record(counts);
    this.#decisionMetrics.record(counts);
  }

  /** Brings the metrics up to date that are not counted but read. */
  measure(): void {
    const { leadership, metrics } = this.#parts;
    metrics.set('metaveil_build_info', { version: productVersion }, 1);
    metrics.set('metaveil_leader', {}, leadership.role().kind === 'leader' ? 1 : 0);
    metrics.set('metaveil_node_api_sessions', {}, this.server.sessions);
    // Who does not lead any more has no queues.
    const ended = Object.fromEntries(Object.keys(this.#depths).map((controller) => [controller, 0]));
    this.#depths = this.#runtime?.depths() ?? ended;
    for (const [controller, depth] of Object.entries(this.#depths))
      metrics.set('metaveil_reconcile_queue_depth', { controller }, depth);
  }

  /** Never throws: a certificate that cannot be had now is tried again soon. */
  async #checkCertificates(): Promise<void> {
    this.#cancelCertificates();
    let again = certificateCheckMs;
    try {
      const { step, renewed } = await this.#certificates.reconcile(this.#parts.leadership.role().kind);
      if (renewed !== undefined) this.server.useCertificate(renewed);
      else if (!this.#certificates.serving) again = certificateRetryMs;
      if (step !== 'keep') this.#parts.logger.info('nodeapi-certificate-changed', { kind: step });
    } catch (error) {
      again = certificateRetryMs;
      this.#parts.logger.warn('nodeapi-certificate-failed', { error: describeError(error) });
    }
    if (!this.#stopped) this.#cancelCertificates = systemTimers.after(again, () => void this.#checkCertificates());
  }
}

/** Name in the node API's certificate, whatever address it is reached at. */
export function serverName(namespace: string): string {
  return `${controllerService}.${namespace}.svc`;
}
