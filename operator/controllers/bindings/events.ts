/** What users are told about a binding besides Ready; each event has one constructor and is sent on a transition only. */
import type { Condition } from '../../api/v1/index.ts';
import { findCondition, listed } from '../conditions.ts';
import type { KubernetesEvent } from '../ports.ts';

type Conditions = readonly Condition[] | undefined;

/** Undefined unless Google took back a permission that was there before. */
export function tokensDroppedEvent(before: Conditions, after: Conditions): KubernetesEvent | undefined {
  const [was, is] = [findCondition(before, 'CredentialsVerified'), findCondition(after, 'CredentialsVerified')];
  const takenBack = was?.status === 'True' && is?.status === 'False' && is.reason === 'PermissionDenied';
  if (!takenBack) return undefined;
  const message = `Google took a permission back; cached tokens are dropped on all connected nodes. ${is.message}`;
  return { type: 'Warning', reason: 'TokensDropped', message: message.slice(0, 1024) };
}

/** Undefined unless somebody was disconnected, who keeps serving the identity that is being taken away. */
export function staleNodesEvent(disconnected: readonly string[]): KubernetesEvent | undefined {
  if (disconnected.length === 0) return undefined;
  const message = `Nodes without a connected proxy serve what they hold until it expires: ${listed(disconnected)}.`;
  return { type: 'Warning', reason: 'NodesDisconnected', message };
}
