/**
 * The one annotation that makes GKE's own metadata server serve a Google service account. It is applied without force,
 * so that nobody else's value is overwritten, and given back by applying nothing, which removes only what is ours.
 */
import { gkeServiceAccountAnnotation } from '../../core/names.ts';
import type { AppliedObject } from '../ports.ts';
import type { AnnotationFacts, BindingFacts, PresentBinding } from './facts.ts';

export type AnnotationPlan =
  | { readonly kind: 'keep' }
  | { readonly kind: 'write'; readonly value: string; readonly object: AppliedObject }
  | { readonly kind: 'release'; readonly object: AppliedObject };

export function planAnnotation(facts: BindingFacts): AnnotationPlan {
  const { annotation } = facts;
  if (annotation === undefined) return { kind: 'keep' };
  const { account, conflict, onGke, released } = annotation;
  const wanted = facts.kind === 'present' ? wantedAnnotation(facts) : undefined;
  if (wanted === account.gkeServiceAccount) return { kind: 'keep' };
  if (wanted !== undefined) {
    if (conflict !== undefined) return { kind: 'keep' };
    return { kind: 'write', value: wanted, object: applied(account, { [gkeServiceAccountAnnotation]: wanted }) };
  }
  const nothingOfOurs = account.gkeServiceAccount === '' || !onGke || released;
  return nothingOfOurs ? { kind: 'keep' } : { kind: 'release', object: applied(account, undefined) };
}

/** The value an accepted GKE binding needs; with access Direct GKE needs no annotation. */
export function wantedAnnotation({ acceptance, binding }: PresentBinding): string | undefined {
  if (acceptance.kind === 'rejected' || acceptance.provider.spec.type !== 'GKE') return undefined;
  return binding.spec.access === 'Impersonate' ? binding.spec.googleServiceAccount : undefined;
}

/** With the uid, so that a ServiceAccount that is gone is not created by applying to it. */
function applied({ namespace, name, uid }: AnnotationFacts['account'], annotations?: Readonly<Record<string, string>>) {
  const metadata = { name, namespace, uid, ...(annotations !== undefined && { annotations }) };
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata };
}
