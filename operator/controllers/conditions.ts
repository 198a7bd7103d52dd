/**
 * Conditions as every kind of ours writes them: the whole list, Ready first, `Reconciling` and `Stalled` as kstatus
 * expects, times that move only when a status does.
 */
import type { Condition, ConditionStatus, Reason } from '../api/v1/index.ts';
import { timestamp } from '../core/time.ts';

/** One aspect as a plan states it; generation and time are added when it is written. */
export interface Aspect {
  readonly type: string;
  readonly status: ConditionStatus;
  readonly reason: Reason;
  readonly message: string;
}

export interface ConditionContext {
  readonly previous: readonly Condition[] | undefined;
  readonly generation: number;
  /** ms since the epoch */
  readonly now: number;
}

/**
 * The list to write: Ready, the parts in their order, and what kstatus needs. `Ready` False is final until somebody
 * changes something (Stalled); Unknown is on its way (Reconciling).
 */
export function conditionsOf(ready: Aspect, parts: readonly Aspect[], context: ConditionContext): Condition[] {
  return [ready, ...parts, ...progressOf(ready)].map((aspect) => conditionOf(aspect, context));
}

function progressOf({ status, reason, message }: Aspect): readonly Aspect[] {
  if (status === 'True') return [];
  return [{ type: status === 'False' ? 'Stalled' : 'Reconciling', status: 'True', reason, message }];
}

function conditionOf(aspect: Aspect, { previous, generation, now }: ConditionContext): Condition {
  const before = findCondition(previous, aspect.type);
  // One without a generation is the schema's placeholder, and its time no time at which anything happened.
  const isOurs = before?.observedGeneration !== undefined;
  const lastTransitionTime = isOurs && before.status === aspect.status ? before.lastTransitionTime : timestamp(now);
  return { ...aspect, lastTransitionTime, observedGeneration: generation };
}

export function findCondition(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/**
 * Ready out of its parts, each of which has to be True: the first False one decides, then the first Unknown one.
 * `isDone` lets a part be content with Unknown.
 */
export function readyFrom(parts: readonly Aspect[], isDone: (part: Aspect) => boolean = isTrue): Aspect {
  const decisive = parts.find(({ status }) => status === 'False') ?? parts.find((part) => !isDone(part));
  if (decisive !== undefined) return { ...decisive, type: 'Ready' };
  return { type: 'Ready', status: 'True', reason: 'Ready', message: 'In effect.' };
}

function isTrue({ status }: Aspect): boolean {
  return status === 'True';
}

/**
 * Said before anything else on a new generation: who compares strings only, such as Terraform's `wait`, must not take
 * the last generation's Ready for this one's.
 */
export function announced(context: ConditionContext): Condition[] | undefined {
  const ready = findCondition(context.previous, 'Ready');
  if (ready === undefined || ready.status === 'Unknown' || ready.observedGeneration === context.generation) {
    return undefined;
  }
  const message = 'The controller is working on this generation.';
  const others = context.previous?.filter(({ type }) => !['Ready', 'Reconciling', 'Stalled'].includes(type)) ?? [];
  const [first, ...rest] = conditionsOf({ type: 'Ready', status: 'Unknown', reason: 'Pending', message }, [], context);
  return first === undefined ? undefined : [first, ...others, ...rest];
}

/** `a, b and 3 more`: messages stay short and the same for the same set. */
export function listed(names: readonly string[], most = 5): string {
  const sorted = [...names].sort();
  const shown = sorted.slice(0, most).join(', ');
  return sorted.length <= most ? shown : `${shown} and ${String(sorted.length - most)} more`;
}
