import type { PodUid } from '../brand.ts';
import type { BindingView, Workload } from '../snapshot/types.ts';
import type { TokenKey, TokenWish } from './types.ts';

/** Whose token it is, without what was asked for: one text per binding, generation, epoch and ServiceAccount. */
export type TokenOwner = Omit<TokenKey, 'wish'>;

/** A workload that has a binding, reduced to what minting and caching need. */
export interface BoundWorkload {
  readonly uid: PodUid;
  readonly owner: TokenOwner;
  readonly binding: BindingView;
}

/** The workload with its token owner, or undefined if it has no binding. */
export function boundWorkload(workload: Workload): BoundWorkload | undefined {
  if (workload.identity.kind === 'unbound') return undefined;
  const { binding } = workload.identity;
  return {
    uid: workload.uid,
    binding,
    owner: {
      binding: binding.uid,
      generation: binding.generation,
      epoch: binding.epoch,
      serviceAccount: workload.serviceAccount.uid,
    },
  };
}

/**
 * Stable text of an owner. JSON quotes each part, so that no choice of names, scopes or audiences by a tenant can
 * make two different keys one text.
 */
export function tokenOwnerText(owner: TokenOwner): string {
  return JSON.stringify([owner.binding, owner.generation, owner.epoch, owner.serviceAccount]);
}

/** Stable text of a wish; scopes are sorted already, see `resolveScopes`. */
export function tokenWishText(wish: TokenWish): string {
  return wish.kind === 'access'
    ? JSON.stringify(['access', ...wish.scopes])
    : JSON.stringify(['identity', wish.audience, wish.format]);
}

/** Whether two wishes have the same text; cheaper than writing both. */
export function isSameWish(one: TokenWish, other: TokenWish): boolean {
  if (one.kind === 'access' && other.kind === 'access') {
    return one.scopes.length === other.scopes.length && one.scopes.every((scope, at) => scope === other.scopes[at]);
  }
  return tokenWishText(one) === tokenWishText(other);
}

/** Stable text of a whole cache key. */
export function tokenKeyText(key: TokenKey): string {
  return `${tokenOwnerText(key)}${tokenWishText(key.wish)}`;
}
