/** Both containers of the proxy's pod on the node, as their image starts them. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../../cluster/eventually.ts';
import type { Network } from '../../netns/network.ts';
import { addresses } from '../../netns/topology.ts';
import type { TestControlPlane } from './control-plane.ts';
import { relay } from './ports.ts';

const repository = join(import.meta.dirname, '..', '..', '..');
const nodeApiPort = 8443;

interface Files {
  readonly folder: string;
  readonly token: string;
  readonly ca: string;
  /** Of proxy and intercept. */
  readonly shared: string;
}

export class NodeProcesses {
  readonly #network: Network;
  readonly #files: Files;
  /** What each of them ever wrote. */
  readonly logs = { proxy: '', intercept: '' };
  #proxy: ChildProcess | undefined;

  /** Starts them and waits until the MetadataProxy is Ready. */
  static async start(network: Network, plane: TestControlPlane): Promise<NodeProcesses> {
    const folder = join(network.folder, 'pod');
    const files = { folder, token: join(folder, 'token'), ca: join(folder, 'ca.crt'), shared: join(folder, 'shared') };
    mkdirSync(files.shared, { recursive: true });
    chmodSync(files.shared, 0o777);
    writeFileSync(files.token, await plane.proxyToken());
    writeFileSync(files.ca, plane.authority.published);
    await relay(network, 'node', { host: '127.0.0.1', port: nodeApiPort }, join(network.folder, 'node-api.sock'));
    const node = new NodeProcesses(network, files);
    node.startProxy();
    node.#startIntercept();
    await node.#ready(plane);
    return node;
  }

  private constructor(network: Network, files: Files) {
    this.#network = network;
    this.#files = files;
  }

  /** Starts the proxy as kubelet starts its container again. `redirected`: with intercept beside it, the default. */
  startProxy({ redirected = true } = {}): void {
    const { folder, token, ca } = this.#files;
    this.#proxy = this.#run('proxy', [process.execPath, join(repository, 'operator/cmd/proxy.ts')], {
      ...this.#common(redirected),
      METAVEIL_NODE_API_URL: `https://127.0.0.1:${nodeApiPort}`,
      METAVEIL_NODE_API_CA_FILE: ca,
      METAVEIL_NODE_API_TOKEN_FILE: token,
      METAVEIL_STATE_DIR: folder,
      METAVEIL_DRAIN_SECONDS: '2',
    });
  }

  /** Resolves when the proxy has ended. */
  async endProxy(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const proxy = this.#proxy;
    if (proxy?.exitCode !== null || proxy.signalCode !== null) return;
    const ended = once(proxy, 'exit');
    proxy.kill(signal);
    await ended;
  }

  /** What a new pod of the proxy would not have: the last snapshot. */
  forgetSnapshot(): void {
    rmSync(join(this.#files.folder, 'snapshot.json'), { force: true });
  }

  /** Waits until the proxy logs `event` again, counted from now; call it before what makes it do so. */
  next(event: string): Promise<unknown> {
    const count = (): number => this.logs.proxy.split(`"event":"${event}"`).length;
    const before = count();
    return eventually(`the proxy logs ${event}`, () => Promise.resolve(count() > before || undefined)).catch(
      (error: unknown) => {
        throw new Error(`proxy:\n${this.logs.proxy.slice(-4000)}`, { cause: error });
      },
    );
  }

  #startIntercept(): void {
    const capabilities = ['--bounding-set=-all,+net_admin', '--inh-caps=-all,+net_admin', '--no-new-privs'];
    const program = join(repository, 'operator/cmd/intercept.ts');
    this.#run('intercept', ['setpriv', ...capabilities, process.execPath, program], this.#common(true));
  }

  #common(redirected: boolean): Readonly<Record<string, string>> {
    const shared = redirected ? { METAVEIL_INTERCEPT_DIR: this.#files.shared } : {};
    return { METAVEIL_HOST_IP: `${addresses.node.ipv4},${addresses.node.ipv6}`, ...shared };
  }

  #run(
    name: 'proxy' | 'intercept',
    command: readonly [string, ...string[]],
    env: Readonly<Record<string, string>>,
  ): ChildProcess {
    const child = this.#network.spawn('node', command, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (part: string) => (this.logs[name] += part));
    return child;
  }

  async #ready(plane: TestControlPlane): Promise<void> {
    await eventually('the MetadataProxy is Ready, which takes a redirected node', () => {
      const ready = plane.store.proxy('default')?.status?.conditions?.find(({ type }) => type === 'Ready');
      return Promise.resolve(ready?.status === 'True' ? true : undefined);
    }).catch((error: unknown) => {
      throw new Error(`not ready:\n${this.logs.proxy}\n${this.logs.intercept}`, { cause: error });
    });
  }
}
