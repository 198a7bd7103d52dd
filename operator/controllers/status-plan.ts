/** Which statuses to write for an object, the same for every kind. */
import type { Condition } from '../api/v1/index.ts';
import type { ProgrammingState } from './ports.ts';
import { announced, findCondition, listed } from './conditions.ts';
import type { Aspect } from './conditions.ts';
import type { KubernetesEvent } from './ports.ts';
import { statusWrite, type RecentWrites } from './status-writes.ts';

export interface PlannableStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
}

export interface StatusPlan<S> {
  /** Written one after the other; on a new generation the first only takes back the last one's Ready. */
  readonly statuses: readonly S[];
  readonly events: readonly KubernetesEvent[];
  readonly requeueAfterMs?: number;
}

export interface StatusMoment {
  readonly generation: number;
  /** ms since the epoch */
  readonly now: number;
  readonly writes: RecentWrites | undefined;
}

/** Nothing for an unchanged status, later for mere numbers, at once for a transition, with an event if Ready changed. */
export function planStatus<S extends PlannableStatus>(
  previous: S | undefined,
  next: S,
  moment: StatusMoment,
): StatusPlan<S> {
  const write = statusWrite(previous, next, moment);
  if (write.kind === 'none') return { statuses: [], events: [] };
  if (write.kind === 'later') return { statuses: [], events: [], requeueAfterMs: write.inMs };
  const { generation, now } = moment;
  const conditions = announced({ previous: previous?.conditions, generation, now });
  const announcement =
    conditions === undefined ? [] : [{ ...next, ...previous, observedGeneration: generation, conditions }];
  return { statuses: [...announcement, next], events: readyEvents(previous?.conditions, next.conditions) };
}

function readyEvents(
  before: readonly Condition[] | undefined,
  after: readonly Condition[] | undefined,
): readonly KubernetesEvent[] {
  const [was, is] = [findCondition(before, 'Ready'), findCondition(after, 'Ready')];
  if (is === undefined || is.status === 'Unknown') return [];
  if (was?.status === is.status && was.reason === is.reason) return [];
  return [{ type: is.status === 'True' ? 'Normal' : 'Warning', reason: is.reason, message: is.message.slice(0, 1024) }];
}

/** `nodes` as every kind reports them. */
export function nodesOf(desired: number, programmed: number) {
  return { desired, programmed, summary: `${programmed}/${desired}` };
}

/**
 * Whether every connected node that needs an object has acknowledged it. Numbers are in status.nodes: a text that
 * counts along would be written every time.
 */
export function programmedAspect(state: ProgrammingState, unused: string): Aspect {
  const type = 'Programmed';
  if (state.rejected.length > 0) {
    const refusals = state.rejected.map(({ node, reason }) => `${node} (${reason})`);
    return { type, status: 'False', reason: 'NodesRejected', message: `Rejected by ${listed(refusals)}.` };
  }
  if (state.programmed < state.desired - state.disconnected.length) {
    const message = 'Some connected nodes have not acknowledged it yet.';
    return { type, status: 'Unknown', reason: 'NodesPending', message };
  }
  if (state.desired === 0) return { type, status: 'True', reason: 'NoWorkloads', message: unused };
  const message = 'Every connected node that needs it has acknowledged it.';
  return { type, status: 'True', reason: 'Programmed', message };
}
