/** The processes of the benchmark in their network namespaces: node API in the cloud, servers on the node, a pod. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { eventually } from '../cluster/eventually.ts';
import type { Network } from '../netns/network.ts';
import { addresses } from '../netns/topology.ts';
import type { NodeApiGreeting } from './node-api.ts';
import type { Answer } from './pod.ts';
import { podCount } from './snapshot.ts';

const root = join(import.meta.dirname, '..', '..');

export const nodeAddress = addresses.node.ipv4;
export const proxyPort = 9880;
export const barePort = 9890;

/**
 * The pod's own option, and the heap that V8 gives itself under the pod's limit of 64 MiB: a young generation of 1 MiB
 * and half of the memory for the rest. The benchmark has no limit to take it from.
 */
const nodeOptions = '--disallow-code-generation-from-strings --max-semi-space-size=1 --max-old-space-size=32';

/** A program of this folder that talks in lines. */
export class Program {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(network: Network, place: string, file: string, ...arguments_: readonly string[]) {
    const command = [process.execPath, join(import.meta.dirname, file), ...arguments_] as const;
    this.#child = network.spawn(place, [...command], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('a program without output');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
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
    this.#program = new Program(network, 'pod-a', 'pod.ts', nodeAddress);
  }

  /** Waits until the server is there. */
  async ask(port: number, path: string): Promise<Answer> {
    this.#program.say(`${port} ${path}`);
    return JSON.parse(await this.#program.line()) as Answer;
  }
}

/** Lays out what the image contains and what kubelet mounts, and starts the node API. */
export async function prepare(network: Network): Promise<ProxyFiles> {
  const files = filesBelow(network.folder);
  cpSync(join(root, 'dist'), join(files.app, 'dist'), { recursive: true });
  cpSync(join(root, 'package.json'), join(files.app, 'package.json'));
  mkdirSync(files.state);
  const nodeApi = new Program(network, 'cloud', 'node-api.ts', addresses.cloud.ipv4, addresses['pod-a'].ipv4);
  const { url, ca, token } = JSON.parse(await nodeApi.line()) as NodeApiGreeting;
  writeFileSync(files.ca, ca);
  writeFileSync(files.token, token, { mode: 0o600 });
  return { ...files, url };
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

  constructor(network: Network, files: ProxyFiles, nodeFlags: readonly string[] = []) {
    const env = {
      NODE_OPTIONS: nodeOptions,
      METAVEIL_NODE_API_URL: files.url,
      METAVEIL_NODE_API_CA_FILE: files.ca,
      METAVEIL_NODE_API_TOKEN_FILE: files.token,
      METAVEIL_STATE_DIR: files.state,
      METAVEIL_HOST_IP: nodeAddress,
      METAVEIL_PROXY_PORTS: String(proxyPort),
      METAVEIL_DRAIN_SECONDS: '1',
    };
    const command = [process.execPath, ...nodeFlags, join(files.app, 'dist', 'metaveil.js'), 'proxy'] as const;
    this.#child = network.spawn('node', [...command], { env, stdio: ['ignore', 'pipe', 'inherit'] });
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
