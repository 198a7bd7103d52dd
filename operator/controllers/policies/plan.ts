/** From a situation to what is to be done about a policy: pure, and empty when nothing changed. */
import type { MetadataPolicyStatus } from '../../api/v1/index.ts';
import type { Hash } from '../../core/brand.ts';
import { sameValue } from '../../core/cluster/equal.ts';
import type { NetworkPolicy } from '../../core/cluster/objects.ts';
import type { BlockedAddresses } from '../../core/egress/addresses.ts';
import { planEgress } from '../../core/egress/plan.ts';
import type { EgressPlan, EgressReason } from '../../core/egress/plan.ts';
import type { AnyPolicy } from '../../core/snapshot/policies.ts';
import { conditionsOf, readyFrom } from '../conditions.ts';
import type { Aspect } from '../conditions.ts';
import type { AppliedObject, ObjectRef, OwnedObject } from '../ports.ts';
import { nodesOf, planStatus, programmedAspect } from '../status-plan.ts';
import type { StatusPlan } from '../status-plan.ts';
import { egressKinds, egressObjects } from './egress-objects.ts';
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
  readonly blocked: BlockedAddresses;
  readonly previous: MetadataPolicyStatus | undefined;
  readonly now: number;
  readonly lastWriteAt: number | undefined;
  readonly hash: Hash;
}

export function planPolicy(input: PolicyPlanInput): PolicyPlan {
  const { situation, existing, blocked, hash } = input;
  const egress = egressPlanOf(situation);
  const desired = egressObjects(egress, { policy: situation.policy, blocked, hash });
  return {
    deletions: deletionsOf(existing, desired),
    applications: desired.filter((object) => !isInPlace(object, existing)),
    status: planStatus(input.previous, statusOf(input, egress), {
      generation: generationOf(situation.policy),
      now: input.now,
      lastWriteAt: input.lastWriteAt,
    }),
  };
}

/** All that is left to do for a policy that is gone. */
export function planRemoval(existing: ExistingEgress): readonly Deletion[] {
  return deletionsOf(existing, []);
}

/** What policies left behind that were deleted while no controller ran; `owners` are the labels of those that exist. */
export function planSweep(
  existing: ExistingEgress,
  owners: readonly Readonly<Record<string, string>>[],
): readonly Deletion[] {
  const isOrphan = ({ labels }: { readonly labels: Readonly<Record<string, string>> }) =>
    !owners.some((owner) => carries(labels, owner));
  return planRemoval({
    networkPolicies: existing.networkPolicies.filter(isOrphan),
    denials: existing.denials.filter(isOrphan),
  });
}

/** Whether an object with `labels` has all of `wanted`. */
export function carries(labels: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => labels[key] === value);
}

const noEgress: EgressPlan = { reason: 'NothingSelected', message: '', networkPolicies: [], denials: [] };

function egressPlanOf({ egress }: PolicySituation): EgressPlan {
  return egress === undefined ? noEgress : planEgress(egress);
}

function deletionsOf(existing: ExistingEgress, desired: readonly AppliedObject[]): readonly Deletion[] {
  const wanted = new Set(desired.map(({ kind, metadata }) => identity(kind, metadata.namespace, metadata.name)));
  const networkPolicies = existing.networkPolicies.map(({ namespace, name, uid }) => ({
    ref: { apiVersion: egressKinds.NetworkPolicy, kind: 'NetworkPolicy', namespace, name },
    uid,
  }));
  const denials = existing.denials.map(({ ref }) => ({ ref, uid: ref.uid }));
  return [...networkPolicies, ...denials].filter(({ ref }) => !wanted.has(identity(ref.kind, ref.namespace, ref.name)));
}

function identity(kind: string, namespace: string | undefined, name: string): string {
  return `${kind}/${namespace ?? ''}/${name}`;
}

/** Only NetworkPolicies are in the store; the rare cluster-level kinds are applied again, which changes nothing. */
function isInPlace(object: AppliedObject, { networkPolicies }: ExistingEgress): boolean {
  const present = networkPolicies.find(
    ({ namespace, name }) => namespace === object.metadata.namespace && name === object.metadata.name,
  );
  if (present === undefined || object.kind !== 'NetworkPolicy') return false;
  const { podSelector, policyTypes, egress } = present;
  return sameValue({ podSelector, policyTypes, egress }, object['spec']);
}

function statusOf({ situation, previous, now }: PolicyPlanInput, egress: EgressPlan): MetadataPolicyStatus {
  const { policy, programming, workloads } = situation;
  const parts = [acceptedAspect(situation), programmedOf(situation), directEgressAspect(policy, egress)];
  const ready = readyFrom(parts, ({ status, reason }) => status === 'True' || reason === 'Unmanaged');
  const context = { previous: previous?.conditions, generation: generationOf(policy), now };
  return {
    ...previous,
    observedGeneration: generationOf(policy),
    conditions: conditionsOf(ready, parts, context),
    nodes: nodesOf(programming.desired, programming.programmed),
    workloads,
  };
}

function generationOf({ metadata }: AnyPolicy): number {
  return metadata.generation ?? 0;
}

function acceptedAspect({ compilation }: PolicySituation): Aspect {
  if (compilation.kind === 'compiled') {
    return { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'The policy compiles.' };
  }
  const errors = compilation.errors.map(
    ({ field, position, message }) => `${field}, character ${position + 1}: ${message}`,
  );
  const message = `${errors.join('; ')}. The last good version keeps working.`;
  return { type: 'Accepted', status: 'False', reason: 'InvalidPolicy', message };
}

function programmedOf({ compilation, programming }: PolicySituation): Aspect {
  if (compilation.kind === 'rejected') {
    const message = 'Waits until the policy compiles.';
    return { type: 'Programmed', status: 'Unknown', reason: 'InvalidPolicy', message };
  }
  return programmedAspect(programming, 'The policy selects no pod on a node with a proxy at the moment.');
}

/** `True` where nothing of what the policy selects can get past the proxy. */
const blockedReasons: ReadonlySet<EgressReason> = new Set(['Blocked', 'CoveredByOtherPolicies', 'NothingSelected']);

function directEgressAspect(policy: AnyPolicy, egress: EgressPlan): Aspect {
  const type = 'DirectEgress';
  switch (policy.spec.directEgress) {
    case 'Unmanaged':
      return { type, status: 'Unknown', reason: 'Unmanaged', message: 'directEgress: Unmanaged leaves it to others.' };
    case 'Allow':
      return {
        type,
        status: 'Unknown',
        reason: 'Unmanaged',
        message: 'directEgress: Allow excepts these pods from every block.',
      };
    case 'Deny':
      return {
        type,
        status: blockedReasons.has(egress.reason) ? 'True' : 'False',
        reason: egress.reason,
        message: egress.message,
      };
  }
}
