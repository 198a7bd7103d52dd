/** The product installed on a control plane of its own, with nodes whose proxies are real processes. */
import assert from 'node:assert/strict';
import type { MetadataProxySpec } from '../../../operator/api/v1/index.ts';
import type { GoogleEmulator } from '../../../operator/local/google/emulator.ts';
import { startProductCluster, type Cluster } from '../../cluster/cluster.ts';
import { runDaemonPods, type DaemonPods } from '../../cluster/daemonpods.ts';
import { eventually } from '../../cluster/eventually.ts';
import { ConfigMaps, Namespaces, ServiceAccounts } from '../../cluster/kinds.ts';
import {
  ControllerProcess,
  installProduct,
  kubectlOk,
  principalOf,
  providerManifest,
  startGoogle,
  type ControllerOptions,
} from '../installation.ts';
import { TestNode } from './node.ts';
import { Segment } from './segment.ts';
import { StandInService } from './service.ts';

export const ownNamespace = 'metaveil-system';
export const tenants = 'tenants';
const proxyPods = 'app.kubernetes.io/component=proxy';

interface Parts {
  readonly cluster: Cluster;
  readonly google: GoogleEmulator;
  readonly segment: Segment;
  readonly service: StandInService;
  readonly kubelets: DaemonPods;
}

export class Site implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly google: GoogleEmulator;
  readonly segment: Segment;
  readonly service: StandInService;
  readonly controllers: ControllerProcess[] = [];
  readonly nodes: TestNode[] = [];
  /** Projected tokens that were handed to proxies; no output may contain one. */
  readonly secrets = new Set<string>();
  /** What proxies have for their node's metadata server: nobody, and never the machine's own. */
  upstream = 'http://127.0.0.1:9';
  readonly #kubelets: DaemonPods;

  /**
   * Installs with `kubectl apply -k config/default`. The provider names the emulator before anything is bound: nothing
   * is ever asked of the real Google.
   */
  static async open(nodeNames: readonly string[]): Promise<Site> {
    const cluster = await startProductCluster();
    await installProduct(cluster);
    const google = await startGoogle(cluster);
    await kubectlOk(cluster, ['apply', '--server-side', '-f', '-'], providerManifest(google));
    await cluster.api.create(Namespaces, { metadata: { name: tenants } });
    const service = await StandInService.start();
    const segment = new Segment(nodeNames);
    const kubelets = runDaemonPods(cluster, {
      nodes: nodeNames,
      namespace: ownNamespace,
      labelSelector: proxyPods,
      terminating: 'keep',
    });
    return new Site({ cluster, google, segment, service, kubelets });
  }

  private constructor(parts: Parts) {
    this.cluster = parts.cluster;
    this.google = parts.google;
    this.segment = parts.segment;
    this.service = parts.service;
    this.#kubelets = parts.kubelets;
  }

  /** A replica that the Service leads to from now on; the others stay endpoints unless they were taken out. */
  async startController(options: ControllerOptions = {}): Promise<ControllerProcess> {
    const controller = await ControllerProcess.start(this.cluster, options);
    this.controllers.push(controller);
    await controller.ready();
    return controller;
  }

  /** A replica that leads, as the Service's only endpoint. */
  async startLeader(options: ControllerOptions = {}): Promise<ControllerProcess> {
    const controller = await this.startController(options);
    this.service.lead(controller.port);
    await controller.leading();
    return controller;
  }

  /** Redirection needs the kernel; here pods are pointed at the proxy by a variable instead. */
  async applyMetadataProxy(spec: Partial<MetadataProxySpec> = {}): Promise<void> {
    const emulated = { projectId: 'my-project', numericProjectId: '123456789012', zone: 'europe-west4-a' };
    await this.apply({
      apiVersion: 'metaveil.dev/v1',
      kind: 'MetadataProxy',
      metadata: { name: 'default' },
      spec: { interception: 'None', platform: 'None', emulated, ...spec },
    });
  }

  async apply(manifest: object): Promise<void> {
    await kubectlOk(this.cluster, ['apply', '--server-side', '-f', '-'], JSON.stringify(manifest));
  }

  /** A ServiceAccount of the tenants, its binding, and the grant at Google. */
  async bind(serviceAccount: string, googleAccount = serviceAccount): Promise<void> {
    await this.cluster.api.apply(ServiceAccounts, { metadata: { name: serviceAccount, namespace: tenants } });
    this.google.grant(emailOf(googleAccount), workloadIdentityUser, principalOf(serviceAccount, tenants));
    await this.apply(binding(serviceAccount, googleAccount));
  }

  /** A node with a running proxy that is connected. */
  async startNode(name: string): Promise<TestNode> {
    const node = await this.addNode(name);
    await node.startProxy();
    return node;
  }

  /** A node whose proxy pod runs, as far as the cluster is told; the process is started by the test. */
  async addNode(name: string): Promise<TestNode> {
    const node = await TestNode.join(this, name);
    this.nodes.push(node);
    return node;
  }

  /** The bundle that proxies mount. */
  async nodeApiCa(): Promise<string> {
    return eventually('the ConfigMap with the CA of the node API', async () => {
      const name = 'metaveil-node-api-ca';
      return (await this.cluster.api.find(ConfigMaps, { namespace: ownNamespace, name }))?.data?.['ca.crt'];
    });
  }

  /** Whom a token speaks for at Google: an e-mail, or '' for a token that Google does not know. */
  emailOf(token: string): string {
    const identity = this.google.whoIs(token);
    return identity?.kind === 'service-account' ? identity.email : '';
  }

  /** Nothing ended that was not told to. */
  assertAllRunning(): void {
    for (const { name, proxy } of this.nodes) if (proxy) assert.ok(proxy.isRunning, `${name}:\n${proxy.output}`);
  }

  /** Everything that controllers and proxies wrote. */
  output(): string {
    const proxies = this.nodes.flatMap(({ outputs }) => outputs);
    return [...this.controllers.flatMap(({ lines, complaints }) => [...lines, ...complaints]), ...proxies].join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node.stop();
    await Promise.all(this.controllers.map((controller) => controller.stop('SIGKILL')));
    await this.#kubelets.stop().finally(() => this.cluster.stop());
    await this.service.stop();
    await this.google.close();
    await this.segment[Symbol.asyncDispose]();
  }
}

export const workloadIdentityUser = 'roles/iam.workloadIdentityUser';

export function emailOf(googleAccount: string): string {
  return `${googleAccount}@my-project.iam.gserviceaccount.com`;
}

export function binding(serviceAccount: string, googleAccount = serviceAccount): object {
  return {
    apiVersion: 'metaveil.dev/v1',
    kind: 'WorkloadIdentityBinding',
    metadata: { name: serviceAccount, namespace: tenants },
    spec: { serviceAccountName: serviceAccount, googleServiceAccount: emailOf(googleAccount) },
  };
}
