/**
 * The whole product in one process on loopback, without a cluster: files instead of an API server, emulators instead of
 * Google, and everything between them as in production.
 */
import { GoogleCredentialsAdapter } from '../adapters/google/credentials.ts';
import { MemoryAuthority } from '../adapters/http/memory-authority.ts';
import type { NodeUid, PodUid, ServiceAccountUid } from '../core/brand.ts';
import { objectKey } from '../core/cluster/kinds.ts';
import type { Pod } from '../core/cluster/objects.ts';
import { defaultNamespace, nodeApiAudience, proxyServiceAccount } from '../core/names.ts';
import { evaluatorOf } from '../core/policy/evaluate.ts';
import type { CanonicalPath, Decision } from '../core/policy/decision.ts';
import type { LocalCluster, LocalProxyPod } from '../local/cluster/local-cluster.ts';
import { LocalObjects } from '../local/cluster/objects.ts';
import { localIssuer, ServiceAccountIssuer } from '../local/cluster/service-account-issuer.ts';
import { startGoogleEmulator } from '../local/google/emulator.ts';
import type { GoogleEmulator } from '../local/google/emulator.ts';
import { federate } from '../local/google/federation.ts';
import type { AssumedGrant } from '../local/google/federation.ts';
import { startPodNetwork } from '../local/pod-network.ts';
import type { PodNetwork } from '../local/pod-network.ts';
import type { LoadedSamples } from '../local/ports.ts';
import { NodeApiClient } from '../nodeapi/client/client.ts';
import type { Credentials } from '../nodeapi/client/ports.ts';
import type { FederationSettings, GoogleCredentials } from '../nodeapi/server/ports.ts';
import { startProxy } from '../proxy/server.ts';
import type { RunningProxy } from '../proxy/server.ts';
import { indexSnapshot } from '../proxy/workloads.ts';
import type { Logger } from '../telemetry/log.ts';
import { silentMetrics } from '../telemetry/metrics.ts';
import { ControlPlane, serverName } from './control-plane.ts';
import { newLocalCluster } from './local-cluster.ts';
import { sha256, systemTimers } from './system.ts';

const loopback = '127.0.0.1';
const namespace = defaultNamespace;

interface NodeProcess {
  readonly client: NodeApiClient;
  readonly proxy: RunningProxy;
}

interface EmbeddedParts {
  readonly logger: Logger;
  readonly cluster: LocalCluster;
  readonly issuer: ServiceAccountIssuer;
  readonly google: GoogleEmulator;
}

export class Embedded {
  readonly #parts: EmbeddedParts;
  readonly #authority = new MemoryAuthority();
  readonly #controlPlane: ControlPlane;
  readonly #nodes = new Map<string, NodeProcess>();
  readonly #pods = new Map<string, PodNetwork>();
  readonly objects: LocalObjects;
  #service = '';
  #grants: readonly AssumedGrant[] = [];

  static async start(samples: LoadedSamples, logger: Logger): Promise<Embedded> {
    const cluster = newLocalCluster();
    const google = await startGoogleEmulator();
    const issuer = await ServiceAccountIssuer.create({
      clock: systemTimers,
      findPod: (podNamespace, name) => tokenPodOf(cluster, podNamespace, name),
    });
    google.trustIssuer(localIssuer, { keys: [...issuer.jwks.keys] });
    const embedded = new Embedded({ logger, cluster, issuer, google });
    await embedded.#listen(samples);
    return embedded;
  }

  private constructor(parts: EmbeddedParts) {
    this.#parts = parts;
    const { cluster, google, issuer, logger } = parts;
    this.objects = new LocalObjects(cluster);
    this.#controlPlane = new ControlPlane({
      store: cluster.store,
      writer: this.objects,
      events: this.objects,
      kubernetes: issuer,
      reviewer: issuer,
      issuer,
      networkPolicies: { discover: () => Promise.resolve({ denyKinds: [], cilium: false }) },
      gates: { set: () => Promise.resolve() },
      taints: { remove: () => Promise.resolve() },
      google: redirected(new GoogleCredentialsAdapter({ allowInsecureEndpoints: true }), google),
      leadership: { role: () => ({ kind: 'leader' }), onChange: () => () => undefined },
      authority: this.#authority,
      trustBundle: this.#authority,
      installation: {
        namespace,
        image: 'metaveil',
        nodeApiUrl: 'https://metaveil-controller:8443',
        nodeApiName: serverName(namespace),
        caConfigMap: 'metaveil-node-api-ca',
      },
      allowInsecureEndpoints: false,
      logger,
      metrics: silentMetrics,
    });
  }

  get store() {
    return this.#parts.cluster.store;
  }

  /** The IAM grants that are taken as made. */
  get grants(): readonly AssumedGrant[] {
    return this.#grants;
  }

  /** Takes over other files: what changed takes effect on running pods. */
  async reload(samples: LoadedSamples): Promise<void> {
    const { cluster, google } = this.#parts;
    cluster.load(samples);
    this.#grants = federate(google, cluster.store, localIssuer, this.#grants);
    await this.#runNodes();
    await this.#runPods();
  }

  /** Port on 127.0.0.1 at which a pod finds its metadata server; undefined for a pod whose node has no proxy. */
  portOf(pod: Pod): number | undefined {
    return this.#pods.get(objectKey(pod.namespace, pod.name))?.port;
  }

  /** Pods of the users, in the order of their names. */
  workloads(): readonly Pod[] {
    const pods = this.store.pods().filter((pod) => pod.namespace !== namespace);
    return [...pods].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The very decision that the pod's proxy takes; undefined where no proxy knows the pod. */
  explain(pod: Pod, path: CanonicalPath): Decision | undefined {
    const snapshot = this.#nodes.get(pod.nodeName)?.client.current();
    const subject = snapshot === undefined ? undefined : indexSnapshot(snapshot)?.byUid(pod.uid);
    return subject === undefined ? undefined : evaluatorOf(subject).evaluate(path);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#pods.values()].map((network) => network.close()));
    await Promise.all([...this.#nodes.keys()].map((name) => this.#stopNode(name)));
    await this.#controlPlane.stop();
    await this.#parts.google.close();
  }

  async #listen(samples: LoadedSamples): Promise<void> {
    const { cluster, google } = this.#parts;
    cluster.load(samples);
    this.#grants = federate(google, cluster.store, localIssuer, []);
    const { address, port } = await this.#controlPlane.start({ host: loopback, port: 0 });
    this.#service = `${address}:${port}`;
    await this.#runNodes();
    await this.#runPods();
  }

  async #runNodes(): Promise<void> {
    const wanted = new Map(this.#parts.cluster.proxyPods().map((pod) => [pod.nodeName, pod]));
    for (const name of [...this.#nodes.keys()]) if (!wanted.has(name)) await this.#stopNode(name);
    for (const [name, pod] of wanted) if (!this.#nodes.has(name)) this.#nodes.set(name, await this.#startNode(pod));
  }

  async #startNode(pod: LocalProxyPod): Promise<NodeProcess> {
    const { logger } = this.#parts;
    const common = { random: Math.random, logger, log: logger, clock: systemTimers, timers: systemTimers };
    const client = new NodeApiClient({
      ...common,
      service: this.#service,
      serverName: serverName(namespace),
      credentials: this.#credentials(pod),
      lastGood: { read: () => Promise.resolve(undefined), write: () => Promise.resolve() },
    });
    await client.start();
    const proxy = await startProxy({
      ...common,
      snapshotSource: client,
      tokenSource: client,
      reports: client,
      hash: sha256,
      listen: [{ host: loopback, port: 0 }],
      hosts: { addresses: [loopback], clusterDomain: 'cluster.local' },
    });
    client.setReady(true);
    return { client, proxy };
  }

  async #stopNode(name: string): Promise<void> {
    const node = this.#nodes.get(name);
    this.#nodes.delete(name);
    await node?.proxy.close(1_000);
    await node?.client.stop();
  }

  #credentials({ podName }: LocalProxyPod): Credentials {
    const { cluster, issuer } = this.#parts;
    const account = cluster.store.serviceAccount(namespace, proxyServiceAccount);
    const uid = account?.uid ?? ('' as ServiceAccountUid);
    return {
      caBundle: () => Promise.resolve(this.#authority.published),
      token: async () => {
        const pod = cluster.store.podNamed(namespace, podName);
        const request = {
          namespace,
          serviceAccount: { name: proxyServiceAccount, uid },
          audience: nodeApiAudience,
          expirationSeconds: 3600,
          boundTo: { kind: 'pod', name: podName, uid: pod?.uid ?? ('' as PodUid) },
        } as const;
        return (await issuer.request(request)).token;
      },
    };
  }

  async #runPods(): Promise<void> {
    const wanted = new Map(this.workloads().map((pod) => [objectKey(pod.namespace, pod.name), pod]));
    for (const [key, network] of [...this.#pods]) {
      if (wanted.has(key)) continue;
      this.#pods.delete(key);
      await network.close();
    }
    for (const [key, pod] of wanted) if (!this.#pods.has(key)) await this.#runPod(key, pod);
  }

  async #runPod(key: string, pod: Pod): Promise<void> {
    const address = this.#nodes.get(pod.nodeName)?.proxy.addresses[0];
    const [podIP] = pod.ips;
    if (address === undefined || podIP === undefined) return;
    this.#pods.set(key, await startPodNetwork({ podIP, proxy: { host: loopback, port: address.port } }));
  }
}

function tokenPodOf({ store }: LocalCluster, podNamespace: string, name: string) {
  const pod = store.podNamed(podNamespace, name);
  if (pod === undefined) return undefined;
  const nodeUid = store.node(pod.nodeName)?.uid ?? ('' as NodeUid);
  return { name: pod.name, uid: pod.uid, nodeName: pod.nodeName, nodeUid };
}

/** Every exchange goes to the emulator, whatever endpoint the provider names: nothing leaves this machine. */
function redirected(credentials: GoogleCredentials, emulator: GoogleEmulator): GoogleCredentials {
  const { stsEndpoint, iamCredentialsEndpoint } = emulator;
  const here = (provider: FederationSettings) => ({ ...provider, stsEndpoint, iamCredentialsEndpoint });
  return {
    accessToken: (request, signal) => credentials.accessToken({ ...request, provider: here(request.provider) }, signal),
    identityToken: (request, signal) =>
      credentials.identityToken({ ...request, provider: here(request.provider) }, signal),
  };
}
