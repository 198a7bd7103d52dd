/** From facts to what is to be done about a binding: pure, and empty when nothing changed. */
import { refOf } from '../refs.ts';
import type { WorkloadIdentityBindingStatus } from '../../api/v1/index.ts';
import { conditionsOf } from '../conditions.ts';
import type { KubernetesEvent, ObjectRef } from '../ports.ts';
import { nodesOf, planStatus } from '../status-plan.ts';
import { planAnnotation } from './annotation.ts';
import type { AnnotationPlan } from './annotation.ts';
import { aspectsOf } from './aspects.ts';
import { staleNodesEvent, tokensDroppedEvent } from './events.ts';
import type { AbsentBinding, BindingFacts, PresentBinding } from './facts.ts';

export interface BindingPlan {
  readonly annotation: AnnotationPlan;
  /** Written one after the other; on a new generation the first only takes back the last one's Ready. */
  readonly statuses: readonly WorkloadIdentityBindingStatus[];
  /** Whom the events are about. */
  readonly about: ObjectRef | undefined;
  readonly events: readonly KubernetesEvent[];
  readonly requeueAfterMs?: number;
}

/** A conflict over the annotation is tried again, as its owner may have let go without our seeing it. */
const conflictRetryMs = 60_000;

export function planBinding(facts: BindingFacts): BindingPlan {
  return facts.kind === 'absent' ? planAbsent(facts) : planPresent(facts);
}

function planAbsent(facts: AbsentBinding): BindingPlan {
  const stale = staleNodesEvent(facts.departed?.programming.disconnected ?? []);
  return {
    annotation: planAnnotation(facts),
    statuses: [],
    about: facts.departed?.ref,
    events: stale === undefined ? [] : [stale],
  };
}

function planPresent(facts: PresentBinding): BindingPlan {
  const { previous, binding, annotation, now, writes } = facts;
  const generation = binding.metadata.generation ?? 0;
  const next = statusOf(facts, generation);
  const planned = planStatus(previous, next, { generation, now, writes });
  const requeueAfterMs = planned.requeueAfterMs ?? (annotation?.conflict === undefined ? undefined : conflictRetryMs);
  return {
    annotation: planAnnotation(facts),
    statuses: planned.statuses,
    about: refOf(binding),
    events: planned.statuses.length === 0 ? [] : [...planned.events, ...revocationEvents(facts, next)],
    ...(requeueAfterMs !== undefined && { requeueAfterMs }),
  };
}

function revocationEvents({ previous, programming }: PresentBinding, next: WorkloadIdentityBindingStatus) {
  const isNewGeneration = previous?.observedGeneration !== next.observedGeneration;
  return [
    tokensDroppedEvent(previous?.conditions, next.conditions),
    isNewGeneration ? staleNodesEvent(programming.disconnected) : undefined,
  ].filter((event) => event !== undefined);
}

function statusOf(facts: PresentBinding, generation: number): WorkloadIdentityBindingStatus {
  const { principal, programming, workloads, previous, now } = facts;
  const { ready, parts } = aspectsOf(facts);
  return {
    observedGeneration: generation,
    conditions: conditionsOf(ready, parts, { previous: previous?.conditions, generation, now }),
    ...(principal !== undefined && { principal }),
    nodes: nodesOf(programming.desired, programming.programmed),
    workloads,
  };
}
