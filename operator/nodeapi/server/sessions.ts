/** All watches of this replica: opened, kept up to date, kept alive, and ended when their reason to exist is gone. */
import type { ContentHash, PodUid } from '../../core/brand.ts';
import type { Timers } from '../../core/time.ts';
import type { Logger } from '../../telemetry/log.ts';
import { presentable } from '../../telemetry/redact.ts';
import type { AckRequest } from '../wire/calls.ts';
import type { ByeReason } from '../wire/frames.ts';
import { BoundedLog } from './bounded-log.ts';
import type { ProxyCaller } from './caller.ts';
import type { InstanceReadiness, NodeSnapshots, ProxyPods } from './ports.ts';
import type { Programming } from './programming.ts';
import { WatchSession } from './session.ts';
import type { FrameStream, SyncOutcome } from './session.ts';

export interface WatchSessionsOptions {
  readonly snapshots: NodeSnapshots;
  readonly pods: ProxyPods;
  readonly programming: Programming;
  readonly readiness: InstanceReadiness;
  readonly clock: Timers;
  readonly log: Logger;
  /** Default 10,000. */
  readonly heartbeatMs?: number;
  /** A consumer that takes nothing for so long is cut; default 15,000. */
  readonly stallMs?: number;
  /**
   * A proxy that does not acknowledge for so long is cut; default 30,000. A machine that lost its power closes no
   * connection, and must not hold back `Programmed` until TCP gives up.
   */
  readonly ackMs?: number;
  /** Default 20,000. */
  readonly maxSessions?: number;
}

export interface WatchRequest {
  readonly caller: ProxyCaller;
  readonly stream: FrameStream;
  readonly protocol: number;
  readonly resume: ContentHash | undefined;
}

/** How the HTTP side tells about the stream. */
export interface OpenWatch {
  readonly drained: () => void;
  readonly closed: () => void;
}

const tickMs = 1000;

export class WatchSessions {
  readonly #options: WatchSessionsOptions;
  readonly #heartbeatMs: number;
  readonly #stallMs: number;
  readonly #ackMs: number;
  readonly #byInstance = new Map<PodUid, WatchSession>();
  readonly #byNode = new Map<string, Set<WatchSession>>();
  readonly #refusals: BoundedLog;
  #nextHeartbeat: number;
  #cancelTick: () => void;

  constructor(options: WatchSessionsOptions) {
    this.#options = options;
    this.#refusals = new BoundedLog(options.log, options.clock);
    this.#heartbeatMs = options.heartbeatMs ?? 10_000;
    this.#stallMs = options.stallMs ?? 15_000;
    this.#ackMs = options.ackMs ?? 30_000;
    this.#nextHeartbeat = options.clock.now() + this.#heartbeatMs;
    this.#cancelTick = options.clock.after(tickMs, () => this.#tick());
    options.snapshots.onChange((nodes) => this.#nodesChanged(nodes));
    options.pods.onGone((pod) => this.#cut(this.#byInstance.get(pod), 'pod gone'));
  }

  /** Undefined when there are too many. A second watch of one instance replaces the first. */
  open(request: WatchRequest): OpenWatch | undefined {
    const { caller } = request;
    this.#cut(this.#byInstance.get(caller.pod.uid), 'replaced');
    if (this.#byInstance.size >= (this.#options.maxSessions ?? 20_000)) return undefined;
    const { snapshots, clock, programming } = this.#options;
    const session = new WatchSession({
      ...request,
      heartbeatMs: this.#heartbeatMs,
      current: () => snapshots.snapshotOf(caller.pod.nodeName),
    });
    this.#add(session);
    this.#log('nodeapi-watch-opened', session, request.resume === undefined ? 'new' : 'resumed');
    programming.setDesired(caller.pod.nodeName, snapshots.snapshotOf(caller.pod.nodeName));
    programming.connected(caller.pod.nodeName, caller.pod.uid);
    session.hello(clock.now());
    this.#settle(session, session.sync(clock.now()));
    return {
      drained: () => this.#settle(session, session.drained(clock.now())),
      closed: () => this.#remove(session, 'closed'),
    };
  }

  /** Takes over what an instance says of itself; without a watch it only says whether it serves. */
  acknowledge(caller: ProxyCaller, request: AckRequest): void {
    const { programming, readiness } = this.#options;
    const { uid, nodeName } = caller.pod;
    // It stands in the status of objects, for everybody who looks at them.
    const nacks = request.nacks.map((nack) => ({ ...nack, reason: presentable(nack.reason) }));
    const acknowledgement = this.#byInstance.get(uid)?.acknowledge({ ...request, nacks });
    if (acknowledgement !== undefined) {
      for (const { key, reason } of nacks)
        this.#refusals.warn('resource-refused', { node: nodeName }, { podUid: uid, name: key, reason });
      programming.acknowledged(nodeName, uid, acknowledgement);
    }
    readiness.report(uid, request.ready);
  }

  /** Ends all of them, for example when another replica leads now. */
  endAll(reason: ByeReason, leader?: string): void {
    for (const session of [...this.#byInstance.values()]) {
      this.#remove(session, reason);
      session.bye(reason, leader);
    }
  }

  /** Ends all of them and stops the clock. */
  stop(): void {
    this.#cancelTick();
    this.endAll('shutting-down');
  }

  get size(): number {
    return this.#byInstance.size;
  }

  #nodesChanged(nodes: ReadonlySet<string>): void {
    const { snapshots, programming, clock } = this.#options;
    for (const node of nodes) {
      programming.setDesired(node, snapshots.snapshotOf(node));
      for (const session of [...(this.#byNode.get(node) ?? [])]) this.#settle(session, session.sync(clock.now()));
    }
  }

  #settle(session: WatchSession, outcome: SyncOutcome): void {
    if (outcome === 'too-large') this.#cut(session, 'snapshot too large');
  }

  #tick(): void {
    const now = this.#options.clock.now();
    const heartbeat = now >= this.#nextHeartbeat;
    if (heartbeat) this.#nextHeartbeat = now + this.#heartbeatMs;
    for (const session of [...this.#byInstance.values()]) {
      if (isOver(session.blockedSince, this.#stallMs, now)) this.#cut(session, 'too slow');
      else if (isOver(session.unacknowledgedSince, this.#ackMs, now)) this.#cut(session, 'no acknowledgement');
      else if (session.caller.credentialExpiresAt <= now) this.#end(session, 'credential-due');
      else if (heartbeat) session.heartbeat(now);
    }
    this.#cancelTick = this.#options.clock.after(tickMs, () => this.#tick());
  }

  #add(session: WatchSession): void {
    const { uid, nodeName } = session.caller.pod;
    this.#byInstance.set(uid, session);
    this.#byNode.set(nodeName, (this.#byNode.get(nodeName) ?? new Set()).add(session));
  }

  #end(session: WatchSession, reason: ByeReason): void {
    this.#remove(session, reason);
    session.bye(reason);
  }

  #cut(session: WatchSession | undefined, reason: string): void {
    if (session === undefined) return;
    this.#remove(session, reason);
    session.cut();
  }

  #remove(session: WatchSession, reason: string): void {
    const { uid, nodeName } = session.caller.pod;
    const ofNode = this.#byNode.get(nodeName);
    if (ofNode?.delete(session) !== true) return;
    if (ofNode.size === 0) this.#byNode.delete(nodeName);
    if (this.#byInstance.get(uid) === session) this.#byInstance.delete(uid);
    this.#log('nodeapi-watch-closed', session, reason);
    this.#options.programming.disconnected(nodeName, uid);
  }

  #log(event: 'nodeapi-watch-opened' | 'nodeapi-watch-closed', session: WatchSession, reason: string): void {
    const { uid, nodeName } = session.caller.pod;
    this.#options.log.info(event, { node: nodeName, podUid: uid, reason });
  }
}

function isOver(since: number | undefined, limitMs: number, now: number): boolean {
  return since !== undefined && now - since >= limitMs;
}
