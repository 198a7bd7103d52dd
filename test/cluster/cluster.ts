import { randomBytes, generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { openAccess, kubeconfig, writeAdminKubeconfig, type ClusterAccess, type ClusterDescription } from './access.ts';
import { findAssets, type Assets } from './assets.ts';
import { freePort, killComponent, lastLines, startComponent, type Component } from './component.ts';
import { eventually } from './eventually.ts';
import { Watchdog } from './watchdog.ts';
import { ConfigMaps, ServiceAccounts } from './kinds.ts';
import { apiServerArgs, controllerManagerArgs, etcdArgs, schedulerArgs, type Layout } from './flags.ts';

export interface ClusterOptions {
  /** Run kube-scheduler too (default false): for taints, host ports, spread. Then do not bind pods yourself. */
  readonly scheduler?: boolean;
  /** The `iss` of ServiceAccount tokens. Default: what kubeadm uses. */
  readonly issuer?: string;
  /** Further flags of kube-apiserver, as "--audit-policy-file=/path". */
  readonly apiServerArgs?: readonly string[];
  /**
   * Kustomization folders to apply before the controllers start. Here belong CRDs whose objects own others: the
   * garbage collector looks for new kinds only every 30 s, so that with a CRD installed later the first deletion of
   * an owner may take 40 s to reach its dependents.
   */
  readonly install?: readonly string[];
}

/** A control plane of our own: etcd, kube-apiserver, kube-controller-manager. No kubelets (see nodes.ts). */
export interface Cluster extends ClusterAccess {
  /** Process ids of what runs now, by component. */
  pids(): Readonly<Record<string, number>>;
  /** Kills the API server (SIGKILL), as an outage; its data stays in etcd. */
  stopApiServer(): Promise<void>;
  /** Starts it again on the same port, and waits until it is ready. */
  startApiServer(): Promise<void>;
  restartApiServer(): Promise<void>;
  /** Ends all processes and removes the folder. May be called twice. */
  stop(): Promise<void>;
}

/** Ten times what it takes on two idle cores. */
const START_LIMIT_MS = 60_000;
/** Generated; where it is missing, the tests of the kinds say so. */
const CRDS = join(import.meta.dirname, '..', '..', 'crds');
const KUBEADM_ISSUER = 'https://kubernetes.default.svc.cluster.local';

/** startCluster() with the product's CRDs: what tests share. */
export async function startProductCluster(options: ClusterOptions = {}): Promise<Cluster> {
  return startCluster({ install: existsSync(CRDS) ? [CRDS] : [], ...options });
}

/**
 * Starts a control plane on free loopback ports, its data in a temporary folder, and waits until the default
 * ServiceAccount exists. It is torn down by stop(), when this process exits, on SIGINT and SIGTERM, and even when
 * this process is killed with SIGKILL.
 *
 * @throws {Error} with the last log lines of the component that failed
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const assets = await findAssets();
  const plane = new ControlPlane(assets, await layOut(options), options);
  tearDownAtExit(plane);
  try {
    await plane.start();
    return plane.open();
  } catch (error) {
    await plane.stop();
    throw error;
  }
}

/** Decides ports and secrets, and writes the files that the components read. */
async function layOut(options: ClusterOptions): Promise<Layout> {
  const folder = mkdtempSync(join(tmpdir(), 'metaveil-cluster-'));
  const layout: Layout = {
    folder,
    issuer: options.issuer ?? KUBEADM_ISSUER,
    etcdPort: await freePort(),
    etcdPeerPort: await freePort(),
    apiPort: await freePort(),
    adminToken: randomBytes(24).toString('base64url'),
    controllerManagerToken: randomBytes(24).toString('base64url'),
    schedulerToken: randomBytes(24).toString('base64url'),
  };
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const privateKey = key.privateKey.export({ type: 'pkcs8', format: 'pem' });
  await writeFile(join(folder, 'service-account.key'), privateKey, { mode: 0o600 });
  await writeFile(join(folder, 'service-account.pub'), key.publicKey.export({ type: 'spki', format: 'pem' }));
  await writeFile(
    join(folder, 'tokens.csv'),
    [
      `${layout.adminToken},admin,admin,"system:masters"`,
      `${layout.controllerManagerToken},system:kube-controller-manager,controller-manager`,
      `${layout.schedulerToken},system:kube-scheduler,scheduler`,
    ].join('\n'),
    { mode: 0o600 },
  );
  return layout;
}

class ControlPlane {
  readonly #assets: Assets;
  readonly #layout: Layout;
  readonly #options: ClusterOptions;
  readonly #components = new Map<string, Component>();
  readonly #watchdog: Watchdog;
  #access: ClusterAccess | undefined;

  constructor(assets: Assets, layout: Layout, options: ClusterOptions) {
    this.#assets = assets;
    this.#layout = layout;
    this.#options = options;
    this.#watchdog = new Watchdog(layout.folder);
  }

  async start(): Promise<void> {
    const etcd = await this.#run('etcd', this.#assets.etcd, etcdArgs(this.#layout));
    await this.#awaitHealth(etcd, `http://127.0.0.1:${this.#layout.etcdPort}/health`);
    await this.startApiServer();
    await this.#writeClientFiles();
    this.#access = openAccess(this.#describe());
    await this.#install(this.#access);
    const manager = await this.#run(
      'kube-controller-manager',
      this.#assets.controllerManager,
      controllerManagerArgs(this.#layout),
    );
    if (this.#options.scheduler === true) {
      await this.#run('kube-scheduler', this.#assets.scheduler, schedulerArgs(this.#layout));
    }
    await this.#awaitDefaults(manager, this.#access);
  }

  async startApiServer(): Promise<void> {
    const server = await this.#run('kube-apiserver', this.#assets.apiServer, [
      ...apiServerArgs(this.#layout),
      ...(this.#options.apiServerArgs ?? []),
    ]);
    await this.#awaitHealth(server, `${this.#server}/readyz`);
  }

  async stopApiServer(): Promise<void> {
    await this.#kill('kube-apiserver');
  }

  /** The API server before etcd, or it would log its despair about the lost store until it is killed. */
  async stop(): Promise<void> {
    await this.#access?.api.close();
    for (const name of ['kube-scheduler', 'kube-controller-manager', 'kube-apiserver', 'etcd']) await this.#kill(name);
    this.#removeFolder();
    this.#watchdog.dismiss();
    live.delete(this);
  }

  /** For handlers that cannot wait. */
  killNow(): void {
    for (const component of this.#components.values()) component.kill();
    this.#removeFolder();
    this.#watchdog.dismiss();
  }

  open(): Cluster {
    if (this.#access === undefined) throw new Error('the control plane has not started');
    return {
      ...this.#access,
      pids: () => Object.fromEntries([...this.#components.values()].map(({ name, pid }) => [name, pid])),
      stopApiServer: () => this.stopApiServer(),
      startApiServer: () => this.startApiServer(),
      restartApiServer: async () => {
        await this.stopApiServer();
        await this.startApiServer();
      },
      stop: () => this.stop(),
    };
  }

  get #server(): string {
    return `https://127.0.0.1:${this.#layout.apiPort}`;
  }

  get #caPath(): string {
    return join(this.#layout.folder, 'ca.crt');
  }

  #describe(): ClusterDescription {
    return {
      server: this.#server,
      issuer: this.#layout.issuer,
      folder: this.#layout.folder,
      caPath: this.#caPath,
      kubeconfigPath: join(this.#layout.folder, 'admin.kubeconfig'),
      adminToken: this.#layout.adminToken,
      kubectlProgram: this.#assets.kubectl,
      scheduler: this.#options.scheduler === true,
    };
  }

  /** The API server made itself a certificate and an authority; clients trust that authority by a file of its own. */
  async #writeClientFiles(): Promise<void> {
    const { folder, controllerManagerToken, schedulerToken } = this.#layout;
    const chain = await readFile(join(folder, 'apiserver.crt'), 'utf8');
    const ca = chain.slice(chain.lastIndexOf('-----BEGIN CERTIFICATE-----'));
    await writeFile(this.#caPath, ca);
    const description = this.#describe();
    writeAdminKubeconfig(description);
    const mode = 0o600;
    const manager = kubeconfig(description, controllerManagerToken);
    await writeFile(join(folder, 'controller-manager.kubeconfig'), manager, { mode });
    await writeFile(join(folder, 'scheduler.kubeconfig'), kubeconfig(description, schedulerToken), { mode });
  }

  async #install(access: ClusterAccess): Promise<void> {
    for (const folder of this.#options.install ?? []) {
      const result = await access.kubectl(['apply', '-k', folder]);
      if (result.code !== 0) throw new Error(`kubectl apply -k ${folder} failed: ${result.stderr}`);
    }
  }

  async #run(name: string, program: string, args: readonly string[]): Promise<Component> {
    if (this.#components.get(name)?.running() === true) throw new Error(`${name} is running already`);
    const component = await startComponent({ name, program, args, folder: this.#layout.folder });
    this.#components.set(name, component);
    this.#guard();
    return component;
  }

  async #kill(name: string): Promise<void> {
    const component = this.#components.get(name);
    if (component === undefined) return;
    await killComponent(component);
    this.#components.delete(name);
    this.#guard();
  }

  #guard(): void {
    this.#watchdog.guard([...this.#components.values()].map(({ pid }) => pid));
  }

  async #awaitHealth(component: Component, url: string): Promise<void> {
    // Readiness needs no trust yet: the certificate is only being made.
    const agent = new Agent({ connect: { rejectUnauthorized: false }, allowH2: false });
    await this.#awaitUnlessExited(component, `${component.name} answers ${url}`, async () => {
      const reply = await request(url, { dispatcher: agent, headersTimeout: 2000 });
      await reply.body.dump();
      return reply.statusCode === 200 ? true : undefined;
    });
    await agent.destroy();
  }

  async #awaitDefaults(manager: Component, access: ClusterAccess): Promise<void> {
    const namespace = 'default';
    await this.#awaitUnlessExited(manager, 'the controllers have made the default ServiceAccount', async () => {
      const account = await access.api.find(ServiceAccounts, { namespace, name: 'default' });
      const ca = await access.api.find(ConfigMaps, { namespace, name: 'kube-root-ca.crt' });
      return account && ca;
    });
  }

  async #awaitUnlessExited<T>(
    component: Component,
    sentence: string,
    probe: () => Promise<T | undefined>,
  ): Promise<void> {
    const attempt = async () => {
      if (!component.running()) return 'exited';
      return (await probe()) === undefined ? undefined : 'done';
    };
    const outcome = await eventually(sentence, attempt, START_LIMIT_MS).catch((error: unknown) => error);
    if (outcome === 'done') return;
    const log = await lastLines(component);
    throw new Error(`awaited: ${sentence}; but ${component.name} failed. Its last lines:\n${log}`, { cause: outcome });
  }

  #removeFolder(): void {
    rmSync(this.#layout.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

const live = new Set<ControlPlane>();
let watchingForExit = false;

function tearDownAtExit(plane: ControlPlane): void {
  live.add(plane);
  if (watchingForExit) return;
  watchingForExit = true;
  process.once('exit', killAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, dieOf);
}

/** Ends the process as the signal would have, had nobody listened for it. */
function dieOf(signal: NodeJS.Signals): void {
  killAll();
  process.kill(process.pid, signal);
}

function killAll(): void {
  for (const plane of live) plane.killNow();
}
