/** The processes of the benchmark in their network namespaces: node API in the cloud, servers on the node, a pod. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { runtime } from '../../operator/controllers/proxies/pod-template.ts';
import { defaultLimits, serverSettings } from '../../operator/proxy/listener.ts';
import { eventually } from '../cluster/eventually.ts';
import type { Network } from '../netns/network.ts';
import { addresses } from '../netns/topology.ts';
import type { MemoryLimit } from './memory-limit.ts';
import type { NodeApiGreeting } from './node-api.ts';
import type { Answer } from './pod.ts';
import { podCount, type NodeState } from './snapshot.ts';

const root = join(import.meta.dirname, '..', '..');

export const nodeAddress = addresses.node.ipv4;
export const proxyPort = 9880;
export const barePort = 9890;
const gcePort = 9891;

/** The environment in which the pod's containers run Node.js; the reference has the same. */
const environment = Object.fromEntries(runtime.map(({ name, value }) => [name, value]));

interface ProgramOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly limit?: MemoryLimit;
}

/** A program that talks in lines. */
export class Program {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** `file`: of this folder, or a whole path. */
  constructor(
    network: Network,
    place: string,
    [file, ...words]: readonly [string, ...string[]],
    options: ProgramOptions = {},
  ) {
    const command = [process.execPath, resolve(import.meta.dirname, file), ...words] as const;
    const { env = process.env, limit } = options;
    this.#child = network.spawn(place, limit?.command(command) ?? command, { env, stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('a program without output');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  async line(): Promise<string> {
    const next = await this.#lines.next();
    if (next.done === true) throw new Error('a program of the benchmark ended too early');
    return next.value;
  }
}

/** The pod's own process, through which the benchmark asks single questions. */
export class AskingPod {
  readonly #program: Program;

  constructor(network: Network) {
    this.#program = new Program(network, 'pod-a', ['pod.ts', nodeAddress]);
  }

  /** Waits until the server is there. */
  async ask(port: number, path: string): Promise<Answer> {
    this.#program.say(`${port} ${path}`);
    return JSON.parse(await this.#program.line()) as Answer;
  }
}

/** The controller's end: what the node is to serve. */
export class NodeApi {
  readonly #program: Program;
  #state: NodeState = { platform: 'None', changes: 0 };

  constructor(network: Network) {
    this.#program = new Program(network, 'cloud', ['node-api.ts', addresses.cloud.ipv4, addresses['pod-a'].ipv4]);
  }

  async greeting(): Promise<NodeApiGreeting> {
    return JSON.parse(await this.#program.line()) as NodeApiGreeting;
  }

  change(change: Partial<NodeState>): void {
    this.#state = { ...this.#state, ...change };
    this.#program.say(JSON.stringify(this.#state));
  }

  /** The next change of pods, bindings and policies. */
  churn(): void {
    this.change({ changes: this.#state.changes + 1 });
  }
}

/** Lays out what the image contains and what kubelet mounts, and starts the node's real metadata server. */
export async function prepare(
  network: Network,
  nodeApi: NodeApi,
  bundle: string = join(root, 'dist'),
): Promise<ProxyFiles> {
  const files = filesBelow(network.folder);
  cpSync(bundle, join(files.app, 'dist'), { recursive: true });
  cpSync(join(root, 'package.json'), join(files.app, 'package.json'));
  mkdirSync(files.state);
  const { url, ca, token } = await nodeApi.greeting();
  writeFileSync(files.ca, ca);
  writeFileSync(files.token, token, { mode: 0o600 });
  await new Program(network, 'node', ['gce.ts', String(gcePort)]).line();
  return { ...files, url };
}

/** The reference, bundled like the proxy: what strips the types would else be part of its memory. */
export async function startBare(
  network: Network,
  files: ProxyFiles,
  limit: MemoryLimit,
  body: string,
): Promise<Program> {
  const outfile = join(files.app, 'bare.js');
  await build({
    entryPoints: [join(import.meta.dirname, 'bare.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
  });
  const settings = JSON.stringify(serverSettings(defaultLimits));
  const words = [outfile, nodeAddress, String(barePort), settings, body] as const;
  const bare = new Program(network, 'node', [...words], { env: environment, limit });
  await bare.line();
  return bare;
}

export interface ProxyFiles {
  readonly app: string;
  readonly state: string;
  readonly ca: string;
  readonly token: string;
  /** Of the node API. */
  readonly url: string;
}

function filesBelow(folder: string): Omit<ProxyFiles, 'url'> {
  const [app = '', state = '', ca = '', token = ''] = ['app', 'state', 'ca.crt', 'token'].map((name) =>
    join(folder, name),
  );
  return { app, state, ca, token };
}

/** One run of the bundled proxy, started as its container starts it. */
export class ProxyUnderTest {
  readonly #child: ChildProcess;
  #output = '';

  constructor(network: Network, files: ProxyFiles, limit: MemoryLimit, nodeFlags: readonly string[] = []) {
    const env = {
      ...environment,
      METAVEIL_NODE_API_URL: files.url,
      METAVEIL_NODE_API_CA_FILE: files.ca,
      METAVEIL_NODE_API_TOKEN_FILE: files.token,
      METAVEIL_STATE_DIR: files.state,
      METAVEIL_HOST_IP: nodeAddress,
      METAVEIL_PROXY_PORTS: String(proxyPort),
      METAVEIL_UPSTREAM: `http://127.0.0.1:${gcePort}`,
      METAVEIL_DRAIN_SECONDS: '1',
    };
    const command = [process.execPath, ...nodeFlags, join(files.app, 'dist', 'metaveil.js'), 'proxy'] as const;
    this.#child = network.spawn('node', limit.command(command), { env, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (part: string) => (this.#output += part));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when every pod's token is cached. */
  async isWarm(): Promise<void> {
    await eventually('the proxy has a token for every pod', () => {
      if (this.#child.exitCode !== null) throw new Error(`it ended:\n${this.#output}`);
      return Promise.resolve(this.#output.split('"token-issued"').length > podCount ? true : undefined);
    });
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }
}
