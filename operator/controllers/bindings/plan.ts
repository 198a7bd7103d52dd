/** From facts to what is to be done about a binding: pure, and empty when nothing changed. */
import type { WorkloadIdentityBindingStatus } from '../../api/v1/index.ts';
import { announced, conditionsOf } from '../conditions.ts';
import type { KubernetesEvent, ObjectRef } from '../ports.ts';
import { statusWrite } from '../status-writes.ts';
import type { StatusWrite } from '../status-writes.ts';
import { planAnnotation } from './annotation.ts';
import type { AnnotationPlan } from './annotation.ts';
import { aspectsOf } from './aspects.ts';
import { staleNodesEvent, transitionEvents } from './events.ts';
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
  const stale = facts.departed?.programming.disconnected ?? [];
  return {
    annotation: planAnnotation(facts),
    statuses: [],
    about: facts.departed?.ref,
    events: stale.length > 0 ? [staleNodesEvent(stale)] : [],
  };
}

function planPresent(facts: PresentBinding): BindingPlan {
  const { previous, programming } = facts;
  const announcement = announcementOf(facts);
  const next = statusOf(facts, announcement ?? previous);
  const write = statusWrite(previous, next, facts);
  const events = write.kind === 'now' ? transitionEvents(previous?.conditions, next.conditions) : [];
  const stale = announcement === undefined ? [] : programming.disconnected;
  const requeueAfterMs = requeueAfter(facts, write);
  return {
    annotation: planAnnotation(facts),
    statuses: write.kind === 'now' ? [announcement, next].filter((status) => status !== undefined) : [],
    about: refOf(facts.binding),
    events: stale.length > 0 ? [...events, staleNodesEvent(stale)] : events,
    ...(requeueAfterMs !== undefined && { requeueAfterMs }),
  };
}

function requeueAfter({ annotation }: PresentBinding, write: StatusWrite): number | undefined {
  if (write.kind === 'later') return write.inMs;
  return annotation?.conflict === undefined ? undefined : conflictRetryMs;
}

function announcementOf({ previous, binding, now }: PresentBinding): WorkloadIdentityBindingStatus | undefined {
  const generation = binding.metadata.generation ?? 0;
  const conditions = announced({ previous: previous?.conditions, generation, now });
  return conditions === undefined ? undefined : { ...previous, observedGeneration: generation, conditions };
}

function statusOf(facts: PresentBinding, previous: WorkloadIdentityBindingStatus | undefined) {
  const { binding, principal, programming, workloads, now } = facts;
  const generation = binding.metadata.generation ?? 0;
  const { ready, parts } = aspectsOf(facts);
  const { desired, programmed } = programming;
  return {
    observedGeneration: generation,
    conditions: conditionsOf(ready, parts, { previous: previous?.conditions, generation, now }),
    ...(principal !== undefined && { principal }),
    nodes: { desired, programmed, summary: `${String(programmed)}/${String(desired)}` },
    workloads,
  };
}

/** What events and writes about the binding refer to. */
export function refOf({ apiVersion, kind, metadata }: PresentBinding['binding']): ObjectRef {
  const { name, namespace, uid } = metadata;
  return { apiVersion, kind, name, ...(namespace !== undefined && { namespace }), ...(uid !== undefined && { uid }) };
}
