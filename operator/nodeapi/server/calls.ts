/** What the methods with a single reply do. The caller's node comes from its credential, never from the request. */
import type { PodUid } from '../../core/brand.ts';
import { knownEndpoint } from '../../core/request/endpoints.ts';
import type { Clock } from '../../core/time.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import {
  decodeAckRequest,
  decodeLeaveRequest,
  decodeReportRequest,
  decodeTokenRequest,
  sentOutcome,
} from '../wire/calls.ts';
import type {
  Acknowledged,
  DecisionCount,
  LeaveReply,
  LegacyCount,
  ReportRequest,
  TokenReply,
  TokenRequest,
} from '../wire/calls.ts';
import { decodeJson } from '../wire/decode.ts';
import type { Decoder } from '../wire/decode.ts';
import type { MethodName } from '../wire/methods.ts';
import { BoundedLog } from './bounded-log.ts';
import type { ProxyCaller } from './caller.ts';
import type { Minter } from './minter.ts';
import { NodeMemory } from './node-memory.ts';
import type {
  DecisionCounters,
  InstanceReadiness,
  LegacyRequests,
  NodeRelease,
  NodeSnapshots,
  PolicyDecisions,
  ProxyPods,
} from './ports.ts';
import type { WatchSessions } from './sessions.ts';

export interface CallsOptions {
  readonly sessions: WatchSessions;
  readonly minter: Minter;
  readonly snapshots: NodeSnapshots;
  readonly pods: ProxyPods;
  readonly counters: DecisionCounters;
  readonly metrics: Metrics;
  readonly release: NodeRelease;
  readonly readiness: InstanceReadiness;
  readonly clock: Clock;
  readonly log: Logger;
}

export type CallMethod = Exclude<MethodName, 'watch'>;
export type Reply = Acknowledged | TokenReply | LeaveReply;
export type CallOutcome =
  { readonly kind: 'replied'; readonly reply: Reply } | { readonly kind: 'malformed'; readonly problem: string };

type Call = (caller: ProxyCaller, body: string, signal: AbortSignal) => Promise<CallOutcome>;

export class Calls {
  readonly #options: CallsOptions;
  /** Last sequence of each instance's reports. */
  readonly #reported = new Map<PodUid, number>();
  readonly #memory: NodeMemory;
  readonly #refusals: BoundedLog;
  readonly #calls: Readonly<Record<CallMethod, Call>>;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#refusals = new BoundedLog(options.log, options.clock);
    this.#memory = new NodeMemory(options.snapshots, options.clock);
    options.pods.onGone((pod) => this.#reported.delete(pod));
    this.#calls = {
      ack: decoding(decodeAckRequest, (caller, request) => {
        options.sessions.acknowledge(caller, request);
        return {};
      }),
      token: decoding(decodeTokenRequest, (caller, request, signal) => this.#token(caller, request, signal)),
      report: decoding(decodeReportRequest, (caller, request) => this.#report(caller, request)),
      leave: decoding(decodeLeaveRequest, (caller) => this.#leave(caller)),
    };
  }

  /** `body` within the method's bound. */
  call(method: CallMethod, caller: ProxyCaller, body: string, signal: AbortSignal): Promise<CallOutcome> {
    return this.#calls[method](caller, body, signal);
  }

  async #token(caller: ProxyCaller, request: TokenRequest, signal: AbortSignal): Promise<TokenReply> {
    const { kind } = request.wish;
    const outcome = await this.#options.minter.mint(caller, request, signal);
    const result = outcome.kind === 'issued' ? 'issued' : outcome.refusal.kind;
    this.#options.metrics.add('metaveil_token_requests_total', { kind, outcome: result });
    if (outcome.kind === 'refused')
      this.#refusals.warn(
        'nodeapi-token-refused',
        { node: caller.pod.nodeName },
        { podUid: request.workload, kind, reason: outcome.refusal.kind },
      );
    return sentOutcome(outcome, this.#options.clock.now());
  }

  #report(caller: ProxyCaller, { sequence, counts, legacy = [] }: ReportRequest): Acknowledged {
    const { uid, nodeName } = caller.pod;
    if (sequence <= (this.#reported.get(uid) ?? 0)) return {};
    this.#reported.set(uid, sequence);
    const settings = this.#memory.find(nodeName, 'settings', 'node');
    if (settings === undefined) return {};
    const decisions = counts.flatMap((count) => this.#credible(nodeName, count));
    const requests = legacy.flatMap((count) => this.#credibleLegacy(nodeName, count));
    if (decisions.length + requests.length > 0) {
      this.#options.counters.record({ proxyName: settings.proxyName, decisions, legacy: requests });
    }
    return {};
  }

  /** A node counts for the policies it has, and for no others. */
  #credible(node: string, { policy: uid, ...count }: DecisionCount): readonly PolicyDecisions[] {
    const policy = this.#memory.find(node, 'policy', uid);
    return uid === '' || policy !== undefined ? [{ ...count, policy }] : [];
  }

  /** And for its own workloads, in words that are ours. */
  #credibleLegacy(node: string, { workload: uid, endpoint, ...count }: LegacyCount): readonly LegacyRequests[] {
    const workload = this.#memory.find(node, 'workload', uid);
    return workload === undefined ? [] : [{ ...count, workload, endpoint: knownEndpoint(endpoint) }];
  }

  #leave(caller: ProxyCaller): LeaveReply {
    const { release, readiness, log } = this.#options;
    const { uid, nodeName } = caller.pod;
    const verdict = release.decide(nodeName, uid);
    readiness.report(uid, false);
    log.info('leave-answered', { node: nodeName, podUid: uid, reason: verdict });
    return { verdict };
  }
}

function decoding<T>(
  decoder: Decoder<T>,
  handle: (caller: ProxyCaller, request: T, signal: AbortSignal) => Reply | Promise<Reply>,
): Call {
  return async (caller, body, signal) => {
    const decoded = decodeJson(decoder, body);
    if (decoded.kind === 'invalid') return { kind: 'malformed', problem: `${decoded.at}: ${decoded.problem}` };
    return { kind: 'replied', reply: await handle(caller, decoded.value, signal) };
  };
}
