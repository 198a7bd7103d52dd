import type { Hash } from '../core/brand.ts';
import type { PolicySubject } from '../core/policy/decision.ts';
import type { AcceptedHosts, CanonicalRequest, RawRequest, Rejection } from '../core/request/canonical.ts';
import { deny, type Denial } from '../core/request/denials.ts';
import type { Timers } from '../core/time.ts';
import { answerOutsideTree, type TreeAnswer } from '../core/tree/answer.ts';
import type { LogFields } from '../telemetry/log.ts';
import type { BrokerAnswer, TokenBroker } from './broker.ts';
import type { DecisionCounter } from './decision-counter.ts';
import type { DenialLog, RequestContext } from './denial-log.ts';
import type { Connection, Identification, Identifier } from './identify.ts';
import { parseOnce, planOnce } from './last-request.ts';
import type { PassedAnswer, PassThrough } from './passthrough.ts';
import { Planner, v1PathOf, type Plan } from './plan.ts';
import { contentReply, denialReply, redirectReply, type Reply } from './replies.ts';
import { tokenDenial, tokenReply } from './token-endpoint.ts';
import type { ChangeWaiter } from './wait-for-change.ts';

export interface HandlerParts {
  readonly identifier: Identifier;
  readonly broker: TokenBroker;
  readonly changes: ChangeWaiter;
  readonly timers: Timers;
  readonly hash: Hash;
  readonly denials: DenialLog;
  readonly decisions: DecisionCounter;
  readonly hosts: AcceptedHosts;
  /** The node's real metadata server, asked on platform GCE only; undefined: its tree is emulated there too. */
  readonly passThrough: PassThrough | undefined;
}

/** One request that arrived and was parsed. */
interface Arrival {
  readonly request: CanonicalRequest;
  readonly connection: Connection;
}

/** How often a request is decided anew because the snapshot changed while it waited. */
const maxDecisions = 3;

/**
 * A request's whole way: parse, identify, plan, carry out. Each step works on the value of the one before; a reply is
 * made at once where nothing has to be waited for.
 */
export class RequestHandler {
  readonly #parts: HandlerParts;
  readonly #planner: Planner;

  constructor(parts: HandlerParts) {
    this.#parts = parts;
    this.#planner = new Planner(parts.hash, parts.passThrough);
  }

  handle(raw: RawRequest, connection: Connection): Reply | Promise<Reply> {
    const parsed = parseOnce(raw, connection, this.#parts.hosts);
    if (parsed.kind === 'rejected') return this.#reject(raw, connection, parsed.rejection);
    const { request } = parsed;
    const arrival = { request, connection };
    const outside = answerOutsideTree(request, this.#parts.hash);
    if (outside !== undefined) return this.#outside(outside, arrival);
    if (request.query.waitForChange !== true) return this.#answer(arrival);
    return this.#parts.changes.answerAfterChange(request, connection.ending, () => this.#answer(arrival));
  }

  /** A refusal that was made before there was a request to parse. */
  refuse(denial: Denial, { address }: Connection, detail: string): Reply {
    return this.#deny(denial, { address, workload: undefined, method: '', path: '' }, { reason: detail });
  }

  #answer(arrival: Arrival): Reply | Promise<Reply> {
    const identification = this.#parts.identifier.identify(arrival.connection);
    if (identification instanceof Promise) return identification.then((known) => this.#identified(known, arrival));
    return this.#identified(identification, arrival);
  }

  #reject(raw: RawRequest, connection: Connection, rejection: Rejection): Reply {
    const identification = this.#parts.identifier.now(connection);
    const workload = identification.kind === 'known' ? identification.subject.workload : undefined;
    const [path = ''] = raw.target.split('?', 1);
    const context = { address: connection.address, workload, method: raw.method, path };
    return this.#deny(rejection.denial, context, { reason: rejection.detail });
  }

  #outside(answer: TreeAnswer, arrival: Arrival): Reply {
    if (answer.kind === 'content') {
      const content = contentReply(answer.contentType, answer.body, answer.etag);
      // The root is how clients detect the server. On a connection kept from there, Java's later requests would inherit
      // the detection's connect time-out of 0.5 s, less than the kernel takes to try again while the proxy restarts.
      return { ...content, close: arrival.request.version === 'root' };
    }
    if (answer.kind === 'redirect') return redirectReply(arrival.request.host, answer.location);
    return this.#deny(deny('not-found'), contextOf(arrival));
  }

  #identified(identification: Identification, arrival: Arrival, decisions = 1): Reply | Promise<Reply> {
    if (identification.kind !== 'known') return this.#unidentified(identification, arrival);
    const { subject } = identification;
    const reply = this.#decide(arrival, subject);
    return reply instanceof Promise ? reply.then((late) => this.#recheck(arrival, subject, late, decisions)) : reply;
  }

  #unidentified(identification: Exclude<Identification, { kind: 'known' }>, arrival: Arrival): Reply {
    const denial = deny(identification.kind === 'not-ready' ? 'not-ready' : 'unknown-workload');
    // A connection whose pod is gone can never be answered again.
    const ending = identification.kind === 'gone' ? { ...denial, close: true } : denial;
    return this.#deny(ending, contextOf(arrival), { reason: identification.kind });
  }

  /** A reply that took time counts only if the snapshot it was decided from is still the current one. */
  #recheck(arrival: Arrival, subject: PolicySubject, late: Reply, decisions: number): Reply | Promise<Reply> {
    const now = this.#parts.identifier.now(arrival.connection);
    if (now.kind === 'known' && now.subject === subject) return late;
    if (decisions === maxDecisions) return this.#deny(deny('token-unavailable'), contextOf(arrival, subject));
    return this.#identified(now, arrival, decisions + 1);
  }

  #decide(arrival: Arrival, subject: PolicySubject): Reply | Promise<Reply> {
    const { request, connection } = arrival;
    const { decision, plan } = planOnce(request, subject, connection, this.#planner);
    this.#parts.decisions.decided(decision, arrival, subject);
    if (decision.audit.length > 0) this.#parts.denials.audited(decision.audit, contextOf(arrival, subject));
    if (request.version === 'legacy' && decision.kind === 'reveal')
      this.#parts.denials.legacyAllowed(contextOf(arrival, subject), v1PathOf(request));
    return this.#carryOut(plan, arrival, subject);
  }

  #carryOut(plan: Plan, arrival: Arrival, subject: PolicySubject): Reply | Promise<Reply> {
    switch (plan.kind) {
      case 'reply':
        return plan.reply;
      case 'deny':
        return this.#deny(plan.denial, contextOf(arrival, subject), plan.detail);
      case 'token':
        return this.#token(plan, arrival, subject);
      case 'pass':
        return this.#pass(plan, arrival, subject);
    }
  }

  #token(plan: Extract<Plan, { kind: 'token' }>, arrival: Arrival, subject: PolicySubject): Reply | Promise<Reply> {
    const { workload } = subject;
    const { leaf, wish, binding } = plan;
    const answer = this.#parts.broker.token(workload, wish);
    const reply = (settled: BrokerAnswer): Reply =>
      settled.kind === 'issued'
        ? tokenReply(leaf, settled.issued, this.#parts.timers.now())
        : this.#deny(tokenDenial(leaf, settled, workload, binding), contextOf(arrival, subject));
    return answer instanceof Promise ? answer.then(reply) : reply(answer);
  }

  /** Asks the node's real server for what the permit names. */
  async #pass(plan: Extract<Plan, { kind: 'pass' }>, arrival: Arrival, subject: PolicySubject): Promise<Reply> {
    const { request } = arrival;
    const { permit, through } = plan;
    const { account, evaluate: filter } = this.#planner.evaluator(subject);
    const passed = await through.answer({ request, permit, account, filter });
    const reply = await this.#carryOut(this.#planOfPassed(passed.answer, request, subject), arrival, subject);
    return passed.changed === undefined ? reply : { ...reply, changed: passed.changed };
  }

  #planOfPassed(answer: PassedAnswer['answer'], request: CanonicalRequest, subject: PolicySubject): Plan {
    switch (answer.kind) {
      case 'credential':
        return { kind: 'reply', reply: contentReply(answer.contentType, answer.body) };
      case 'unavailable':
        return { kind: 'deny', denial: deny('upstream-unavailable') };
      case 'refused':
        return { kind: 'deny', denial: { ...deny('upstream-refused'), status: answer.status } };
      case 'busy':
        return { kind: 'deny', denial: deny('too-many-requests') };
      default:
        return this.#planner.planOf(answer, request, subject);
    }
  }

  #deny(denial: Denial, context: RequestContext, detail?: LogFields): Reply {
    this.#parts.denials.denied(denial, context, detail);
    return denialReply(denial);
  }
}

function contextOf({ request, connection }: Arrival, subject?: PolicySubject): RequestContext {
  return {
    address: connection.address,
    workload: subject?.workload,
    method: request.method,
    path: request.spelling,
  };
}
