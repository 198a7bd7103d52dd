/** The layer of real sockets: bytes to a listener on loopback, and the bytes that it sends to the node's server. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { HttpUpstream } from '../../operator/adapters/http/upstream.ts';
import type { PodUid } from '../../operator/core/brand.ts';
import { metadataHosts } from '../../operator/core/request/host.ts';
import type { CompiledPolicy, Workload } from '../../operator/core/snapshot/types.ts';
import { logRefillMs } from '../../operator/proxy/denial-log.ts';
import { readReplies } from '../security/replies.ts';
import { Harness, type RawConnection } from '../unit/proxy/harness.ts';
import { issued } from '../unit/proxy/support.ts';
import { Bypass, judgeQuestion } from './judge.ts';
import { Visible } from './judge-reply.ts';
import { count } from './handler.ts';
import type { Tally } from './memory.ts';
import { referenceFor, type Reference, type World } from './reference.ts';
import { bytesOf, type FuzzRequest } from './requests.ts';
import { answerOfVm } from './vm.ts';
import { subjectOf } from './worlds.ts';

interface Pod {
  readonly address: string;
  readonly reference: Reference;
  readonly visible: Visible;
}

/** After every case: an honest request that ends the connection, whatever the bytes before it left undone. */
const last = 'GET / HTTP/1.1\r\nHost: metadata\r\nConnection: close\r\n\r\n';

/** Longer than any exchange on a busy machine; a connection that lives longer is a finding. In ms. */
const deadlineMs = 20_000;

/** A node whose pods live in different worlds; what a node has only one of is that of the first. */
export class SocketStage {
  readonly #node = new Harness();
  readonly #pods: readonly Pod[];
  readonly #server: Server;
  readonly #upstream: HttpUpstream;
  #asking: Pod | undefined;
  #finding: Error | undefined;

  private constructor(pods: readonly Pod[], server: Server) {
    this.#pods = pods;
    this.#server = server;
    server.on('connection', (socket) => this.#answer(socket));
    this.#upstream = new HttpUpstream({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  }

  static async start(worlds: readonly World[]): Promise<SocketStage> {
    const [first] = worlds;
    if (first === undefined) throw new RangeError('a node has a pod');
    const { mode, defaultProfile, unboundWorkloads, platform } = first;
    const onNode = worlds.map((world) => ({ ...world, mode, defaultProfile, unboundWorkloads, platform }));
    const pods = onNode.map((world, index) => {
      const reference = referenceFor(world);
      return { address: `127.0.1.${index + 1}`, reference, visible: new Visible(world, reference) };
    });
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    const stage = new SocketStage(pods, server);
    await stage.#startNode(onNode);
    return stage;
  }

  async #startNode(worlds: readonly World[]): Promise<void> {
    const policies: CompiledPolicy[] = [];
    const workloads: Workload[] = [];
    let settings = undefined;
    for (const [index, world] of worlds.entries()) {
      const subject = subjectOf(world);
      const own = subject.policies.map((policy) => ({ ...policy, uid: `${index}-${policy.uid}` as typeof policy.uid }));
      policies.push(...own);
      const ips = [this.#pods[index]?.address ?? ''];
      const uid = `pod-${index}` as PodUid;
      workloads.push({ ...subject.workload, uid, ips, policies: own.map((policy) => policy.uid) });
      settings = subject.settings;
    }
    const { timers, tokens, snapshots } = this.#node;
    tokens.policy = (_pod, { kind }) => issued(`own-${kind}`, timers.now() + 3_600_000);
    snapshots.set({ ...(settings !== undefined && { settings }), policies, workloads });
    await this.#node.start({ upstream: this.#upstream, hosts: metadataHosts });
  }

  /** One case, on a connection of its own. `wire` is what is sent instead of the request's own bytes. */
  async try(index: number, request: FuzzRequest, tally: Tally, wire?: string): Promise<void> {
    const pod = this.#pods[index % this.#pods.length];
    if (pod === undefined) throw new RangeError('no such pod');
    tally.cases += 1;
    const honest = wire === undefined ? request.honest : undefined;
    const bytes = wire ?? bytesOf(request.raw);
    this.#asking = pod;
    this.#node.timers.jump(logRefillMs);
    this.#node.lines.length = 0;
    const connection = await this.#node.connect(pod.address);
    // Nothing here waits for a change: that would hold the connection until the clock of the test moves.
    connection.send(bytes.replaceAll('wait_for_change', 'wait_for_nothing') + last);
    const received = await toItsEnd(connection);
    if (this.#finding !== undefined) throw this.#finding;
    pod.visible.judgeLeaks(received);
    // Where the bytes ask for HEAD, only a client that knows it can read the reply.
    if (bytes.includes('HEAD')) return;
    const [reply] = readReplies(received).replies;
    if (reply === undefined) {
      if (honest !== undefined) throw new Bypass(`no reply to ${JSON.stringify(bytes)}`);
      return;
    }
    const seen = { status: reply.status, code: reply.headers.get('x-metaveil-code'), body: reply.body };
    count(tally, seen);
    if (honest === undefined) return;
    tally.honest += 1;
    const isJson = reply.headers.get('content-type') === 'application/json';
    if (pod.visible.judgeHonest(honest, seen, isJson)) tally.honestServed += 1;
  }

  async close(): Promise<void> {
    await this.#node.stop();
    this.#upstream.close();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** The node's server: keeps connections, judges every request by its bytes. */
  #answer(socket: Socket): void {
    let unread = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      unread += chunk.toString('latin1');
      for (let end = unread.indexOf('\r\n\r\n'); end !== -1; end = unread.indexOf('\r\n\r\n')) {
        socket.write(this.#reply(unread.slice(0, end + 4)));
        unread = unread.slice(end + 4);
      }
    });
  }

  #reply(bytes: string): string {
    const pod = this.#asking;
    try {
      if (pod === undefined) throw new Bypass('asked before any pod asked');
      const { status, json, body, etag } = answerOfVm(judgeQuestion(bytes, pod.reference));
      const type = json ? 'application/json' : 'application/text';
      const head = [`HTTP/1.1 ${status} Answer`, 'Metadata-Flavor: Google', `Content-Type: ${type}`];
      if (etag !== undefined) head.push(`ETag: ${etag}`);
      return [...head, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join('\r\n');
    } catch (error) {
      this.#finding = error as Error;
      return 'HTTP/1.1 404 Finding\r\nContent-Length: 0\r\n\r\n';
    }
  }
}

async function toItsEnd(connection: RawConnection): Promise<string> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), deadlineMs);
  const received = await Promise.race([connection.ended, late]);
  clearTimeout(timer);
  if (received !== undefined) return received;
  connection.socket.destroy();
  throw new Bypass(`the connection never ended; received ${JSON.stringify(connection.received)}`);
}
