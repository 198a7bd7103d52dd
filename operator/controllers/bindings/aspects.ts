/** The parts a binding's Ready is made of. */
import type { Reason } from '../../api/v1/index.ts';
import { findCondition, listed, readyFrom } from '../conditions.ts';
import type { Aspect } from '../conditions.ts';
import type { VerificationOutcome } from '../ports.ts';
import { wantedAnnotation } from './annotation.ts';
import type { PresentBinding } from './facts.ts';

type State = Omit<Aspect, 'type'>;

/** Ready, then its parts in the order in which they come about. */
export function aspectsOf(facts: PresentBinding): { readonly ready: Aspect; readonly parts: readonly Aspect[] } {
  const parts = [
    { type: 'Accepted', ...accepted(facts) },
    { type: 'Programmed', ...programmed(facts) },
    { type: 'CredentialsVerified', ...verified(facts) },
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
  if (programming.rejected.length > 0) {
    const refusals = programming.rejected.map(({ node, reason }) => `${node} (${reason})`);
    return { status: 'False', reason: 'NodesRejected', message: `Rejected by ${listed(refusals)}.` };
  }
  return acknowledged(facts);
}

/** Numbers are in status.nodes: a text that counts along would be written every time. */
function acknowledged({ programming, binding }: PresentBinding): State {
  const connected = programming.desired - programming.disconnected.length;
  if (programming.programmed < connected) {
    return { status: 'Unknown', reason: 'NodesPending', message: 'Some connected nodes have not acknowledged it yet.' };
  }
  if (binding.spec.suspend) {
    return { status: 'True', reason: 'Suspended', message: 'No connected node serves a token for it.' };
  }
  if (programming.desired === 0) {
    return { status: 'True', reason: 'NoWorkloads', message: 'No pod on a node with a proxy uses it at the moment.' };
  }
  return { status: 'True', reason: 'Programmed', message: 'Every connected node that needs it has acknowledged it.' };
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
