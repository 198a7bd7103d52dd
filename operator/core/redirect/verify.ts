/** What is in the kernel, judged against the plan, and what follows from it. */
import type { Expected } from './batch.ts';
import { compareInstances, type Instance } from './instance.ts';
import { contentText, type ListedTable } from './listing.ts';
import type { Marker } from './marker.ts';
import type { RedirectPlan } from './plan.ts';
import { tableOf } from './table.ts';

export type Verdict =
  | { readonly kind: 'missing' }
  | { readonly kind: 'in-place' }
  | { readonly kind: 'drifted'; readonly handle: number }
  | { readonly kind: 'other-instance'; readonly handle: number; readonly marker: Marker }
  | { readonly kind: 'foreign-owner' };

/** `listed` is undefined if there is no table of our name. */
export function verify(listed: ListedTable | undefined, plan: RedirectPlan): Verdict {
  if (listed === undefined) return { kind: 'missing' };
  const { handle, marker, content } = listed;
  if (marker?.owner !== plan.owner) return { kind: 'foreign-owner' };
  if (compareInstances(marker.instance, plan.instance) !== 0) return { kind: 'other-instance', handle, marker };
  return content === contentText(tableOf(plan)) ? { kind: 'in-place' } : { kind: 'drifted', handle };
}

export type Step =
  | { readonly kind: 'none' }
  | { readonly kind: 'replace'; readonly expected: Expected }
  /** The table is another instance's, which is the newer one and alive. */
  | { readonly kind: 'stand-by'; readonly port: number }
  | { readonly kind: 'refuse' };

/**
 * Two instances on one host do not fight: the newest that serves has the table. It loses it to an older one only by
 * draining or by being dead, where `isOtherDead` says that nothing accepts connections where its table leads.
 */
export function nextStep(verdict: Verdict, plan: RedirectPlan, isOtherDead: boolean): Step {
  switch (verdict.kind) {
    case 'in-place':
      return { kind: 'none' };
    case 'missing':
      return { kind: 'replace', expected: verdict };
    case 'drifted':
      return { kind: 'replace', expected: { kind: 'present', handle: verdict.handle } };
    case 'other-instance':
      return takesOver(verdict.marker, plan, isOtherDead)
        ? { kind: 'replace', expected: { kind: 'present', handle: verdict.handle } }
        : { kind: 'stand-by', port: verdict.marker.port };
    case 'foreign-owner':
      return { kind: 'refuse' };
  }
}

/** An instance that drains never takes over: it would pull traffic to where it ends. */
function takesOver(other: Marker, plan: RedirectPlan, isOtherDead: boolean): boolean {
  if (plan.phase === 'draining') return false;
  return other.phase === 'draining' || isOtherDead || compareInstances(plan.instance, other.instance) > 0;
}

export type RemovalStep =
  | { readonly kind: 'none' }
  | { readonly kind: 'remove'; readonly handle: number }
  | { readonly kind: 'leave'; readonly reason: 'newer-instance' | 'foreign-owner' };

/** Whether this instance, told that its node is released, removes what is there. */
export function removalStep(listed: ListedTable | undefined, owner: string, instance: Instance): RemovalStep {
  if (listed === undefined) return { kind: 'none' };
  const { marker, handle } = listed;
  if (marker?.owner !== owner) return { kind: 'leave', reason: 'foreign-owner' };
  const isNewer = compareInstances(marker.instance, instance) > 0;
  return isNewer ? { kind: 'leave', reason: 'newer-instance' } : { kind: 'remove', handle };
}
