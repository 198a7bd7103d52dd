import type { Hash } from '../core/brand.ts';
import type { Decision, Permit, PolicySubject } from '../core/policy/decision.ts';
import { evaluatorOf, type Evaluator } from '../core/policy/evaluate.ts';
import { traceText } from '../core/policy/trace-text.ts';
import type { CanonicalRequest } from '../core/request/canonical.ts';
import { deny, denyLegacy, type Denial } from '../core/request/denials.ts';
import type { BindingView } from '../core/snapshot/types.ts';
import type { TokenWish } from '../core/token/types.ts';
import { answerFromTree, type TreeAnswer } from '../core/tree/answer.ts';
import { emulatedTree } from '../core/tree/emulated.ts';
import type { DirectoryNode } from '../core/tree/node.ts';
import type { LogFields } from '../telemetry/log.ts';
import { denyNodeAccount, denyUnbound } from './advice.ts';
import type { PassThrough } from './passthrough.ts';
import { contentReply, redirectReply, type Reply } from './replies.ts';
import { wishOf, type TokenLeaf } from './token-endpoint.ts';

/** What is to be done for a request. */
export type Plan =
  | { readonly kind: 'reply'; readonly reply: Reply }
  | { readonly kind: 'deny'; readonly denial: Denial; readonly detail?: LogFields }
  /** Get a token; which one it is today is not part of the plan. */
  | { readonly kind: 'token'; readonly leaf: TokenLeaf; readonly wish: TokenWish; readonly binding: BindingView }
  /** Ask the node's real server for what the permit names. */
  | { readonly kind: 'pass'; readonly permit: Permit; readonly through: PassThrough };

export interface Planned {
  readonly decision: Decision;
  readonly plan: Plan;
}

/** What is derived from a subject once and used for all its requests. */
interface SubjectView {
  readonly evaluator: Evaluator;
  readonly tree: DirectoryNode;
}

/**
 * Decides what a pod gets for a request. A plan is a pure function of the two: it does nothing, and is valid for as long
 * as the subject is.
 */
export class Planner {
  readonly #hash: Hash;
  readonly #through: PassThrough | undefined;
  readonly #views = new WeakMap<PolicySubject, SubjectView>();

  /** `through`: the way to the node's real metadata server, if there is one to ask. */
  constructor(hash: Hash, through: PassThrough | undefined) {
    this.#hash = hash;
    this.#through = through;
  }

  plan(request: CanonicalRequest, subject: PolicySubject): Planned {
    const decision = this.evaluator(subject).evaluate(request.path, request.version === 'legacy' ? 'legacy' : 'v1');
    const plan =
      decision.kind === 'conceal' ? concealment(decision, request) : this.#permitted(decision.permit, request, subject);
    return { decision, plan };
  }

  /** What an answer from a tree means for the pod. */
  planOf(answer: TreeAnswer, request: CanonicalRequest, subject: PolicySubject): Plan {
    switch (answer.kind) {
      case 'content':
        return { kind: 'reply', reply: contentReply(answer.contentType, answer.body, answer.etag) };
      case 'redirect':
        return { kind: 'reply', reply: redirectReply(request.host, answer.location) };
      case 'dynamic':
        return this.#token(answer.leaf, request, subject);
      case 'not-found':
        return refusal(deny('not-found'));
      case 'no-service-account':
        return refusal(denyUnbound(subject.workload, answer.reason));
      case 'concealed':
        return refusal(deny('concealed'));
    }
  }

  evaluator(subject: PolicySubject): Evaluator {
    return this.#view(subject).evaluator;
  }

  /** Nothing is served without a permit, and only what the permit names. */
  #permitted(permit: Permit, request: CanonicalRequest, subject: PolicySubject): Plan {
    const through = this.#through;
    if (through !== undefined && permit.origin === 'node' && subject.settings.platform === 'GCE') {
      return lacksAudience(request, permit) ? refusal(deny('audience-required')) : { kind: 'pass', permit, through };
    }
    const { evaluator, tree } = this.#view(subject);
    if (evaluator.account.kind === 'node' && isBelowServiceAccounts(permit.path)) {
      return refusal(denyNodeAccount(subject.workload));
    }
    const answer = answerFromTree({ tree, request, permit, filter: evaluator.evaluate }, this.#hash);
    return this.planOf(answer, request, subject);
  }

  /** The account is the evaluator's: a workload may have an identity that its node's settings do not serve. */
  #token(leaf: TokenLeaf, request: CanonicalRequest, subject: PolicySubject): Plan {
    const { workload } = subject;
    const { account } = this.evaluator(subject);
    if (account.kind === 'node') return refusal(denyNodeAccount(workload));
    if (account.kind === 'absent') return refusal(denyUnbound(workload, account.reason));
    const { binding } = account;
    const resolution = wishOf(leaf, request.query, binding, workload);
    if (resolution.kind === 'denied') return refusal(resolution.denial);
    return { kind: 'token', leaf, wish: resolution.wish, binding };
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
}

function refusal(denial: Denial): Plan {
  return { kind: 'deny', denial };
}

function concealment(decision: Extract<Decision, { kind: 'conceal' }>, request: CanonicalRequest): Plan {
  const denial = decision.reason === 'legacy' ? denyLegacy(request.spelling) : deny('concealed');
  const advice = request.version === 'legacy' ? { v1Path: v1PathOf(request) } : {};
  return { kind: 'deny', denial, detail: { trace: traceText(decision.trace), ...advice } };
}

/** What to ask for instead of a legacy path. */
export function v1PathOf({ path }: CanonicalRequest): string {
  return `/computeMetadata/v1/${path.join('/')}`;
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
