/** The layer that takes most cases: parser, evaluator and the question to the node's server, without any transport. */
import type { Permit, PolicySubject } from '../../operator/core/policy/decision.ts';
import { evaluatorOf, type Evaluator } from '../../operator/core/policy/evaluate.ts';
import type { CanonicalRequest, ParsedRequest, RawRequest } from '../../operator/core/request/canonical.ts';
import { parseRequest } from '../../operator/core/request/parse.ts';
import { planUpstream, type UpstreamPlan } from '../../operator/proxy/upstream-question.ts';
import { Bypass, judgePermit, judgePlan, judgeReading, judgeRefusal } from './judge.ts';
import { referenceFor, type Reference, type World } from './reference.ts';
import { bytesOf, type FuzzRequest } from './requests.ts';
import { subjectOf } from './worlds.ts';

/** What is on trial; a test plants bugs in it. */
export interface Side {
  readonly parse: (raw: RawRequest) => ParsedRequest;
  readonly evaluatorOf: (subject: PolicySubject) => Evaluator;
  readonly plan: (permit: Permit, request: CanonicalRequest, raw: RawRequest) => UpstreamPlan;
}

export const product: Side = { parse: parseRequest, evaluatorOf, plan: planUpstream };

/** How many cases ended how. A denial's key is its code. */
export interface Tally {
  cases: number;
  /** Revealed: the question to the node's server, or the pod's own answer, was judged. */
  served: number;
  honest: number;
  honestServed: number;
  readonly denied: Record<string, number>;
}

export function emptyTally(): Tally {
  return { cases: 0, served: 0, honest: 0, honestServed: 0, denied: {} };
}

export function countDenied(tally: Tally, code: string): void {
  tally.denied[code] = (tally.denied[code] ?? 0) + 1;
}

/** A world, ready for any number of requests. */
export interface Stage {
  readonly world: World;
  readonly evaluator: Evaluator;
  readonly reference: Reference;
}

export function stageFor(world: World, side: Side): Stage {
  return { world, evaluator: side.evaluatorOf(subjectOf(world)), reference: referenceFor(world) };
}

/** One case. Throws Bypass. */
export function tryInMemory(
  { raw, honest }: FuzzRequest,
  { evaluator, reference }: Stage,
  side: Side,
  tally: Tally,
): void {
  tally.cases += 1;
  if (honest !== undefined) tally.honest += 1;
  const parsed = side.parse(raw);
  if (parsed.kind === 'rejected') {
    countDenied(tally, parsed.rejection.denial.code);
    if (honest !== undefined) throw new Bypass(`an honest request is refused: ${JSON.stringify(raw)}`);
    return;
  }
  const { request } = parsed;
  judgeReading(bytesOf(raw), request);
  if (request.version === 'root' || request.version === 'versions') {
    countDenied(tally, 'outside the tree');
    return;
  }
  const decision = evaluator.evaluate(request.path, request.version);
  if (decision.kind === 'conceal') {
    judgeRefusal(request, decision.reason, reference);
    countDenied(tally, decision.reason === 'legacy' ? 'legacy' : 'concealed');
    return;
  }
  judgePermit(request, decision.permit, reference);
  judgePlan(side.plan(decision.permit, request, raw), request, decision.permit, reference);
  tally.served += 1;
  if (honest !== undefined) tally.honestServed += 1;
}
