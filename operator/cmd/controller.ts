/** The controller of a cluster: reads its configuration, connects the adapters, takes part in the election, ends in order. */
import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import { GoogleCredentialsAdapter } from '../adapters/google/credentials.ts';
import { KubeClient, unlessNotFound } from '../adapters/kube/client.ts';
import { clusterReflections } from '../adapters/kube/cluster-reflections.ts';
import { ApiDiscovery } from '../adapters/kube/discovery.ts';
import { KubeEventRecorder } from '../adapters/kube/event-recorder.ts';
import { replicaIdentity } from '../adapters/kube/identity.ts';
import { KubeIssuerDiscovery } from '../adapters/kube/issuer.ts';
import { ConfigMapTrustBundle, SecretAuthorityStore } from '../adapters/kube/kube-authority.ts';
import { loadKubeConfig } from '../adapters/kube/kubeconfig.ts';
import { LeaseElection } from '../adapters/kube/lease.ts';
import { kubeLeaseStore } from '../adapters/kube/lease-store.ts';
import { KubeNetworkPolicyKinds } from '../adapters/kube/network-policy-kinds.ts';
import { KubeNodeTaints, KubeServingGates } from '../adapters/kube/node-changes.ts';
import { isRecord, recordAt, textAt } from '../adapters/kube/project/raw.ts';
import { KubeServiceAccountTokens } from '../adapters/kube/service-account-tokens.ts';
import { operatorShell } from '../adapters/kube/shell.ts';
import { KubeTokenReviewer } from '../adapters/kube/token-reviewer.ts';
import { KubeWriter } from '../adapters/kube/writer.ts';
import { PrometheusMetrics } from '../adapters/prometheus/metrics.ts';
import { ClusterStore } from '../core/cluster/store.ts';
import { MetaveilError } from '../core/errors.ts';
import { controllerService, leaseName, nodeApiPort, productVersion } from '../core/names.ts';
import { createLogger, describeError } from '../telemetry/log.ts';
import type { Logger } from '../telemetry/log.ts';
import { ControlPlane, serverName } from './control-plane.ts';
import { readConfiguration } from './controller-configuration.ts';
import type { ControllerConfiguration } from './controller-configuration.ts';
import { serveHealth } from './health.ts';
import { serveMetrics } from './metrics.ts';
import { ended, systemTimers } from './system.ts';

/** The Secret and the ConfigMap of the node API's CA; named in RBAC. */
const authoritySecret = 'metaveil-node-api';
const trustConfigMap = 'metaveil-node-api-ca';

type Environment = Readonly<Record<string, string | undefined>>;

/** Runs until SIGTERM or SIGINT. Resolves with the exit status. */
export async function main(argv: readonly string[], env: Environment): Promise<number> {
  const logger = createLogger({ component: 'controller' });
  try {
    await runController(readConfiguration(argv, env), logger, ended());
    return 0;
  } catch (error) {
    logger.error('controller-stopped', { error: describeError(error) });
    return 1;
  }
}

async function runController(
  configuration: ControllerConfiguration,
  logger: Logger,
  ending: Promise<void>,
): Promise<void> {
  const { kubeconfig, context, listen } = configuration;
  const source =
    kubeconfig === undefined
      ? ({ kind: 'in-cluster' } as const)
      : ({ kind: 'file', path: kubeconfig, ...(context !== undefined && { context }) } as const);
  const kubeConfig = loadKubeConfig(source, process.env);
  const userAgent = `metaveil/${productVersion} controller`;
  const client = new KubeClient({ kubeConfig, userAgent, timers: systemTimers, random: Math.random });
  logger.info('controller-starting');
  const store = new ClusterStore();
  const shell = startShell(client, store, configuration, logger);
  const election = newElection(client, configuration, logger);
  let ready = false;
  let controlPlane: ControlPlane | undefined;
  const metrics = new PrometheusMetrics();
  const servers = await servePlainly(configuration, metrics, {
    ready: () => ready,
    measure: () => controlPlane?.measure(),
  });
  try {
    await Promise.race([shell.synced, ending]);
    controlPlane = new ControlPlane(await partsOf(client, store, election, { configuration, logger, metrics }));
    election.start();
    await controlPlane.start(listen);
    ready = true;
    await ending;
    await controlPlane.stop();
  } finally {
    // The Lease goes last: until then nobody else may write.
    await election.stop();
    shell.stop();
    await shell.stopped();
    for (const server of servers) server.close();
    await client.close();
    logger.info('controller-stopped');
  }
}

function startShell(client: KubeClient, store: ClusterStore, { kubeconfig }: ControllerConfiguration, logger: Logger) {
  const shell = operatorShell({
    client,
    ...(kubeconfig !== undefined && { kubeconfigPath: kubeconfig }),
    reflections: clusterReflections(store),
    timers: systemTimers,
    random: Math.random,
    observer: {
      listed: () => undefined,
      interrupted: ({ plural }, error) => logger.warn('watch-failed', { kind: plural, error: describeError(error) }),
      unreadable: ({ plural }, key) => logger.warn('watch-failed', { kind: plural, name: key, reason: 'unreadable' }),
    },
    // The framework's own lines say nothing that the observer does not say.
    logger: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
  });
  void shell.start();
  return shell;
}

function newElection(client: KubeClient, configuration: ControllerConfiguration, logger: Logger): LeaseElection {
  const { advertise, namespace, podName } = configuration;
  return new LeaseElection({
    store: kubeLeaseStore(client, namespace, leaseName),
    identity: replicaIdentity(podName, randomBytes(5).toString('hex'), advertise),
    timers: systemTimers,
    monotonic: () => performance.now(),
    random: Math.random,
    onFailure: (error) => logger.warn('lease-failed', { error: describeError(error) }),
  });
}

/** What kubelet and Prometheus ask. */
async function servePlainly(
  { healthListen, metricsListen }: ControllerConfiguration,
  metrics: PrometheusMetrics,
  { ready, measure }: { readonly ready: () => boolean; readonly measure: () => void },
): Promise<readonly Server[]> {
  const health = await serveHealth(healthListen, { ready });
  if (metricsListen === undefined) return [health];
  metrics.measureProcess();
  const exposition = (): Promise<string> => {
    measure();
    return metrics.exposition();
  };
  const source = { contentType: metrics.contentType, exposition };
  return [health, await serveMetrics(metricsListen, source, systemTimers)];
}

interface Basics {
  readonly configuration: ControllerConfiguration;
  readonly logger: Logger;
  readonly metrics: PrometheusMetrics;
}

async function partsOf(
  client: KubeClient,
  store: ClusterStore,
  election: LeaseElection,
  { configuration, logger, metrics }: Basics,
) {
  const { allowInsecureEndpoints, image, namespace, podName } = configuration;
  const discovery = new ApiDiscovery(client, systemTimers);
  const place = (name: string) => ({ namespace, name });
  const mayWrite = () => election.isLeader();
  return {
    store,
    writer: new KubeWriter({ client, discovery, mayWrite }),
    events: new KubeEventRecorder({
      client,
      timers: systemTimers,
      instance: podName,
      nonce: () => randomBytes(8).toString('hex'),
      onFailure: (error) => logger.warn('reconcile-failed', { kind: 'Event', error: describeError(error) }),
    }),
    kubernetes: new KubeServiceAccountTokens(client),
    reviewer: new KubeTokenReviewer(client),
    issuer: new KubeIssuerDiscovery(client),
    networkPolicies: new KubeNetworkPolicyKinds(discovery),
    gates: new KubeServingGates(client, systemTimers),
    taints: new KubeNodeTaints(client),
    google: new GoogleCredentialsAdapter({ allowInsecureEndpoints }),
    leadership: election,
    authority: new SecretAuthorityStore(client, place(authoritySecret)),
    trustBundle: new ConfigMapTrustBundle(client, place(trustConfigMap)),
    installation: {
      namespace,
      image,
      nodeApiUrl: configuration.nodeApiUrl ?? (await serviceUrl(client, configuration)),
      nodeApiName: serverName(namespace),
      caConfigMap: trustConfigMap,
    },
    allowInsecureEndpoints,
    logger,
    metrics,
  };
}

/**
 * The Service's own address: a proxy must not need the cluster's DNS to get identities. Without the Service, as when the
 * operator runs beside a cluster, this replica's own.
 */
async function serviceUrl(client: KubeClient, { namespace, advertise }: ControllerConfiguration): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/services/${controllerService}`;
  const service = await unlessNotFound(client.request({ method: 'GET', path }));
  if (!isRecord(service)) return `https://${advertise}`;
  const clusterIP = textAt(recordAt(service, 'spec'), 'clusterIP');
  if (clusterIP === '' || clusterIP === 'None') {
    throw new MetaveilError('invalid-configuration', `Service ${namespace}/${controllerService} has no ClusterIP`);
  }
  return `https://${clusterIP.includes(':') ? `[${clusterIP}]` : clusterIP}:${nodeApiPort}`;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2), process.env);
