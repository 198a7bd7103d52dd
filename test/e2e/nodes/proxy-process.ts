/** The real proxy as the container of its pod runs it, with the token and the CA that kubelet would mount. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';

const program = join(import.meta.dirname, '..', '..', '..', 'operator', 'cmd', 'proxy.ts');

export interface Mounts {
  readonly token: string;
  readonly ca: string;
}

export interface ProxySettings {
  readonly nodeApiUrl: string;
  readonly hostIP: string;
  readonly port: number;
  /** The node's real metadata server, on loopback. */
  readonly upstream: string;
  /** Stays when the container restarts, as the pod's volumes do. */
  readonly folder: string;
}

export class ProxyProcess {
  readonly #child: ChildProcess;
  /** Everything it ever wrote, standard error too. */
  output = '';

  constructor(settings: ProxySettings, mounts: Mounts) {
    const files = {
      token: join(settings.folder, 'token'),
      ca: join(settings.folder, 'ca.crt'),
      state: join(settings.folder, 'state'),
    };
    mkdirSync(files.state, { recursive: true });
    mount(files.token, mounts.token);
    mount(files.ca, mounts.ca);
    const env = {
      METAVEIL_NODE_API_URL: settings.nodeApiUrl,
      METAVEIL_NODE_API_CA_FILE: files.ca,
      METAVEIL_NODE_API_TOKEN_FILE: files.token,
      METAVEIL_STATE_DIR: files.state,
      METAVEIL_HOST_IP: settings.hostIP,
      METAVEIL_PROXY_PORTS: String(settings.port),
      METAVEIL_DRAIN_SECONDS: '5',
      METAVEIL_UPSTREAM: settings.upstream,
    };
    this.#child = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.setEncoding('utf8').on('data', (part: string) => (this.output += part));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  logged(event: string): readonly Readonly<Record<string, unknown>>[] {
    const complete = this.output.split('\n').slice(0, -1);
    const lines = complete.map((line) => JSON.parse(line) as Record<string, unknown>);
    return lines.filter((line) => line['event'] === event);
  }

  /** Bytes that are its own: what does not come from a file it maps. */
  anonymousBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return 1024 * Number(/^RssAnon:\s+(\d+) kB/mu.exec(status)?.[1]);
  }

  /** Ends it and resolves with its exit status; null after a signal. */
  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    if (!this.isRunning) return this.#child.exitCode;
    const ended = once(this.#child, 'exit') as Promise<[number | null]>;
    this.#child.kill(signal);
    return (await ended)[0];
  }
}

/** As kubelet swaps a mounted file: never half of it. */
function mount(path: string, content: string): void {
  writeFileSync(`${path}.new`, content, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
