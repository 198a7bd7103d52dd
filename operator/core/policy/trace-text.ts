/** A trace for people: in the proxy's log, in `explain` and in the embedded default alike. */
import type { PolicyReference, TraceStep } from './decision.ts';

/** The steps of an evaluation on one line. */
export function traceText(trace: readonly TraceStep[]): string {
  return trace.map(stepText).join(' > ');
}

/** `kind/namespace/name`, or `MetadataProxy` for its default profile. */
export function referenceText(policy: PolicyReference | 'MetadataProxy'): string {
  if (policy === 'MetadataProxy') return policy;
  return [policy.kind, policy.namespace, policy.name].filter((part) => part !== '').join('/');
}

function stepText(step: TraceStep): string {
  const parts: string[] = [step.step];
  if ('profile' in step) parts.push(step.profile);
  if ('from' in step) parts.push(referenceText(step.from));
  if ('by' in step) parts.push(step.by === 'profile' ? step.by : referenceText(step.by));
  if ('policy' in step) parts.push(referenceText(step.policy));
  if ('pattern' in step) parts.push(step.pattern);
  if ('row' in step) parts.push(step.row);
  return parts.join(' ');
}
