/** What a binding's plan is made from: one frozen value, gathered at one moment. */
import type { WorkloadIdentityBinding, WorkloadIdentityBindingStatus } from '../../api/v1/index.ts';
import type { BindingAcceptance } from '../../core/identity/accept.ts';
import type { ServiceAccount } from '../../core/cluster/objects.ts';
import type { ObjectRef, ProgrammingState, VerificationOutcome } from '../ports.ts';
import type { RecentWrites } from '../status-writes.ts';

/** The ServiceAccount's GKE annotation, as far as we may touch it. */
export interface AnnotationFacts {
  readonly account: ServiceAccount;
  /** A GKE provider exists, so an annotation may be ours. */
  readonly onGke: boolean;
  /** Given back already in this state since the controller started; an apply that gives nothing back is a no-op. */
  readonly released: boolean;
  /** Why writing the wanted value over the present one failed; undefined if it has not been tried or is due again. */
  readonly conflict: string | undefined;
}

export interface PresentBinding {
  readonly kind: 'present';
  readonly binding: WorkloadIdentityBinding;
  /** The status that was written last, whether or not the watch has shown it. */
  readonly previous: WorkloadIdentityBindingStatus | undefined;
  readonly acceptance: BindingAcceptance;
  /** Member to grant roles to; undefined while the provider is unknown. */
  readonly principal: string | undefined;
  /** Live pods of the ServiceAccount. */
  readonly workloads: number;
  readonly programming: ProgrammingState;
  /** Of the present generation; undefined while the first verification is under way. */
  readonly verification: VerificationOutcome | undefined;
  /** The command that cures a failed verification. */
  readonly remedy: string | undefined;
  readonly annotation: AnnotationFacts | undefined;
  readonly writes: RecentWrites | undefined;
  /** ms since the epoch */
  readonly now: number;
}

/** No binding of that name (any more). */
export interface AbsentBinding {
  readonly kind: 'absent';
  /** The one that was there since the controller started. */
  readonly departed: { readonly ref: ObjectRef; readonly programming: ProgrammingState } | undefined;
  readonly annotation: AnnotationFacts | undefined;
}

export type BindingFacts = PresentBinding | AbsentBinding;
