/** Reads everything about one binding's key into one value. */
import type { WorkloadIdentityBinding, WorkloadIdentityBindingStatus } from '../../api/v1/index.ts';
import { splitKey } from '../../core/cluster/kinds.ts';
import { isLive } from '../../core/cluster/objects.ts';
import type { ClusterView } from '../../core/cluster/store.ts';
import type { ErrorCode } from '../../core/errors.ts';
import { acceptBinding } from '../../core/identity/accept.ts';
import type { BindingAcceptance, IdentityRules } from '../../core/identity/accept.ts';
import { principalOf } from '../../core/identity/principal.ts';
import { remedyOf } from '../../core/identity/remedy.ts';
import { bindingUid } from '../../core/identity/view.ts';
import { findCondition } from '../conditions.ts';
import type { ObjectRef, Programming, VerificationOutcome } from '../ports.ts';
import type { WrittenStatuses } from '../status-writes.ts';
import type { AnnotationMemory } from './annotation-memory.ts';
import type { AnnotationFacts, BindingFacts, PresentBinding } from './facts.ts';
import type { Verifications } from './verifications.ts';

/** A binding that was there; what is still to be said about it once it is gone. */
export interface KnownBinding {
  readonly ref: ObjectRef;
  readonly uid: string;
  readonly generation: number;
}

export interface BindingSources {
  readonly cluster: ClusterView;
  readonly rules: IdentityRules;
  readonly programming: Programming;
  readonly verifications: Verifications;
  readonly written: WrittenStatuses<WorkloadIdentityBindingStatus>;
  readonly annotations: AnnotationMemory;
  readonly known: ReadonlyMap<string, KnownBinding>;
}

/** `now`: ms since the epoch. */
export function gatherBinding(key: string, sources: BindingSources, now: number): BindingFacts {
  const { namespace, name } = splitKey(key);
  const binding = sources.cluster.binding(namespace, name);
  const annotation = annotationFacts(key, sources, now);
  if (binding !== undefined) return present({ key, binding, annotation, now }, sources);
  const known = sources.known.get(key);
  if (known === undefined) return { kind: 'absent', departed: undefined, annotation };
  const programming = sources.programming.programming(known.uid, known.generation);
  return { kind: 'absent', departed: { ref: known.ref, programming }, annotation };
}

interface Subject {
  readonly key: string;
  readonly binding: WorkloadIdentityBinding;
  readonly annotation: AnnotationFacts | undefined;
  readonly now: number;
}

function present({ key, binding, annotation, now }: Subject, sources: BindingSources): PresentBinding {
  const { cluster, written } = sources;
  const { namespace, name } = splitKey(key);
  const provider = cluster.provider(binding.spec.providerName);
  const context = { serviceAccount: cluster.serviceAccount(namespace, name), provider };
  const acceptance = acceptBinding(binding, context, sources.rules);
  const principal = provider && principalOf(provider, namespace, name);
  const verification = verificationOf(key, binding, { acceptance, verifications: sources.verifications });
  return {
    kind: 'present',
    binding,
    previous: written.previous(key, binding, now),
    acceptance,
    principal,
    workloads: cluster.podsOfServiceAccount(namespace, name).filter(isLive).length,
    programming: sources.programming.programming(bindingUid(binding), binding.metadata.generation ?? 0),
    verification,
    remedy: remedyFor({ binding, acceptance, principal, verification }),
    annotation,
    writes: written.writes(key),
    now,
  };
}

interface VerificationSources {
  readonly acceptance: BindingAcceptance;
  readonly verifications: Verifications;
}

/** Only what could serve tokens through us is verified. */
function verificationOf(key: string, binding: WorkloadIdentityBinding, from: VerificationSources) {
  const { acceptance, verifications } = from;
  if (acceptance.kind === 'rejected' || acceptance.provider.spec.type === 'GKE' || binding.spec.suspend) {
    verifications.forget(key);
    return undefined;
  }
  const { provider, serviceAccount } = acceptance;
  const before = findCondition(binding.status?.conditions, 'CredentialsVerified');
  const known = before?.status === 'True' && before.observedGeneration === binding.metadata.generation;
  return verifications.outcome(key, { binding, provider, serviceAccount }, known);
}

const errorCodes: Readonly<Record<VerificationOutcome['kind'], ErrorCode>> = {
  verified: 'google-unavailable',
  unavailable: 'google-unavailable',
  'permission-denied': 'google-permission-denied',
  rejected: 'google-rejected',
  'not-found': 'google-not-found',
};

type RemedyFacts = Pick<PresentBinding, 'binding' | 'acceptance' | 'principal' | 'verification'>;

function remedyFor({ binding, acceptance, principal, verification }: RemedyFacts): string | undefined {
  if (verification === undefined || verification.kind === 'verified') return undefined;
  if (acceptance.kind === 'rejected' || principal === undefined) return undefined;
  const failure = { code: errorCodes[verification.kind], message: verification.reason };
  return remedyOf(failure, { binding, provider: acceptance.provider, principal });
}

function annotationFacts(key: string, sources: BindingSources, now: number): AnnotationFacts | undefined {
  const { namespace, name } = splitKey(key);
  const account = sources.cluster.serviceAccount(namespace, name);
  if (account === undefined) return undefined;
  return {
    account,
    onGke: sources.cluster.providers().some(({ spec }) => spec.type === 'GKE'),
    released: sources.annotations.released(key, account),
    conflict: sources.annotations.conflict(key, account, now),
  };
}
