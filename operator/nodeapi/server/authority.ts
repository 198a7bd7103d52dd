/**
 * What a proxy may ask for. The pod must be live on the caller's own node, and its binding comes from our own store:
 * the caller says only which pod and which wish.
 */
import type { PodUid } from '../../core/brand.ts';
import { checkAudience, resolveScopes } from '../../core/token/grants.ts';
import { tokenKeyText } from '../../core/token/key.ts';
import type { BindingView } from '../../core/snapshot/types.ts';
import type { TokenKey, TokenRefusal, TokenWish } from '../../core/token/types.ts';
import type { ProxyCaller } from './caller.ts';
import type { FederationSettings, LiveWorkload, WorkloadLookup } from './ports.ts';

declare const granted: unique symbol;

/** Proof that the workload may have the wish now; only `authorise` makes it, and minting demands it. */
export interface Grant {
  readonly workload: LiveWorkload;
  readonly binding: BindingView;
  readonly provider: FederationSettings;
  /** Normalised: scopes are resolved, sorted and never empty. */
  readonly wish: TokenWish;
  readonly key: TokenKey;
  /** Text of the key and of where the token comes from: a provider that changed shares nothing with what it was. */
  readonly cacheKey: string;
  readonly [granted]: true;
}

export type Authorisation =
  { readonly kind: 'granted'; readonly grant: Grant } | { readonly kind: 'refused'; readonly refusal: TokenRefusal };

export function authorise(
  caller: ProxyCaller,
  request: { readonly workload: PodUid; readonly wish: TokenWish },
  workloads: WorkloadLookup,
): Authorisation {
  const workload = workloads.find(request.workload);
  // The same answer for a pod elsewhere and for none at all: a proxy learns nothing of other nodes.
  if (workload?.uid !== request.workload || workload.nodeName !== caller.pod.nodeName)
    return refused({ kind: 'unknown-workload' });
  if (workload.identity.kind === 'unbound' || workload.provider === undefined) return refused({ kind: 'unbound' });
  const { binding } = workload.identity;
  const allowed = allowedWish(binding, request.wish);
  if (allowed.kind !== 'allowed') return refused(allowed);
  return { kind: 'granted', grant: grantOf(workload, { binding, provider: workload.provider, wish: allowed.wish }) };
}

function allowedWish(
  binding: BindingView,
  wish: TokenWish,
): TokenRefusal | { readonly kind: 'allowed'; readonly wish: TokenWish } {
  if (wish.kind === 'identity') {
    const resolution = checkAudience(binding, wish.audience);
    if (resolution.kind === 'granted') return { kind: 'allowed', wish };
    return resolution.kind === 'malformed-audience'
      ? { kind: 'audience-not-allowed', audience: wish.audience }
      : resolution;
  }
  const resolution = resolveScopes(binding, wish.scopes);
  if (resolution.kind === 'granted') return { kind: 'allowed', wish: { kind: 'access', scopes: resolution.scopes } };
  return resolution.kind === 'malformed-scopes' ? { kind: 'scope-not-allowed', scope: '' } : resolution;
}

function grantOf(workload: LiveWorkload, exchange: Pick<Grant, 'binding' | 'provider' | 'wish'>): Grant {
  const { binding, provider, wish } = exchange;
  const key: TokenKey = {
    binding: binding.uid,
    generation: binding.generation,
    epoch: binding.epoch,
    serviceAccount: workload.serviceAccount.uid,
    wish,
  };
  const cacheKey = `${tokenKeyText(key)}${JSON.stringify([provider.audience, provider.universeDomain])}`;
  // The one place where the brand is given.
  return { workload, ...exchange, key, cacheKey } as Grant;
}

function refused(refusal: TokenRefusal): Authorisation {
  return { kind: 'refused', refusal };
}
