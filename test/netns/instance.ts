import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { InterceptState } from '../../operator/proxy/intercept-link.ts';
import { eventually } from '../cluster/eventually.ts';
import type { Network } from './network.ts';
import { addresses } from './topology.ts';

const root = join(import.meta.dirname, '..', '..');
const interceptEntry = join(root, 'operator', 'cmd', 'intercept.ts');

export interface InstanceOptions {
  readonly port: number;
  /** First word of the proxy's answers. Default: the instance's name. */
  readonly label?: string;
  /** METAVEIL_HOST_IP. Default: both of the node's addresses. */
  readonly hostIps?: string;
  /** Where the proxy listens. Default: both of the node's addresses. */
  readonly listen?: readonly string[];
}

/** One pod of the proxy on the node: the real intercept process with NET_ADMIN alone, and a proxy beside it. */
export class Instance {
  readonly #network: Network;
  readonly #name: string;
  readonly #directory: string;
  readonly #options: InstanceOptions;
  #proxy: ChildProcess | undefined;
  #intercept: ChildProcess | undefined;
  #heard: string[] = [];
  /** Lines of intercept's log. */
  readonly log: Readonly<Record<string, unknown>>[] = [];

  constructor(network: Network, name: string, options: InstanceOptions) {
    this.#network = network;
    this.#name = name;
    this.#options = options;
    this.#directory = join(network.folder, name);
    mkdirSync(this.#directory, { recursive: true });
    // As the kubelet makes an emptyDir.
    chmodSync(this.#directory, 0o777);
  }

  startProxy(): void {
    const both = [addresses.node.ipv4, addresses.node.ipv6];
    const { port, listen = both, label = this.#name } = this.#options;
    const command = [process.execPath, join(import.meta.dirname, 'fake-proxy.ts'), label, this.#directory];
    this.#heard = [];
    this.#proxy = this.#network.spawn('node', [...command, String(port), ...listen] as [string, ...string[]], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    readLines(this.#proxy, (line) => this.#heard.push((JSON.parse(line) as { readonly kind: string }).kind));
  }

  startIntercept(): void {
    const { hostIps = `${addresses.node.ipv4},${addresses.node.ipv6}` } = this.#options;
    const capabilities = ['--bounding-set=-all,+net_admin', '--inh-caps=-all,+net_admin', '--no-new-privs'];
    this.#intercept = this.#network.spawn('node', ['setpriv', ...capabilities, process.execPath, interceptEntry], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { METAVEIL_INTERCEPT_DIR: this.#directory, METAVEIL_HOST_IP: hostIps },
    });
    readLines(this.#intercept, (line) => this.log.push(JSON.parse(line) as Record<string, unknown>));
  }

  /** Starts both and waits until intercept has applied the rules. */
  async start(): Promise<this> {
    this.startProxy();
    this.startIntercept();
    await this.reaches('applied');
    return this;
  }

  /** Waits for the proxy to hear that; the last thing it heard counts. */
  async reaches(kind: InterceptState['kind'] | 'removed'): Promise<void> {
    const sentence = `${this.#name}: intercept reports ${kind}`;
    await eventually(sentence, () => Promise.resolve(this.#hasReached(kind) || undefined)).catch((error: unknown) => {
      throw new Error(`${sentence}; heard ${this.#heard.join(', ')}; log ${JSON.stringify(this.log)}`, {
        cause: error,
      });
    });
  }

  /** Whether the proxy has a request that it does not answer. */
  hasPending(): boolean {
    return this.#heard.includes('pending');
  }

  async logs(event: string): Promise<Readonly<Record<string, unknown>>> {
    return eventually(`${this.#name}: intercept logs ${event}`, () =>
      Promise.resolve(this.log.findLast((line) => line['event'] === event)),
    );
  }

  tell(command: 'draining' | 'keep' | 'release'): void {
    this.#proxy?.stdin?.write(`${command}\n`);
  }

  async endProxy(signal: NodeJS.Signals): Promise<void> {
    await end(this.#proxy, signal);
  }

  async endIntercept(signal: NodeJS.Signals): Promise<number | null> {
    return end(this.#intercept, signal);
  }

  /** An answer to `release` stays true; a state only until the next. */
  #hasReached(kind: string): boolean {
    return kind === 'removed' ? this.#heard.includes(kind) : this.#heard.at(-1) === kind;
  }

  /** Nothing of it is left but its rules. */
  async kill(): Promise<void> {
    await Promise.all([this.endProxy('SIGKILL'), this.endIntercept('SIGKILL')]);
  }
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<number | null> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
  const exited = once(child, 'exit');
  child.kill(signal);
  const [status] = (await exited) as [number | null];
  return status;
}

function readLines(child: ChildProcess, onLine: (line: string) => void): void {
  if (child.stdout === null) throw new Error('the process has no output');
  createInterface({ input: child.stdout }).on('line', onLine);
}
