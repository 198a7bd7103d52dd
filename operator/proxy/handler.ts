import type { Hash } from '../core/brand.ts';
import { evaluatorOf, type Evaluator } from '../core/policy/evaluate.ts';
import type { Decision, Permit, PolicySubject } from '../core/policy/decision.ts';
import type { AcceptedHosts, CanonicalRequest, RawRequest, Rejection } from '../core/request/canonical.ts';
import { deny, denyLegacy, type Denial } from '../core/request/denials.ts';
import { parseRequest } from '../core/request/parse.ts';
import type { Timers } from '../core/time.ts';
import { answerFromTree, answerOutsideTree, type TreeAnswer } from '../core/tree/answer.ts';
import { emulatedTree } from '../core/tree/emulated.ts';
import type { DirectoryNode } from '../core/tree/node.ts';
import type { LogFields } from '../telemetry/log.ts';
import { denyNodeAccount, denyUnbound } from './advice.ts';
import type { TokenBroker } from './broker.ts';
import { traceText } from '../core/policy/trace-text.ts';
import type { DecisionCounter } from './decision-counter.ts';
import type { DenialLog, RequestContext } from './denial-log.ts';
import type { Connection, Identification, Identifier } from './identify.ts';
import type { PassedAnswer, PassThrough } from './passthrough.ts';
import { contentReply, denialReply, redirectReply, type Reply } from './replies.ts';
import type { ChangeWaiter } from './wait-for-change.ts';
import { tokenDenial, tokenReply, wishOf, type TokenLeaf } from './token-endpoint.ts';

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

/** One request that was parsed, with the pod it comes from. */
interface Exchange {
  readonly request: CanonicalRequest;
  readonly connection: Connection;
  readonly subject: PolicySubject;
}

/** What is derived from a subject once and used for all its requests. */
interface SubjectView {
  readonly evaluator: Evaluator;
  readonly tree: DirectoryNode;
}

/** How often a request is decided anew because the snapshot changed while it waited. */
const maxDecisions = 3;

/**
 * A request's whole way: parse, identify, evaluate, act under the permit. Each step works on the value of the one
 * before; a reply is made at once where nothing has to be waited for.
 */
export class RequestHandler {
  readonly #parts: HandlerParts;
  readonly #views = new WeakMap<PolicySubject, SubjectView>();

  constructor(parts: HandlerParts) {
    this.#parts = parts;
  }

  handle(raw: RawRequest, connection: Connection): Reply | Promise<Reply> {
    const parsed = parseRequest(raw, this.#parts.hosts);
    if (parsed.kind === 'rejected') return this.#reject(raw, connection, parsed.rejection);
    const { request } = parsed;
    const outside = answerOutsideTree(request, this.#parts.hash);
    if (outside !== undefined) return this.#outside(outside, request, connection);
    if (request.query.waitForChange !== true) return this.#answer(request, connection);
    return this.#parts.changes.answerAfterChange(request, connection.ending, () => this.#answer(request, connection));
  }

  /** A refusal that was made before there was a request to parse. */
  refuse(denial: Denial, connection: Connection, detail: string): Reply {
    return this.#deny(
      denial,
      { address: connection.address, workload: undefined, method: '', path: '' },
      {
        reason: detail,
      },
    );
  }

  #answer(request: CanonicalRequest, connection: Connection): Reply | Promise<Reply> {
    const identification = this.#parts.identifier.identify(connection);
    if (identification instanceof Promise) {
      return identification.then((known) => this.#identified(known, request, connection));
    }
    return this.#identified(identification, request, connection);
  }

  #reject(raw: RawRequest, connection: Connection, rejection: Rejection): Reply {
    const identification = this.#parts.identifier.now(connection);
    const workload = identification.kind === 'known' ? identification.subject.workload : undefined;
    const [path = ''] = raw.target.split('?', 1);
    const context = { address: connection.address, workload, method: raw.method, path };
    return this.#deny(rejection.denial, context, { reason: rejection.detail });
  }

  #outside(answer: TreeAnswer, request: CanonicalRequest, connection: Connection): Reply {
    if (answer.kind === 'content') return contentReply(answer.contentType, answer.body, answer.etag);
    if (answer.kind === 'redirect') return redirectReply(request.host, answer.location);
    return this.#deny(deny('not-found'), contextOf(request, connection, undefined));
  }

  #identified(
    identification: Identification,
    request: CanonicalRequest,
    connection: Connection,
    decisions = 1,
  ): Reply | Promise<Reply> {
    if (identification.kind !== 'known') return this.#unidentified(identification, request, connection);
    const exchange = { request, connection, subject: identification.subject };
    const reply = this.#decide(exchange);
    return reply instanceof Promise ? reply.then((late) => this.#recheck(exchange, late, decisions)) : reply;
  }

  #unidentified(
    identification: Exclude<Identification, { kind: 'known' }>,
    request: CanonicalRequest,
    connection: Connection,
  ): Reply {
    const denial = deny(identification.kind === 'not-ready' ? 'not-ready' : 'unknown-workload');
    // A connection whose pod is gone can never be answered again.
    const ending = identification.kind === 'gone' ? { ...denial, close: true } : denial;
    return this.#deny(ending, contextOf(request, connection, undefined), { reason: identification.kind });
  }

  /** A reply that took time counts only if the snapshot it was decided from is still the current one. */
  #recheck(exchange: Exchange, late: Reply, decisions: number): Reply | Promise<Reply> {
    const { request, connection, subject } = exchange;
    const now = this.#parts.identifier.now(connection);
    if (now.kind === 'known' && now.subject === subject) return late;
    if (decisions === maxDecisions)
      return this.#deny(deny('token-unavailable'), contextOf(request, connection, subject));
    return this.#identified(now, request, connection, decisions + 1);
  }

  #decide(exchange: Exchange): Reply | Promise<Reply> {
    const { request, connection, subject } = exchange;
    const { evaluator } = this.#view(subject);
    const decision = evaluator.evaluate(request.path, request.version === 'legacy' ? 'legacy' : 'v1');
    const context = contextOf(request, connection, subject);
    this.#parts.decisions.decided(decision, request, subject);
    if (decision.audit.length > 0) this.#parts.denials.audited(decision.audit, context);
    if (request.version === 'legacy' && decision.kind === 'reveal')
      this.#parts.denials.legacyAllowed(context, v1PathOf(request));
    return decision.kind === 'conceal'
      ? this.#conceal(decision, request, context)
      : this.#act(exchange, decision.permit);
  }

  #conceal(
    decision: Extract<Decision, { kind: 'conceal' }>,
    request: CanonicalRequest,
    context: RequestContext,
  ): Reply {
    const trace = traceText(decision.trace);
    const denial = decision.reason === 'legacy' ? denyLegacy(request.spelling) : deny('concealed');
    const advice = request.version === 'legacy' ? { v1Path: v1PathOf(request) } : {};
    return this.#deny(denial, context, { trace, ...advice });
  }

  /** Nothing is served without a permit, and only what the permit names. */
  #act(exchange: Exchange, permit: Permit): Reply | Promise<Reply> {
    const { request, subject } = exchange;
    const { evaluator, tree } = this.#view(subject);
    const { passThrough } = this.#parts;
    if (passThrough !== undefined && permit.origin === 'node' && subject.settings.platform === 'GCE') {
      return this.#passThrough(exchange, permit, passThrough);
    }
    if (evaluator.account.kind === 'node' && isBelowServiceAccounts(permit.path)) {
      return this.#denied(exchange, denyNodeAccount(subject.workload));
    }
    const answer = answerFromTree({ tree, request, permit, filter: evaluator.evaluate }, this.#parts.hash);
    return this.#treeReply(exchange, answer);
  }

  /** Asks the node's real server for what the permit names. */
  async #passThrough(exchange: Exchange, permit: Permit, passThrough: PassThrough): Promise<Reply> {
    const { request, subject } = exchange;
    const { account, evaluate: filter } = this.#view(subject).evaluator;
    if (lacksAudience(request, permit)) return this.#denied(exchange, deny('audience-required'));
    const passed = await passThrough.answer({ request, permit, account, filter });
    const reply = await this.#passedReply(exchange, passed.answer);
    return passed.changed === undefined ? reply : { ...reply, changed: passed.changed };
  }

  #passedReply(exchange: Exchange, answer: PassedAnswer['answer']): Reply | Promise<Reply> {
    switch (answer.kind) {
      case 'credential':
        return contentReply(answer.contentType, answer.body);
      case 'unavailable':
        return this.#denied(exchange, deny('upstream-unavailable'));
      case 'refused':
        return this.#denied(exchange, { ...deny('upstream-refused'), status: answer.status });
      case 'busy':
        return this.#denied(exchange, deny('too-many-requests'));
      default:
        return this.#treeReply(exchange, answer);
    }
  }

  #treeReply(exchange: Exchange, answer: TreeAnswer): Reply | Promise<Reply> {
    const { request, subject } = exchange;
    switch (answer.kind) {
      case 'content':
        return contentReply(answer.contentType, answer.body, answer.etag);
      case 'redirect':
        return redirectReply(request.host, answer.location);
      case 'dynamic':
        return this.#token(exchange, answer.leaf);
      case 'not-found':
        return this.#denied(exchange, deny('not-found'));
      case 'no-service-account':
        return this.#denied(exchange, denyUnbound(subject.workload, answer.reason));
      case 'concealed':
        return this.#denied(exchange, deny('concealed'));
    }
  }

  /** The account is the evaluator's: a workload may have an identity that its node's settings do not serve. */
  #token(exchange: Exchange, leaf: TokenLeaf): Reply | Promise<Reply> {
    const { workload } = exchange.subject;
    const { account } = this.#view(exchange.subject).evaluator;
    if (account.kind === 'node') return this.#denied(exchange, denyNodeAccount(workload));
    if (account.kind === 'absent') return this.#denied(exchange, denyUnbound(workload, account.reason));
    const { binding } = account;
    const resolution = wishOf(leaf, exchange.request.query, binding, workload);
    if (resolution.kind === 'denied') return this.#denied(exchange, resolution.denial);
    const answer = this.#parts.broker.token(workload, resolution.wish);
    const reply = (settled: Awaited<typeof answer>): Reply =>
      settled.kind === 'issued'
        ? tokenReply(leaf, settled.issued, this.#parts.timers.now())
        : this.#denied(exchange, tokenDenial(leaf, settled, workload, binding));
    return answer instanceof Promise ? answer.then(reply) : reply(answer);
  }

  /** On a node with a real server the tree only supplies the workload's own account. */
  #view(subject: PolicySubject): SubjectView {
    const known = this.#views.get(subject);
    if (known !== undefined) return known;
    const evaluator = evaluatorOf(subject);
    const view = { evaluator, tree: emulatedTree(subject.settings.emulated, evaluator.account) };
    this.#views.set(subject, view);
    return view;
  }

  #denied({ request, connection, subject }: Exchange, denial: Denial): Reply {
    return this.#deny(denial, contextOf(request, connection, subject));
  }

  #deny(denial: Denial, context: RequestContext, detail?: LogFields): Reply {
    this.#parts.denials.denied(denial, context, detail);
    return denialReply(denial);
  }
}

/** The listing itself is answered, empty: gcloud cannot bear its absence. */
function isBelowServiceAccounts(path: Permit['path']): boolean {
  return path[0] === 'instance' && path[1] === 'service-accounts' && path.length > 2;
}

/** Said by us, so that the sentence is the same on every platform. */
function lacksAudience({ query, trailingSlash }: CanonicalRequest, { path }: Permit): boolean {
  const isIdentity = isBelowServiceAccounts(path) && path.length === 4 && path[3] === 'identity' && !trailingSlash;
  return isIdentity && (query.audience ?? '') === '';
}

/** What to ask for instead of a legacy path. */
function v1PathOf({ path }: CanonicalRequest): string {
  return `/computeMetadata/v1/${path.join('/')}`;
}

function contextOf(
  request: CanonicalRequest,
  connection: Connection,
  subject: PolicySubject | undefined,
): RequestContext {
  return {
    address: connection.address,
    workload: subject?.workload,
    method: request.method,
    path: request.spelling,
  };
}
