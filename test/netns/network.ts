/**
 * Network namespaces for tests of the real kernel. They are joined to each other and to nothing else: no packet can
 * leave them, so that even the real metadata server's address can be used inside.
 */
import { execFileSync, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Waits for the end of its input, which comes when this process ends in whatever way, and then removes everything: the
 * processes in the namespaces (and with them the veth pairs' last users), the namespaces and the folder.
 */
const SCRIPT = `
folder=$1; shift
cat > /dev/null
for name in "$@"; do kill -KILL $(ip netns pids "$name") 2> /dev/null; done
for name in "$@"; do ip netns del "$name" 2> /dev/null; done
rm -rf "$folder"
`;

interface Link {
  readonly ifname: string;
  readonly link_type: string;
  readonly link_netnsid?: number;
  readonly linkinfo?: { readonly info_kind?: string };
}

interface NamespaceId {
  readonly nsid: number;
  readonly name?: string;
}

export class Network implements AsyncDisposable {
  /** For files of the processes in the namespaces; removed with them. */
  readonly folder: string;
  readonly #prefix = `mv${randomBytes(3).toString('hex')}`;
  readonly #names: readonly string[];
  readonly #remover: ChildProcess;

  /** Needs root and iproute2; throws if either is missing. */
  constructor(names: readonly string[]) {
    if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
    this.#names = names;
    this.folder = mkdtempSync(join(tmpdir(), 'metaveil-netns-'));
    // Processes in the namespaces need not be root.
    chmodSync(this.folder, 0o755);
    const all = names.map((name) => this.fullName(name));
    // In a group of its own: Ctrl-C and a kill of our whole group must not reach it.
    const options: SpawnOptions = { detached: true, stdio: ['pipe', 'ignore', 'ignore'], cwd: '/' };
    this.#remover = spawn('sh', ['-c', SCRIPT, 'metaveil-netns', this.folder, ...all], options);
    for (const name of all) execFileSync('ip', ['netns', 'add', name]);
    for (const name of names) this.ip(name, 'link set lo up');
  }

  /** The namespace's name in /run/netns. */
  fullName(name: string): string {
    if (!this.#names.includes(name)) throw new Error(`no such namespace: ${name}`);
    return `${this.#prefix}-${name}`;
  }

  /** Runs `ip` in a namespace; arguments are separated by spaces, namespaces in them are written as `@name`. */
  ip(name: string, command: string): string {
    const words = command.split(' ').map((word) => (word.startsWith('@') ? this.fullName(word.slice(1)) : word));
    return execFileSync('ip', ['-n', this.fullName(name), ...words], { encoding: 'utf8', stdio: 'pipe' });
  }

  /** Runs a program in a namespace to its end and returns what it printed; throws if it fails. */
  run(name: string, program: string, ...arguments_: readonly string[]): string {
    return execFileSync('nsenter', this.#enter(name, program, arguments_), { encoding: 'utf8', stdio: 'pipe' });
  }

  /** Starts a program in a namespace. nsenter becomes the program, so the process id is its own. */
  spawn(name: string, command: readonly [string, ...string[]], options: SpawnOptions = {}): ChildProcess {
    const [program, ...arguments_] = command;
    return spawn('nsenter', this.#enter(name, program, arguments_), options);
  }

  setting(name: string, key: string, value: number): void {
    this.run(name, 'sysctl', '-q', '-w', `${key}=${value}`);
  }

  /**
   * Throws unless every interface is a loopback, a bridge, or one end of a pair whose other end is in a namespace of
   * this network. Called before the first packet is sent.
   */
  assertIsolated(): void {
    for (const name of this.#names) {
      const links = JSON.parse(this.ip(name, '-j -d link show')) as readonly Link[];
      const ids = JSON.parse(this.ip(name, '-j netns list-id') || '[]') as readonly NamespaceId[];
      const outside = links.find((link) => !this.#staysInside(link, ids));
      if (outside !== undefined) throw new Error(`${outside.ifname} in ${name} may lead out of the test's network`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#remover, 'exit');
    this.#remover.stdin?.end();
    await ended;
  }

  #staysInside(link: Link, ids: readonly NamespaceId[]): boolean {
    if (link.link_type === 'loopback') return true;
    const kind = link.linkinfo?.info_kind;
    if (kind !== 'veth') return kind === 'bridge';
    const peer = ids.find(({ nsid }) => nsid === link.link_netnsid)?.name;
    return this.#names.some((name) => this.fullName(name) === peer);
  }

  /** Only the network: `ip netns exec` would also remount /sys and hide the cgroups. */
  #enter(name: string, program: string, arguments_: readonly string[]): string[] {
    return [`--net=/run/netns/${this.fullName(name)}`, program, ...arguments_];
  }
}
