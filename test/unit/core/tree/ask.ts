import type { ContentHash, Hash } from '../../../../operator/core/brand.ts';
import type { PolicySubject } from '../../../../operator/core/policy/decision.ts';
import { evaluatorOf } from '../../../../operator/core/policy/evaluate.ts';
import { answerFromTree, answerOutsideTree, type TreeAnswer } from '../../../../operator/core/tree/answer.ts';
import { emulatedTree } from '../../../../operator/core/tree/emulated.ts';
import { accepted, get, v1 } from '../request/raw.ts';

/** FNV-1a, written four times: 32 digits that change with every character, enough for comparing. */
export const hash: Hash = (text) => {
  let state = 0x811c9dc5;
  for (const character of text) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return state.toString(16).padStart(8, '0').repeat(4) as ContentHash;
};

type Answer = TreeAnswer | 'concealed by policy';

/** What a pod gets for a target below /computeMetadata/v1/, from parse to tree. */
export function ask(subject: PolicySubject, below: string): Answer {
  return askTarget(subject, `${v1}${below}`);
}

function askTarget(subject: PolicySubject, target: string): Answer {
  const request = accepted(get(target));
  const outside = answerOutsideTree(request, hash);
  if (outside !== undefined) return outside;
  const { account, evaluate } = evaluatorOf(subject);
  const decision = evaluate(request.path, request.version === 'legacy' ? 'legacy' : 'v1');
  if (decision.kind === 'conceal') return 'concealed by policy';
  const tree = emulatedTree(subject.settings.emulated, account);
  return answerFromTree({ tree, request, permit: decision.permit, filter: evaluate }, hash);
}

/** The body of an answer, or its kind where it has none. */
export function bodyOf(subject: PolicySubject, below: string): string {
  return bodyOfTarget(subject, `${v1}${below}`);
}

/** The same for a whole target, legacy ones too. */
export function bodyOfTarget(subject: PolicySubject, target: string): string {
  const answer = askTarget(subject, target);
  if (answer === 'concealed by policy') return answer;
  return answer.kind === 'content' ? answer.body : answer.kind;
}
