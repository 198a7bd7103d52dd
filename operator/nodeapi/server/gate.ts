/**
 * The way into the node API: leader, caller, method, protocol, rate. A call that does not pass every check in this
 * order is refused with a code; nothing is looked at before the caller is known.
 */
import type { Clock } from '../../core/time.ts';
import type { Refusal, RefusalCode } from '../wire/errors.ts';
import { refusals } from '../wire/errors.ts';
import { mayCall, methodAt, methods } from '../wire/methods.ts';
import type { MethodName } from '../wire/methods.ts';
import { negotiate, parseRange } from '../wire/protocol.ts';
import type { ProtocolRange } from '../wire/protocol.ts';
import type { Authentication } from './authentication.ts';
import type { CallerVerdict, ProxyCaller } from './caller.ts';
import type { Leadership } from './ports.ts';
import { RateLimit } from './ratelimit.ts';

export interface GateOptions {
  readonly authentication: Pick<Authentication, 'callerOf'>;
  readonly leadership: Leadership;
  readonly protocols: ProtocolRange;
  readonly clock: Clock;
}

/** A request before its body. */
export interface Arrival {
  readonly verb: string;
  /** Path and query as sent. */
  readonly target: string;
  readonly authorization: readonly string[] | undefined;
  readonly protocols: string | undefined;
}

export interface Admitted {
  readonly kind: 'admitted';
  readonly method: MethodName;
  readonly caller: ProxyCaller;
  readonly protocol: number;
  readonly query: URLSearchParams;
}

export type Admission =
  Admitted | { readonly kind: 'refused'; readonly refusal: Refusal; readonly caller?: ProxyCaller };

/** A node's instances together: 250 pods that start at once, several tokens each. */
const callsPerNode = { burst: 2000, perSecond: 100 };
/** A long body costs as much as a call for each of these: reading it keeps the replica from everybody else's calls. */
const bytesPerCall = 4096;

export class Gate {
  readonly #options: GateOptions;
  readonly #limit: RateLimit;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#limit = new RateLimit(callsPerNode, options.clock);
  }

  async admit(arrival: Arrival): Promise<Admission> {
    const role = this.#options.leadership.role();
    if (role.kind === 'follower')
      return refuse('not-leader', { retryAfterMs: 1000, ...(role.leader !== undefined && { leader: role.leader }) });
    const caller = await this.#options.authentication.callerOf(arrival.authorization);
    if (caller.kind === 'nobody') return refusedCaller(caller);
    const admission = this.#admitCaller(arrival, caller);
    return admission.kind === 'admitted' ? admission : { ...admission, caller };
  }

  /** Before a body is looked at: 0, or the ms after which its node may send as much. */
  chargeBody({ pod }: ProxyCaller, bytes: number): number {
    const calls = Math.floor(bytes / bytesPerCall);
    return calls === 0 ? 0 : this.#limit.take(pod.nodeName, calls);
  }

  #admitCaller(arrival: Arrival, caller: ProxyCaller): Admission {
    const [path = '', query = ''] = arrival.target.split('?', 2);
    const method = methodAt(path);
    if (method === undefined) return refuse('method-unknown');
    if (methods[method].verb !== arrival.verb) return refuse('verb-not-allowed');
    if (!mayCall(caller.kind, method)) return refuse('caller-not-allowed');
    const theirs = parseRange(arrival.protocols);
    const protocol = theirs === undefined ? undefined : negotiate(this.#options.protocols, theirs);
    if (protocol === undefined) return refuse('protocol-unsupported');
    const retryAfterMs = this.#limit.take(caller.pod.nodeName, methods[method].cost);
    if (retryAfterMs > 0) return refuse('rate-limited', { retryAfterMs });
    return { kind: 'admitted', method, caller, protocol, query: new URLSearchParams(query) };
  }
}

function refusedCaller({ code, retryAfterMs }: Extract<CallerVerdict, { kind: 'nobody' }>): Admission {
  return refuse(code, retryAfterMs === undefined ? {} : { retryAfterMs });
}

function refuse(code: RefusalCode, details: Partial<Refusal> = {}): Extract<Admission, { kind: 'refused' }> {
  return { kind: 'refused', refusal: refusalOf(code, details) };
}

/** The body for a code; its message is the sentence of the table. */
export function refusalOf(code: RefusalCode, details: Partial<Refusal> = {}): Refusal {
  return { code, message: refusals[code].meaning, ...details };
}
