/** The parts a binding's Ready is made of. */
import type { Reason } from '../../api/v1/index.ts';
import { findCondition, readyFrom } from '../conditions.ts';
import type { Aspect } from '../conditions.ts';
import type { VerificationOutcome } from '../ports.ts';
import { programmedAspect } from '../status-plan.ts';
import { wantedAnnotation } from './annotation.ts';
import type { PresentBinding } from './facts.ts';

type State = Omit<Aspect, 'type'>;

/** Ready, then its parts in the order in which they come about. */
export function aspectsOf(facts: PresentBinding): { readonly ready: Aspect; readonly parts: readonly Aspect[] } {
  const parts = [
    { ...accepted(facts), type: 'Accepted' },
    { ...programmed(facts), type: 'Programmed' },
    { ...verified(facts), type: 'CredentialsVerified' },
  ];
  return { ready: facts.binding.spec.suspend ? suspendedOr(parts) : readyOf(parts), parts };
}

function readyOf(parts: readonly Aspect[]): Aspect {
  return readyFrom(parts, ({ status, reason }) => status === 'True' || reason === 'Managed');
}

/** A binding that could not take effect anyway says so first: lifting the suspension would not help. */
function suspendedOr(parts: readonly Aspect[]): Aspect {
  const [acceptance] = parts;
  if (acceptance?.status === 'False') return { ...acceptance, type: 'Ready' };
  return { type: 'Ready', status: 'False', reason: 'Suspended', message: suspendedMessage };
}

const suspendedMessage = 'spec.suspend is true: no token is served. Set it to false to serve again.';

function accepted({ acceptance }: PresentBinding): State {
  if (acceptance.kind === 'rejected') {
    return { status: 'False', reason: acceptance.reason, message: acceptance.message };
  }
  const { serviceAccount, provider } = acceptance;
  const message = `ServiceAccount ${serviceAccount.name} and WorkloadIdentityProvider ${provider.metadata.name} exist.`;
  return { status: 'True', reason: 'Accepted', message };
}

function programmed(facts: PresentBinding): State {
  const { acceptance, programming } = facts;
  if (acceptance.kind === 'rejected') return waitingFor(acceptance.reason);
  if (acceptance.provider.spec.type === 'GKE') return managed(facts);
  const state = programmedAspect(programming, 'No pod on a node with a proxy uses it at the moment.');
  const isOut = facts.binding.spec.suspend && state.reason === 'NoWorkloads';
  return isOut ? { ...state, reason: 'Suspended', message: 'No connected node serves a token for it.' } : state;
}

function managed(facts: PresentBinding): State {
  const wanted = wantedAnnotation(facts);
  if (wanted === undefined || wanted === facts.annotation?.account.gkeServiceAccount) {
    return { status: 'True', reason: 'Managed', message: "GKE's metadata server serves this identity." };
  }
  const conflict = facts.annotation?.conflict;
  if (conflict === undefined) {
    return { status: 'Unknown', reason: 'Pending', message: 'The annotation is being written.' };
  }
  const message = `The annotation iam.gke.io/gcp-service-account belongs to somebody else: ${conflict} Remove it there.`;
  return { status: 'False', reason: 'AnnotationConflict', message };
}

function waitingFor(reason: Reason): State {
  return { status: 'Unknown', reason, message: 'Waits until the binding is accepted.' };
}

const failures: Readonly<Record<Exclude<VerificationOutcome['kind'], 'verified' | 'unavailable'>, Reason>> = {
  'permission-denied': 'PermissionDenied',
  rejected: 'ExchangeRejected',
  'not-found': 'GoogleServiceAccountNotFound',
};

function verified(facts: PresentBinding): State {
  const { acceptance, verification } = facts;
  if (acceptance.kind === 'rejected') return waitingFor(acceptance.reason);
  if (acceptance.provider.spec.type === 'GKE') {
    return { status: 'Unknown', reason: 'Managed', message: 'GKE exchanges the tokens; nothing is verified here.' };
  }
  if (facts.binding.spec.suspend) {
    return { status: 'Unknown', reason: 'Suspended', message: 'Nothing is verified while the binding is suspended.' };
  }
  return outcomeState(facts, verification);
}

function outcomeState(facts: PresentBinding, verification: VerificationOutcome | undefined): State {
  if (verification === undefined) return knownBefore(facts) ?? unknownYet(undefined);
  switch (verification.kind) {
    case 'verified':
      return { status: 'True', reason: 'Verified', message: 'A real exchange with Google succeeded.' };
    case 'unavailable':
      return knownBefore(facts) ?? unknownYet(verification.reason);
    default:
      return failed(failures[verification.kind], verification.reason, facts.remedy);
  }
}

/** What was found out for this generation holds until Google itself says otherwise: a network error never does. */
function knownBefore({ previous, binding }: PresentBinding): State | undefined {
  const known = findCondition(previous?.conditions, 'CredentialsVerified');
  if (known === undefined || known.status === 'Unknown') return undefined;
  if (known.observedGeneration !== binding.metadata.generation) return undefined;
  return { status: known.status, reason: known.reason as Reason, message: known.message };
}

function unknownYet(unavailable: string | undefined): State {
  if (unavailable === undefined) {
    const message = 'The first exchange with Google has not finished yet.';
    return { status: 'Unknown', reason: 'VerificationPending', message };
  }
  return { status: 'Unknown', reason: 'VerificationUnavailable', message: `Google could not be asked: ${unavailable}` };
}

function failed(reason: Reason, said: string, remedy: string | undefined): State {
  const message = remedy === undefined ? said : `${said} To fix it, run: ${remedy}`;
  return { status: 'False', reason, message: message.slice(0, 32_768) };
}
