/** The real controller in this process, over a cluster in memory whose one node is a network namespace. */
import { join } from 'node:path';
import { GoogleCredentialsAdapter } from '../../../operator/adapters/google/credentials.ts';
import { MemoryAuthority } from '../../../operator/adapters/http/memory-authority.ts';
import { ControlPlane, serverName } from '../../../operator/cmd/control-plane.ts';
import { sha256, systemTimers } from '../../../operator/cmd/system.ts';
import { ownerLabels } from '../../../operator/controllers/proxies/workloads.ts';
import type { StoredObject } from '../../../operator/core/cluster/kinds.ts';
import { ClusterStore } from '../../../operator/core/cluster/store.ts';
import { defaultNamespace, nodeApiAudience, proxyServiceAccount } from '../../../operator/core/names.ts';
import { LocalObjects } from '../../../operator/local/cluster/objects.ts';
import { localIssuer, ServiceAccountIssuer } from '../../../operator/local/cluster/service-account-issuer.ts';
import { startGoogleEmulator } from '../../../operator/local/google/emulator.ts';
import type { GoogleEmulator } from '../../../operator/local/google/emulator.ts';
import { silentLogger } from '../../../operator/telemetry/log.ts';
import { silentMetrics } from '../../../operator/telemetry/metrics.ts';
import { metadataProxy, namespace, node, pod, poolProvider, provider, serviceAccount } from '../../builders/objects.ts';
import { openSocket } from './ports.ts';

const proxyName = 'default';
const nodeName = 'node-a';
export const proxyPod = 'metaveil-proxy-default-x';

export class TestControlPlane implements AsyncDisposable {
  readonly store = new ClusterStore();
  readonly google: GoogleEmulator;
  readonly authority = new MemoryAuthority();
  readonly #issuer: ServiceAccountIssuer;
  readonly #controlPlane: ControlPlane;
  readonly #closers: (() => Promise<unknown>)[] = [];

  /** `socketFolder`: where `node-api.sock` is made, which leads to the node API from every namespace. */
  static async start(nodeIP: string, socketFolder: string): Promise<TestControlPlane> {
    const google = await startGoogleEmulator();
    const store = new ClusterStore();
    const issuer = await ServiceAccountIssuer.create({
      clock: systemTimers,
      findPod: (podNamespace, name) => {
        const found = store.podNamed(podNamespace, name);
        const nodeUid = store.node(nodeName)?.uid;
        return found === undefined || nodeUid === undefined ? undefined : { ...found, nodeUid };
      },
    });
    google.trustIssuer(localIssuer, { keys: [...issuer.jwks.keys] });
    google.addProvider({ name: poolProvider, issuer: localIssuer });
    const plane = new TestControlPlane(store, google, issuer);
    await plane.#open(nodeIP, join(socketFolder, 'node-api.sock'));
    return plane;
  }

  private constructor(store: ClusterStore, google: GoogleEmulator, issuer: ServiceAccountIssuer) {
    this.store = store;
    this.google = google;
    this.#issuer = issuer;
    const mirror = { store, created: () => undefined, deleted: () => undefined };
    const objects = new LocalObjects(mirror);
    this.#controlPlane = new ControlPlane({
      store,
      writer: objects,
      events: objects,
      kubernetes: issuer,
      reviewer: issuer,
      issuer,
      networkPolicies: { discover: () => Promise.resolve({ denyKinds: [], cilium: false }) },
      gates: { set: () => Promise.resolve() },
      taints: { remove: () => Promise.resolve() },
      google: new GoogleCredentialsAdapter({ allowInsecureEndpoints: true }),
      leadership: { role: () => ({ kind: 'leader' }), onChange: () => () => undefined },
      authority: this.authority,
      trustBundle: this.authority,
      installation: {
        namespace: defaultNamespace,
        image: 'metaveil',
        nodeApiUrl: 'https://127.0.0.1:8443',
        nodeApiName: serverName(defaultNamespace),
        caConfigMap: 'metaveil-node-api-ca',
      },
      allowInsecureEndpoints: true,
      logger: silentLogger,
      metrics: silentMetrics,
    });
  }

  /** Adds or changes objects of the cluster. */
  apply(...objects: readonly StoredObject[]): void {
    for (const object of objects) this.store.upsert(object);
  }

  /** The token that kubelet would project into the proxy's pod. */
  async proxyToken(): Promise<string> {
    const account = this.store.serviceAccount(defaultNamespace, proxyServiceAccount);
    const bound = this.store.podNamed(defaultNamespace, proxyPod);
    if (account === undefined || bound === undefined) throw new Error('the proxy has no pod');
    const { token } = await this.#issuer.request({
      namespace: defaultNamespace,
      serviceAccount: { name: account.name, uid: account.uid },
      audience: nodeApiAudience,
      expirationSeconds: 3600,
      boundTo: { kind: 'pod', name: bound.name, uid: bound.uid },
    });
    return token;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers.reverse()) await close();
    await this.#controlPlane.stop();
    await this.google.close();
  }

  async #open(nodeIP: string, socket: string): Promise<void> {
    this.#fill(nodeIP);
    const { port } = await this.#controlPlane.start({ host: '127.0.0.1', port: 0 });
    this.#closers.push(await openSocket(socket, port));
  }

  #fill(nodeIP: string): void {
    const emulated = { projectId: 'my-project', numericProjectId: '123456789012', zone: 'europe-west4-a' };
    const endpoints = {
      stsEndpoint: this.google.stsEndpoint,
      iamCredentialsEndpoint: this.google.iamCredentialsEndpoint,
    };
    this.store.replace('Namespace', [namespace('kube-system'), namespace(defaultNamespace), namespace('web')]);
    this.store.replace('Node', [node({ name: nodeName, internalIPs: [nodeIP] })]);
    this.store.replace('ServiceAccount', [
      serviceAccount({ namespace: defaultNamespace, name: proxyServiceAccount }),
      serviceAccount({ namespace: 'web', name: 'api' }),
      serviceAccount({ namespace: 'web', name: 'visitor' }),
    ]);
    this.store.replace('Pod', [
      pod({
        namespace: defaultNamespace,
        name: proxyPod,
        serviceAccountName: proxyServiceAccount,
        hostNetwork: true,
        ips: [nodeIP],
        labels: ownerLabels(proxyName, sha256),
        ownerKind: 'DaemonSet',
        ownerUid: 'daemonset',
      }),
    ]);
    this.store.replace('MetadataProxy', [metadataProxy({ name: proxyName, spec: { platform: 'None', emulated } })]);
    this.store.replace('WorkloadIdentityProvider', [provider({ spec: endpoints })]);
    for (const kind of ['WorkloadIdentityBinding', 'MetadataPolicy', 'ClusterMetadataPolicy', 'NetworkPolicy'] as const)
      this.store.replace(kind, []);
  }
}
