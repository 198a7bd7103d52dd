/** A node: its object, the pod that the DaemonSet made for it, the real proxy process, and pods of tenants. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { nodeApiAudience, proxyPorts, proxyServiceAccount } from '../../../operator/core/names.ts';
import { eventually } from '../../cluster/eventually.ts';
import { Pods, type Stored } from '../../cluster/kinds.ts';
import { createNode } from '../../cluster/nodes.ts';
import { bindAndRun, removePod } from '../../cluster/pods.ts';
import { TenantPod } from './pod.ts';
import { ProxyProcess } from './proxy-process.ts';
import { ownNamespace, tenants, type Site } from './site.ts';

export interface TenantOptions {
  readonly serviceAccount: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface CreatedPod {
  readonly pod: TenantPod;
  readonly run: () => Promise<void>;
}

export class TestNode {
  readonly name: string;
  readonly address: string;
  readonly #site: Site;
  readonly #tenants: TenantPod[] = [];
  readonly #proxies: ProxyProcess[] = [];

  static async join(site: Site, name: string): Promise<TestNode> {
    const address = site.segment.nodeAddress(name);
    await createNode(site.cluster, name, { internalIP: address });
    return new TestNode(site, name, address);
  }

  private constructor(site: Site, name: string, address: string) {
    this.#site = site;
    this.name = name;
    this.address = address;
  }

  /** The process of its proxy that was started last. */
  get proxy(): ProxyProcess | undefined {
    return this.#proxies.at(-1);
  }

  get server(): { readonly host: string; readonly port: number } {
    return { host: this.address, port: proxyPorts[0] };
  }

  /** What its proxies wrote, one text per process. */
  get outputs(): readonly string[] {
    return this.#proxies.map(({ output }) => output);
  }

  /** The pod that the DaemonSet controller made for this node, once it runs. */
  async proxyPod(): Promise<Stored<Pod>> {
    return eventually(`the proxy's pod on ${this.name} runs`, async () => {
      const selection = { namespace: ownNamespace, labelSelector: 'app.kubernetes.io/component=proxy' };
      const pods = await this.#site.cluster.api.list(Pods, selection);
      return pods.find(({ spec, status }) => spec?.nodeName === this.name && status?.phase === 'Running');
    });
  }

  /**
   * What kubelet would mount into the proxy's pod. Asked for after the pod was bound: only then does the token name the
   * node.
   */
  async proxyToken(): Promise<string> {
    const { name, uid } = (await this.proxyPod()).metadata;
    const account = { namespace: ownNamespace, name: proxyServiceAccount };
    const token = await this.#site.cluster.token(account, { audiences: [nodeApiAudience], pod: { name, uid } });
    this.#site.secrets.add(token);
    return token;
  }

  /** Starts the proxy with a fresh token and waits until it serves and is connected. */
  async startProxy(): Promise<ProxyProcess> {
    const proxy = await this.launchProxy(await this.proxyToken());
    await eventually(`the proxy on ${this.name} has a snapshot`, () => {
      if (!proxy.isRunning) throw new Error(`it ended:\n${proxy.output}`);
      return Promise.resolve(proxy.logged('snapshot-received')[0]);
    });
    return proxy;
  }

  /** Starts the proxy, as kubelet starts a container again: same folder, no matter whether the controller is there. */
  async launchProxy(token: string): Promise<ProxyProcess> {
    const folder = join(this.#site.segment.folder, this.name);
    mkdirSync(folder, { recursive: true });
    const { service, upstream } = this.#site;
    const settings = { nodeApiUrl: service.url, hostIP: this.address, port: proxyPorts[0], upstream, folder };
    const proxy = new ProxyProcess(settings, { token, ca: await this.#site.nodeApiCa() });
    this.#proxies.push(proxy);
    await eventually(`the proxy on ${this.name} listens`, () => {
      if (!proxy.isRunning) throw new Error(`it ended:\n${proxy.output}`);
      return Promise.resolve(proxy.logged('proxy-listening')[0]);
    });
    return proxy;
  }

  /** A running pod with an address of its own in a network namespace of its own. */
  async runPod(name: string, options: TenantOptions): Promise<TenantPod> {
    const created = await this.createPod(name, options);
    await created.run();
    return created.pod;
  }

  /** A pod that is bound to nothing yet; `run` gives it the node and its address, which is when it can be known. */
  async createPod(name: string, { serviceAccount, labels }: TenantOptions): Promise<CreatedPod> {
    const { cluster, segment } = this.#site;
    const place = segment.attach(this.name);
    const { metadata } = await cluster.api.create(Pods, {
      metadata: { name, namespace: tenants, ...(labels && { labels }) },
      spec: { serviceAccountName: serviceAccount, containers: [{ name: 'main', image: 'none' }] },
    });
    const identity = { name, namespace: tenants, uid: metadata.uid };
    const pod = new TenantPod(identity, segment, place.namespace, this.server);
    this.#tenants.push(pod);
    const run = async (): Promise<void> => {
      await bindAndRun(cluster, identity, { node: this.name, podIP: place.ip });
    };
    return { pod, run };
  }

  /** As kubelet does it when the pod is deleted: SIGTERM, and the pod goes when the process has ended. */
  async endProxyPod(): Promise<number | null> {
    const { metadata } = await this.proxyPod();
    const status = (await this.proxy?.stop('SIGTERM')) ?? null;
    await removePod(this.#site.cluster, metadata);
    return status;
  }

  async stop(): Promise<void> {
    for (const tenant of this.#tenants) tenant.stop();
    await Promise.all(this.#proxies.map((proxy) => proxy.stop('SIGKILL')));
  }
}
