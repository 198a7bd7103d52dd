/**
 * A node with three pods (bound, federated only, unbound), the real proxy and intercept on it, Google's services and
 * the node's own metadata server emulated, and nothing else that could be reached.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterMetadataPolicy } from '../../operator/api/v1/index.ts';
import { startGceEmulator, type GceEmulator } from '../../operator/local/gce/emulator.ts';
import { binding, metadataProxy, pod, poolProvider, serviceAccount } from '../builders/objects.ts';
import { TestControlPlane } from '../e2e/redirected/control-plane.ts';
import { NodeProcesses } from '../e2e/redirected/node-processes.ts';
import { openSocket, relay } from '../e2e/redirected/ports.ts';
import type { Network } from '../netns/network.ts';
import { addresses, metadataServer, nodeNetwork } from '../netns/topology.ts';
import { ClientProcess } from './client-process.ts';
import type { PreparedClient } from './clients/contract.ts';
import { FakeStorage } from './storage.ts';

export const identities = ['bound', 'federated', 'unbound'] as const;
export type Identity = (typeof identities)[number];

const places = { bound: 'pod-a', federated: 'pod-b', unbound: 'pod-c' } as const;

export const documentPath = join(import.meta.dirname, '..', '..', 'docs', 'conformance.md');
export const projectId = 'my-project';
export const zone = 'europe-west4-a';
/** What the proxy serves where there is no metadata server behind it. */
export const emulatedProjectId = 'emulated-project';
export const googleServiceAccount = `api@${projectId}.iam.gserviceaccount.com`;
/** Where the variables of interception Env lead: the proxy's own port on the node. */
export const proxyHost = `${addresses.node.ipv4}:9880`;
/** One for each kind of pod: what arrives there can only have come from it. */
const storagePorts = { bound: 4443, federated: 4444, unbound: 4445 } as const;
export function storageEndpoint(identity: Identity): string {
  return `http://${addresses.cloud.ipv4}:${storagePorts[identity]}`;
}

export function principalOf(identity: Identity): string {
  const [pool] = poolProvider.split('/providers/');
  const account = { bound: 'api', federated: 'batch', unbound: 'visitor' }[identity];
  return `principal://iam.googleapis.com/${pool ?? ''}/subject/system:serviceaccount:web:${account}`;
}

/** Runs in a mount namespace of its own: names are the cluster's, and a pod has neither gcloud nor the host's DMI. */
const enterPod = `
set -e
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/hosts" /etc/hosts
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
shift
while [ "$1" != -- ]; do mount -t tmpfs -o ro none "$1"; shift; done
shift
exec "$@"
`;
const hostFolders = ['/sys/class/dmi', '/usr/lib/google-cloud-sdk', '/run/google-mds-mtls'];

/** How long Google or the node's server is away, in ms, after a request of a client has met the outage. */
const outageMs = 400;

export class ConformanceStage implements AsyncDisposable {
  readonly #network: Network;
  readonly #closers: (() => Promise<unknown>)[];
  readonly plane: TestControlPlane;
  readonly node: NodeProcesses;
  readonly gce: GceEmulator;
  readonly storages: Readonly<Record<Identity, FakeStorage>>;
  #generation = 1;
  #homes = 0;

  /** Needs root. */
  static async start(): Promise<ConformanceStage> {
    const network = nodeNetwork();
    const plane = await TestControlPlane.start(addresses.node.ipv4, network.folder);
    const gce = await startGceEmulator({ instance: { projectId, zone } });
    const closers = [await openSocket(join(network.folder, 'gce.sock'), Number(gce.host.split(':')[1]))];
    for (const host of Object.values(metadataServer))
      await relay(network, 'cloud', { host, port: 80 }, join(network.folder, 'gce.sock'));
    const storages = { bound: new FakeStorage(), federated: new FakeStorage(), unbound: new FakeStorage() };
    for (const identity of identities) {
      const socket = join(network.folder, `storage-${identity}.sock`);
      closers.push(await openSocket(socket, await storages[identity].listen()));
      await relay(network, 'cloud', { host: addresses.cloud.ipv4, port: storagePorts[identity] }, socket);
    }
    await startNames(network);
    plane.google.grant(googleServiceAccount, 'roles/iam.workloadIdentityUser', principalOf('bound'));
    plane.apply(
      metadataProxy({ name: 'default', spec: { platform: 'GCE' } }),
      serviceAccount({ namespace: 'web', name: 'batch' }),
      serviceAccount({ namespace: 'web', name: 'default' }),
      ...bindings(1),
      ...pods(),
    );
    const node = await NodeProcesses.start(network, plane);
    return new ConformanceStage({ network, plane, node, gce, storages, closers });
  }

  private constructor(parts: Parts) {
    this.#network = parts.network;
    this.#closers = parts.closers;
    this.plane = parts.plane;
    this.node = parts.node;
    this.gce = parts.gce;
    this.storages = parts.storages;
  }

  /** A process of the client in the pod. */
  run(prepared: PreparedClient, identity: Identity, env: Readonly<Record<string, string>> = {}): ClientProcess {
    const isGcloud = Object.hasOwn(prepared.versions, 'gcloud');
    return new ClientProcess(this.enter(identity, prepared.command, { env: { ...prepared.env, ...env }, isGcloud }));
  }

  /** A program in the pod, its environment that of a container to which nobody has given any. */
  enter(
    identity: Identity,
    command: readonly string[],
    { env = {}, isGcloud = false }: Surroundings = {},
  ): ChildProcess {
    const home = join(this.#network.folder, `home-${(this.#homes += 1)}`);
    mkdirSync(home);
    const hidden = hostFolders.filter((folder) => existsSync(folder) && !(isGcloud && folder.includes('cloud-sdk')));
    const inPod = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', enterPod, 'pod'] as const;
    return this.#network.spawn(places[identity], [...inPod, this.#network.folder, ...hidden, '--', ...command], {
      env: { PATH: process.env['PATH'] ?? '', HOME: home, TMPDIR: home, LANG: 'C.UTF-8', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: home,
    });
  }

  /** In the unbound pod's place, with its address: one that was just made, of a ServiceAccount that nobody bound. */
  async replaceUnboundPod(name: string): Promise<void> {
    const changed = this.node.next('snapshot-received');
    this.plane.store.remove('Pod', `web/${unboundPod}`);
    this.plane.apply(pod({ namespace: 'web', name, serviceAccountName: 'default', ips: ipsOf('unbound') }));
    await changed;
  }

  /** Adds or changes a policy; resolves when the proxy knows it. */
  async applyPolicy(policy: ClusterMetadataPolicy): Promise<void> {
    const changed = this.node.next('snapshot-received');
    this.plane.apply(policy);
    await changed;
  }

  /** A proxy that has just begun to listen, and nothing cached anywhere: the bindings are new. */
  async startCold(): Promise<void> {
    await this.node.endProxy('SIGKILL');
    this.node.forgetSnapshot();
    this.#renewBindings();
    await this.#listening();
  }

  /**
   * Kills the proxy and starts it again, with the snapshot it left behind. Resolves when it listens: how long it is away
   * depends on the machine, and Java waits 0.5 s for a connection.
   */
  async restartProxy(): Promise<void> {
    await this.node.endProxy('SIGKILL');
    await this.#listening();
  }

  /**
   * Runs `action` while Google's STS answers 503, and ends the outage soon after the first request has met it. No token
   * but the usual one is cached. Returns how many requests met the outage.
   */
  async duringGoogleOutage<T>(action: () => Promise<T>): Promise<{ readonly result: T; readonly met: number }> {
    const { google } = this.plane;
    const usual = this.node.next('token-issued');
    this.#renewBindings();
    await usual;
    await this.quiet();
    const met = (): number => google.requests().filter(({ status }) => status === 503).length;
    const before = met();
    google.faults.inject('sts', { kind: 'reply', status: 503 });
    const over = endAfterFirst(
      () => met() > before,
      () => google.faults.clear(),
    );
    const result = await action();
    await over.end();
    return { result, met: met() - before };
  }

  /** The same with the node's own metadata server. */
  async duringMetadataOutage<T>(action: () => Promise<T>): Promise<{ readonly result: T; readonly met: number }> {
    const met = (): number => this.gce.requests().filter(({ status }) => status === 503).length;
    const before = met();
    this.gce.answerWith(503);
    const over = endAfterFirst(
      () => met() > before,
      () => this.gce.answerWith(undefined),
    );
    const result = await action();
    await over.end();
    return { result, met: met() - before };
  }

  /** `unboundWorkloads: FederatedIdentity`; resolves when the proxy knows it. */
  async federateUnbound(): Promise<void> {
    const changed = this.node.next('snapshot-received');
    const spec = { platform: 'GCE', unboundWorkloads: 'FederatedIdentity' } as const;
    this.plane.apply(metadataProxy({ name: 'default', spec, metadata: { generation: 2 } }));
    await changed;
  }

  /** From now on nothing is redirected and nothing is behind the proxy: only variables lead to it. */
  async stopRedirecting(): Promise<void> {
    const emulated = { projectId: emulatedProjectId, numericProjectId: '123456789012', zone };
    const spec = { platform: 'None', interception: 'None', emulated } as const;
    this.plane.apply(metadataProxy({ name: 'default', spec, metadata: { generation: 3 } }));
    await this.node.endProxy('SIGTERM');
    await this.#listening({ redirected: false });
  }

  /** How often a token was asked for at Google. */
  get exchanges(): number {
    return this.plane.google.requests().filter(({ service }) => service !== 'other').length;
  }

  /** Until nothing has been asked of Google for a moment: the usual tokens of both bindings and their verification. */
  async quiet(): Promise<void> {
    for (let seen = -1; seen !== this.exchanges;) {
      seen = this.exchanges;
      await delay(300);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#network[Symbol.asyncDispose]();
    for (const close of this.#closers) await close();
    await this.plane[Symbol.asyncDispose]();
    await this.gce.close();
    for (const storage of Object.values(this.storages)) await storage[Symbol.asyncDispose]();
  }

  async #listening(how: { readonly redirected?: boolean } = {}): Promise<void> {
    const listening = this.node.next('proxy-listening');
    this.node.startProxy(how);
    await listening;
  }

  /** As after an edit of each: their tokens are dropped on the node and in the controller. */
  #renewBindings(): void {
    this.#generation += 1;
    this.plane.apply(...bindings(this.#generation));
  }
}

interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  /** Only then is it in the pod. */
  readonly isGcloud?: boolean;
}

interface Parts {
  readonly network: Network;
  readonly plane: TestControlPlane;
  readonly node: NodeProcesses;
  readonly gce: GceEmulator;
  readonly storages: Readonly<Record<Identity, FakeStorage>>;
  readonly closers: (() => Promise<unknown>)[];
}

/** Calls `end` a moment after `hasBegun`, or when told to. */
function endAfterFirst(hasBegun: () => boolean, end: () => void): { readonly end: () => Promise<void> } {
  const stopped = new AbortController();
  const watching = (async () => {
    while (!hasBegun() && !stopped.signal.aborted) await delay(10);
    await delay(stopped.signal.aborted ? 0 : outageMs);
    end();
  })();
  return {
    end: () => {
      stopped.abort();
      return watching;
    },
  };
}

function bindings(generation: number) {
  const metadata = { generation };
  return [
    binding({ namespace: 'web', name: 'api', metadata, spec: { googleServiceAccount } }),
    binding({ namespace: 'web', name: 'batch', metadata, spec: { access: 'Direct' } }),
  ];
}

const unboundPod = 'visitor-0';

function pods() {
  return [
    pod({ namespace: 'web', name: 'api-0', serviceAccountName: 'api', ips: ipsOf('bound') }),
    pod({ namespace: 'web', name: 'batch-0', serviceAccountName: 'batch', ips: ipsOf('federated') }),
    pod({ namespace: 'web', name: unboundPod, serviceAccountName: 'visitor', ips: ipsOf('unbound') }),
  ];
}

function ipsOf(identity: Identity): readonly string[] {
  const { ipv4, ipv6 } = addresses[places[identity]];
  return [ipv4, ipv6];
}

/** The pods' files, and the name server that they name: kubelet's, with the search list of a node of Google's. */
async function startNames(network: Network): Promise<void> {
  const search = 'web.svc.cluster.local svc.cluster.local cluster.local google.internal';
  const resolver = `nameserver ${addresses.cloud.ipv4}\nsearch ${search}\noptions ndots:5\n`;
  writeFileSync(join(network.folder, 'resolv.conf'), resolver);
  writeFileSync(join(network.folder, 'hosts'), '127.0.0.1 localhost\n::1 localhost\n');
  writeFileSync(join(network.folder, 'nsswitch.conf'), 'hosts: files dns\n');
  const program = join(import.meta.dirname, 'names.ts');
  const command = [process.execPath, program, addresses.cloud.ipv4, metadataServer.ipv4] as const;
  const child = network.spawn('cloud', [...command], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.stdout !== null) await once(child.stdout, 'data');
}
