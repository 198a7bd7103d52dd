/** What users are told about a binding; each event has one constructor and is sent on a transition only. */
import type { Condition } from '../../api/v1/index.ts';
import { findCondition, listed } from '../conditions.ts';
import type { KubernetesEvent } from '../ports.ts';

type Conditions = readonly Condition[] | undefined;

export function transitionEvents(before: Conditions, after: Conditions): readonly KubernetesEvent[] {
  const tokensDropped = permissionTaken(before, after);
  const ready = changedCondition(before, after, 'Ready');
  return [...(tokensDropped ? [droppedEvent(after)] : []), ...(ready === undefined ? [] : readyEvents(ready))];
}

/** Whoever was disconnected keeps serving the identity that is being taken away. */
export function staleNodesEvent(disconnected: readonly string[]): KubernetesEvent {
  const message = `Nodes without a connected proxy serve what they hold until it expires: ${listed(disconnected)}.`;
  return { type: 'Warning', reason: 'NodesDisconnected', message };
}

function readyEvents({ status, reason, message }: Condition): readonly KubernetesEvent[] {
  if (status === 'Unknown') return [];
  if (status === 'True') return [{ type: 'Normal', reason: 'Ready', message: 'Pods can get tokens.' }];
  return [{ type: 'Warning', reason, message }];
}

function droppedEvent(after: Conditions): KubernetesEvent {
  const said = findCondition(after, 'CredentialsVerified')?.message ?? '';
  const message = `Google took a permission back; cached tokens are dropped on all connected nodes. ${said}`;
  return { type: 'Warning', reason: 'TokensDropped', message };
}

function permissionTaken(before: Conditions, after: Conditions): boolean {
  const now = changedCondition(before, after, 'CredentialsVerified');
  const was = findCondition(before, 'CredentialsVerified');
  return was?.status === 'True' && now?.status === 'False' && now.reason === 'PermissionDenied';
}

/** The condition as it is after, if its status or reason is another one than before. */
function changedCondition(before: Conditions, after: Conditions, type: string): Condition | undefined {
  const [was, is] = [findCondition(before, type), findCondition(after, type)];
  return was?.status === is?.status && was?.reason === is?.reason ? undefined : is;
}
