/**
 * A node under attack, on loopback: the real proxy with its listener, a metadata server full of canaries behind a
 * recorder, a controller that writes down what it is asked, and pods told apart by their address.
 */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { HttpUpstream } from '../../operator/adapters/http/upstream.ts';
import { metadataHosts } from '../../operator/core/request/host.ts';
import type { CompiledPolicy, NodeSettings, Workload } from '../../operator/core/snapshot/types.ts';
import { startGceEmulator, type GceEmulator } from '../../operator/local/gce/emulator.ts';
import { leakCanary } from '../../operator/local/gce/instance.ts';
import { logRefillMs } from '../../operator/proxy/denial-log.ts';
import type { ProxyOptions } from '../../operator/proxy/server.ts';
import { settle } from '../fakes/timers.ts';
import { cmdp } from '../unit/core/policy/subjects.ts';
import { Harness, type RawConnection } from '../unit/proxy/harness.ts';
import { binding, issued, nodeSettings, workload, type TokenCall } from '../unit/proxy/support.ts';
import { Recorder } from './recorder.ts';
import { readReplies, type RawReply } from './replies.ts';

/** Source addresses of the pods of every stage. */
export const pods = {
  /** Bound to a Google service account. */
  bound: '127.0.0.2',
  /** Without a binding. */
  unbound: '127.0.0.3',
  /** Without a binding, on a node that gives such pods their federated identity. */
  federated: '127.0.0.4',
  /** Under a policy with profile Privileged and without a binding: has the node's own account, and legacy APIs. */
  privileged: '127.0.0.5',
  /** Sees all but kube-env and identity tokens: whatever slips past those two rules gets the node's secrets. */
  secure: '127.0.0.6',
  /** Of no pod that the node knows. */
  stranger: '127.0.0.99',
} as const;

/** In every token of a pod. */
export const podCanary = 'pod-token-canary';
/** What no log line and no denial may show. */
export const secrets = [leakCanary, podCanary] as const;

export const v1 = '/computeMetadata/v1';
/** Served to every pod, from an upstream or not. */
export const harmless = `${v1}/project/project-id`;
/** Concealed from every pod but the privileged one. */
export const kubeEnv = `${v1}/instance/attributes/kube-env`;
export const token = `${v1}/instance/service-accounts/default/token`;

export type LogLine = Readonly<Record<string, unknown>>;

/** What an exchange did besides its replies. */
export interface Effects {
  readonly lines: readonly LogLine[];
  /** Requests to the node's metadata server, byte for byte. */
  readonly upstream: readonly string[];
  /** Questions to the controller. */
  readonly tokens: readonly TokenCall[];
}

export interface Observed extends Effects {
  readonly from: string;
  readonly replies: readonly RawReply[];
  /** Replies were to HEAD, so none has a body. */
  readonly head: boolean;
  /** The server ended the connection by itself. */
  readonly closed: boolean;
}

export interface StageOptions {
  readonly settings?: Partial<NodeSettings>;
  readonly policies?: readonly CompiledPolicy[];
  readonly workloads?: readonly Workload[];
  readonly proxy?: Partial<ProxyOptions>;
}

export interface SendOptions {
  /** Default: the bound pod. */
  readonly from?: string;
  /** Replies to wait for; 0: the end of the connection. Default 1. More than these are seen too. */
  readonly replies?: number;
  /** Between pieces, in ms of real time. */
  readonly pauseMs?: number;
}

/** Longer than any honest exchange on a busy machine, in ms. */
const deadlineMs = 10_000;
const privileged = cmdp('security-open', { profile: 'Privileged' });
const secure = cmdp('security-secure', {
  profile: 'Privileged',
  conceal: ['instance/attributes/kube-env', 'instance/service-accounts/*/identity'],
});

export class Stage {
  readonly node = new Harness();
  readonly gce: GceEmulator;
  readonly recorder: Recorder;
  readonly #upstream: HttpUpstream;
  #seen = { lines: 0, upstream: 0, connections: 0, tokens: 0 };

  private constructor(gce: GceEmulator, recorder: Recorder) {
    this.gce = gce;
    this.recorder = recorder;
    this.#upstream = new HttpUpstream(recorder.address);
  }

  /** Platform GCE by default; with another one the upstream is there as well and must never be asked. */
  static async start(options: StageOptions = {}): Promise<Stage> {
    const gce = await startGceEmulator();
    const [host = '', port = ''] = gce.host.split(':');
    const stage = new Stage(gce, await Recorder.start({ host, port: Number(port) }));
    const { node } = stage;
    const half = 12 * 3_600_000;
    node.tokens.policy = ({ length }, { kind }) =>
      issued(`${podCanary}-${kind}-${length}-${node.tokens.calls.length}`, node.timers.now() + half);
    stage.place(options);
    try {
      await node.start({ upstream: stage.#upstream, hosts: metadataHosts, ...options.proxy });
    } catch (error) {
      await stage.#close();
      throw error;
    }
    await settle();
    stage.observe();
    return stage;
  }

  /** Replaces the snapshot of the node. */
  place({ settings, policies = [], workloads = usualPods() }: StageOptions): void {
    this.node.snapshots.set({
      settings: nodeSettings({ platform: 'GCE', unboundWorkloads: 'FederatedIdentity', ...settings }),
      policies: [privileged, secure, ...policies],
      workloads: workloads.map((pod) => ({ ...pod, policies: [...pod.policies, ...policies.map(({ uid }) => uid)] })),
    });
  }

  open(from: string): Promise<RawConnection> {
    return this.node.connect(from);
  }

  /** What happened since it was last asked. */
  observe(): Effects {
    const { node, recorder } = this;
    const before = this.#seen;
    this.#seen = {
      lines: node.lines.length,
      upstream: recorder.requests.length,
      connections: recorder.connections,
      tokens: node.tokens.calls.length,
    };
    const upstream = recorder.requests.slice(before.upstream);
    const silent = recorder.connections - before.connections;
    return {
      lines: node.lines.slice(before.lines).map((line) => JSON.parse(line) as LogLine),
      // A connection without a request would be a request that is yet to come.
      upstream: upstream.length === 0 && silent > 0 ? ['a connection without a request'] : upstream,
      tokens: node.tokens.calls.slice(before.tokens),
    };
  }

  /** Sends exactly these bytes (latin1) on a connection of its own, piece by piece, and reads to its end. */
  async send(bytes: string | readonly string[], options: SendOptions = {}): Promise<Observed> {
    this.#assertQuiet();
    // Each exchange has its log line: the budget of a source is not what is tested.
    this.node.timers.jump(logRefillMs);
    const { from = pods.bound, replies = 1, pauseMs = 5 } = options;
    const pieces = typeof bytes === 'string' ? [bytes] : bytes;
    const connection = await this.open(from);
    connection.socket.setNoDelay();
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) await pause(pauseMs);
      connection.send(piece);
    }
    const head = (pieces[0] ?? '').startsWith('HEAD ');
    const closed = await finish(connection, { head, count: replies });
    await settle();
    const read = readReplies(connection.received, { head });
    assert.equal(read.rest, '', 'bytes after the last reply');
    return { ...this.observe(), from, replies: read.replies, head, closed };
  }

  async stop(): Promise<void> {
    await settle();
    this.#assertQuiet();
    const leaks = this.node.lines.filter((line) => secrets.some((secret) => line.includes(secret)));
    await this.node.stop();
    await this.#close();
    assert.deepEqual(leaks, [], 'secrets in the log');
  }

  async #close(): Promise<void> {
    this.#upstream.close();
    await this.recorder.close();
    await this.gce.close();
  }

  /** An effect that shows after its exchange was looked at is found here. */
  #assertQuiet(): void {
    const { lines, upstream, tokens } = this.observe();
    assert.deepEqual({ lines, upstream, tokens: tokens.length }, { lines: [], upstream: [], tokens: 0 }, 'too late');
  }
}

function usualPods(): readonly Workload[] {
  const federated = binding('', { access: 'Direct', email: 'pool.global.123.workload.id.goog' });
  return [
    workload('bound', pods.bound, binding('bound')),
    workload('unbound', pods.unbound, undefined),
    workload('federated', pods.federated, federated),
    { ...workload('privileged', pods.privileged, undefined), policies: [privileged.uid] },
    { ...workload('secure', pods.secure, undefined), policies: [secure.uid] },
  ];
}

interface Awaited {
  readonly head: boolean;
  readonly count: number;
}

/** Resolves when the connection is over: whether it was the server that ended it. */
async function finish(connection: RawConnection, { head, count }: Awaited): Promise<boolean> {
  const { socket } = connection;
  const over = connection.ended.then(() => 'over' as const);
  const late = pause(deadlineMs, 'late' as const, { ref: false });
  for (;;) {
    const { replies } = readReplies(connection.received, { head });
    const isEnding = count === 0 || replies.at(-1)?.headers.get('connection') === 'close';
    if (!isEnding && replies.length >= count) break;
    const more = isEnding ? over : new Promise<'more'>((resolve) => socket.once('data', () => resolve('more')));
    const next = await Promise.race([over, more, late]);
    assert.notEqual(next, 'late', `neither reply nor end; received ${JSON.stringify(connection.received)}`);
    if (next === 'over') return true;
  }
  await settle();
  if (socket.closed) return true;
  socket.end();
  assert.equal(await Promise.race([over, late]), 'over', 'the connection does not end');
  return false;
}
