/** From a situation to what is to be done about a policy: pure, and empty when nothing changed. */
import type { MetadataPolicyStatus, Reason } from '../../api/v1/index.ts';
import type { Hash } from '../../core/brand.ts';
import { sameValue } from '../../core/cluster/equal.ts';
import type { NetworkPolicy } from '../../core/cluster/objects.ts';
import { planEgress } from '../../core/egress/plan.ts';
import type { EgressPlan, EgressReason } from '../../core/egress/plan.ts';
import type { AnyPolicy } from '../../core/snapshot/policies.ts';
import { policyBounds } from '../../core/snapshot/policy-bounds.ts';
import { conditionsOf, readyFrom } from '../conditions.ts';
import type { Aspect } from '../conditions.ts';
import type { StatusCounters } from '../decisions/policy-counters.ts';
import type { AppliedObject, ObjectRef, OwnedObject } from '../ports.ts';
import { nodesOf, planStatus, programmedAspect } from '../status-plan.ts';
import type { StatusPlan } from '../status-plan.ts';
import type { RecentWrites } from '../status-writes.ts';
import { calicoTierObject, egressKinds, egressObjects } from './egress-objects.ts';
import type { PolicySituation } from './gather.ts';

export interface Deletion {
  readonly ref: ObjectRef;
  readonly uid: string;
}

export interface PolicyPlan {
  /** Carried out before anything is applied: what would widen must go at once. */
  readonly deletions: readonly Deletion[];
  readonly applications: readonly AppliedObject[];
  readonly status: StatusPlan<MetadataPolicyStatus>;
}

/** What exists of ours for the policy. */
export interface ExistingEgress {
  readonly networkPolicies: readonly NetworkPolicy[];
  readonly denials: readonly OwnedObject[];
}

export interface PolicyPlanInput {
  readonly situation: PolicySituation;
  readonly existing: ExistingEgress;
  readonly previous: MetadataPolicyStatus | undefined;
  readonly counters: StatusCounters;
  readonly now: number;
  readonly writes: RecentWrites | undefined;
  readonly hash: Hash;
}

export function planPolicy(input: PolicyPlanInput): PolicyPlan {
  const { situation, existing, hash } = input;
  const egress = egressPlanOf(situation);
  const desired = desiredObjects(situation, egress, hash);
  return {
    deletions: deletionsOf(existing, desired),
    applications: withTier(desired.filter((object) => !isInPlace(object, existing))),
    status: planStatus(input.previous, statusOf(input, egress), {
      generation: generationOf(situation.policy),
      now: input.now,
      writes: input.writes,
    }),
  };
}

/** All that is left to do for a policy that is gone. */
export function planRemoval(owned: readonly OwnedObject[]): readonly Deletion[] {
  return owned.map(({ ref }) => ({ ref, uid: ref.uid }));
}

/** What policies left behind that were deleted while no controller ran; `owners` are the labels of those that exist. */
export function planSweep(
  owned: readonly OwnedObject[],
  owners: readonly Readonly<Record<string, string>>[],
): readonly Deletion[] {
  return planRemoval(owned.filter(({ labels }) => !owners.some((owner) => carries(labels, owner))));
}

/** Whether an object with `labels` has all of `wanted`. */
export function carries(labels: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}

/** Undefined for a policy that asks for no block. */
function egressPlanOf({ egress }: PolicySituation): EgressPlan | undefined {
  return egress && planEgress(egress);
}

function desiredObjects({ policy, egress }: PolicySituation, plan: EgressPlan | undefined, hash: Hash) {
  return egress === undefined || plan === undefined
    ? []
    : egressObjects(plan, { policy, blocked: egress.blocked, hash });
}

/** Calico refuses a policy whose tier does not exist. */
function withTier(objects: readonly AppliedObject[]): readonly AppliedObject[] {
  return objects.some(({ kind }) => kind === 'GlobalNetworkPolicy') ? [calicoTierObject, ...objects] : objects;
}

function deletionsOf(existing: ExistingEgress, desired: readonly AppliedObject[]): readonly Deletion[] {
  const wanted = new Set(desired.map(({ kind, metadata }) => identity(kind, metadata.namespace, metadata.name)));
  const networkPolicies = existing.networkPolicies.map(({ namespace, name, uid }) => ({
    ref: { apiVersion: egressKinds.NetworkPolicy, kind: 'NetworkPolicy', namespace, name },
    uid,
  }));
  return [...networkPolicies, ...planRemoval(existing.denials)].filter(
    ({ ref }) => !wanted.has(identity(ref.kind, ref.namespace, ref.name)),
  );
}

function identity(kind: string, namespace: string | undefined, name: string): string {
  return `${kind}/${namespace ?? ''}/${name}`;
}

function isInPlace(object: AppliedObject, existing: ExistingEgress): boolean {
  const present = specInPlace(object, existing);
  return present !== undefined && sameValue(withoutEmptyLists(present), withoutEmptyLists(object['spec']));
}

function specInPlace({ kind, metadata }: AppliedObject, { networkPolicies, denials }: ExistingEgress): unknown {
  if (kind !== 'NetworkPolicy') {
    return denials.find(({ ref }) => ref.kind === kind && ref.name === metadata.name)?.object['spec'];
  }
  const present = networkPolicies.find(
    ({ namespace, name }) => namespace === metadata.namespace && name === metadata.name,
  );
  return present && { podSelector: present.podSelector, policyTypes: present.policyTypes, egress: present.egress };
}

/** The API server leaves empty lists out and our projection fills them in: in these specs they say the same. */
function withoutEmptyLists(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmptyLists);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, each]) => !(Array.isArray(each) && each.length === 0));
  return Object.fromEntries(entries.map(([key, each]) => [key, withoutEmptyLists(each)]));
}

function statusOf(input: PolicyPlanInput, egress: EgressPlan | undefined): MetadataPolicyStatus {
  const { situation, previous, counters, now } = input;
  const { policy, programming, workloads } = situation;
  const parts = [acceptedAspect(situation), programmedOf(situation), directEgressAspect(situation, egress)];
  const ready = readyFrom(parts, ({ status, reason }) => status === 'True' || asked.has(reason));
  const context = { previous: previous?.conditions, generation: generationOf(policy), now };
  return {
    ...previous,
    observedGeneration: generationOf(policy),
    conditions: conditionsOf(ready, parts, context),
    nodes: nodesOf(programming.desired, programming.programmed),
    workloads,
    ...counters,
  };
}

function generationOf({ metadata }: AnyPolicy): number {
  return metadata.generation ?? 0;
}

/** A status has room for some of the errors of 128 patterns. */
const mostErrors = 5;

function acceptedAspect({ compilation, inForce, isCounted }: PolicySituation): Aspect {
  if (!isCounted) return { type: 'Accepted', status: 'False', reason: 'TooManyPolicies', message: tooMany };
  if (compilation.kind === 'compiled') {
    return { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'The policy compiles.' };
  }
  const errors = compilation.errors.map(
    ({ field, position, message }) => `${field}, character ${position + 1}: ${message}`,
  );
  const more = errors.length > mostErrors ? `; and ${errors.length - mostErrors} more` : '';
  const rest = inForce === undefined ? 'Nothing of it is in effect.' : 'The last good version keeps working.';
  const message = `${errors.slice(0, mostErrors).join('; ')}${more}. ${rest}`;
  return { type: 'Accepted', status: 'False', reason: 'InvalidPolicy', message };
}

const tooMany =
  `Of the MetadataPolicies of a namespace the oldest take effect: at most ${policyBounds.policies} with at most ` +
  `${policyBounds.patterns} patterns together. This one does not. Delete or shorten others, or put their patterns together.`;

function programmedOf({ compilation, programming, isCounted }: PolicySituation): Aspect {
  if (!isCounted) {
    const message = 'Waits until the policy counts.';
    return { type: 'Programmed', status: 'Unknown', reason: 'TooManyPolicies', message };
  }
  if (compilation.kind === 'rejected') {
    const message = 'Waits until the policy compiles.';
    return { type: 'Programmed', status: 'Unknown', reason: 'InvalidPolicy', message };
  }
  return programmedAspect(programming, 'The policy selects no pod on a node with a proxy at the moment.');
}

/** `True` where nothing of what the policy selects can get past the proxy. */
const blockedReasons: ReadonlySet<EgressReason> = new Set(['Blocked', 'CoveredByOtherPolicies', 'NothingSelected']);

/** Reasons with which DirectEgress is Unknown because the user asked for no block. */
const asked: ReadonlySet<Reason> = new Set<Reason>(['Unmanaged', 'AllowedByException']);

function directEgressAspect(situation: PolicySituation, egress: EgressPlan | undefined): Aspect {
  const type = 'DirectEgress';
  if (egress !== undefined) {
    const status = blockedReasons.has(egress.reason) ? 'True' : 'False';
    return { type, status, reason: egress.reason, message: egress.message };
  }
  return { type, status: 'Unknown', ...withoutBlock(situation) };
}

function withoutBlock({ inForce, isCounted }: PolicySituation): Pick<Aspect, 'reason' | 'message'> {
  if (!isCounted) return { reason: 'TooManyPolicies', message: 'Waits until the policy counts.' };
  if (inForce === undefined) return { reason: 'InvalidPolicy', message: 'Waits until the policy compiles.' };
  if (inForce.spec.mode === 'Audit') return { reason: 'Unmanaged', message: 'mode: Audit blocks and allows nothing.' };
  if (inForce.spec.directEgress === 'Allow') {
    const message = 'directEgress: Allow excepts these pods from every block.';
    return { reason: 'AllowedByException', message };
  }
  return { reason: 'Unmanaged', message: 'directEgress: Unmanaged leaves it to others.' };
}
