/**
 * Network namespaces that stand in for the pods of nodes. The nodes themselves are addresses in the namespace of the
 * test, because there the controller and the proxies run, as host-network pods do.
 *
 *     pod ── veth ── 198.19.X.1 (node X, where its proxy listens)
 *
 * A pod's only routes lead to the nodes of its segment, each one address long: from a pod nothing else can be
 * reached, the real metadata server least of all. Everything goes with the namespaces.
 */
import { randomInt } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { Network } from '../../netns/network.ts';

export interface Place {
  readonly namespace: string;
  readonly ip: string;
}

const podsPerNode = 10;

interface Attachment {
  readonly prefix: string;
  /** Namespaces of this node, the first is the node's own. */
  readonly namespaces: readonly string[];
  used: number;
}

export class Segment implements AsyncDisposable {
  readonly #network: Network;
  readonly #attachments: ReadonlyMap<string, Attachment>;

  /** Needs root and iproute2. */
  constructor(nodes: readonly string[]) {
    const prefixes = freePrefixes(nodes.length);
    const attachments = prefixes.map((prefix, index) => ({ prefix, namespaces: namespacesOf(index), used: 0 }));
    this.#network = new Network(attachments.flatMap(({ namespaces }) => namespaces));
    this.#attachments = new Map(nodes.map((node, index) => [node, attachments[index] ?? missing(node)]));
    // One that no pod uses keeps the node's address alive: a proxy listens there before there are pods.
    for (const node of nodes) this.attach(node);
  }

  /** For files of the nodes; removed with the segment. */
  get folder(): string {
    return this.#network.folder;
  }

  nodeAddress(node: string): string {
    return `${this.#attachment(node).prefix}.1`;
  }

  /** A namespace that nobody has used, attached to the node. */
  attach(node: string): Place {
    const attachment = this.#attachment(node);
    const namespace = attachment.namespaces[attachment.used];
    if (namespace === undefined) throw new Error(`node ${node} has room for ${podsPerNode} pods`);
    const ip = `${attachment.prefix}.${10 + attachment.used}`;
    attachment.used += 1;
    this.#connect(namespace, ip, this.nodeAddress(node));
    return { namespace, ip };
  }

  spawn(...call: Parameters<Network['spawn']>): ReturnType<Network['spawn']> {
    return this.#network.spawn(...call);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#network[Symbol.asyncDispose]();
  }

  #attachment(node: string): Attachment {
    return this.#attachments.get(node) ?? missing(node);
  }

  #connect(namespace: string, ip: string, gateway: string): void {
    const outside = `v${this.#network.fullName(namespace)}`;
    this.#network.ip(namespace, `link add eth0 type veth peer name ${outside} netns ${process.pid}`);
    this.#network.setting(namespace, 'net.ipv6.conf.all.disable_ipv6', 1);
    this.#network.ip(namespace, `addr add ${ip} peer ${gateway} dev eth0`);
    this.#network.ip(namespace, 'link set eth0 up');
    // The same address on every pod's interface: it goes with the last of them, whatever becomes of this process.
    execFileSync('ip', ['addr', 'add', gateway, 'peer', ip, 'dev', outside]);
    execFileSync('ip', ['link', 'set', outside, 'up']);
    for (const node of this.#attachments.keys()) {
      const other = this.nodeAddress(node);
      if (other !== gateway) this.#network.ip(namespace, `route add ${other} via ${gateway}`);
    }
    this.#assertConfined(namespace);
  }

  /** Before the first packet is sent: there is a way to the nodes and to nothing else. */
  #assertConfined(namespace: string): void {
    const routes = JSON.parse(this.#network.ip(namespace, '-j route show')) as readonly { readonly dst: string }[];
    const nodes = new Set([...this.#attachments.keys()].map((node) => this.nodeAddress(node)));
    const wider = routes.find(({ dst }) => !nodes.has(dst));
    if (wider !== undefined) throw new Error(`${wider.dst} can be reached from a pod`);
  }
}

/** Short, because an interface is named after each. */
function namespacesOf(node: number): readonly string[] {
  return Array.from({ length: podsPerNode + 1 }, (_, pod) => `${node}-${pod}`);
}

function missing(node: string): never {
  throw new Error(`node ${node} is not in this segment`);
}

/** Of 198.19.0.0/16, which is reserved for benchmarks; other tests may run beside this one. */
function freePrefixes(count: number): readonly string[] {
  const routes = execFileSync('ip', ['route', 'show', 'table', 'all'], { encoding: 'utf8' });
  const taken = new Set([...routes.matchAll(/\b198\.19\.\d+/g)].map(([prefix]) => prefix));
  const chosen = new Set<string>();
  while (chosen.size < count) {
    const prefix = `198.19.${randomInt(256)}`;
    if (!taken.has(prefix)) chosen.add(prefix);
  }
  return [...chosen];
}
