/** Tokens that pods ask for, and what they get. */
import type { BindingUid, ServiceAccountUid } from '../brand.ts';

export type IdentityTokenFormat = 'standard' | 'full';

/** What a pod asks for, normalised: scopes sorted and without duplicates. */
export type TokenWish =
  | { readonly kind: 'access'; readonly scopes: readonly string[] }
  | {
      readonly kind: 'identity';
      readonly audience: string;
      readonly format: IdentityTokenFormat;
    };

/** A token and when it ends (ms since the epoch). `token` is secret: never log, label, store or report it. */
export interface IssuedToken {
  readonly token: string;
  readonly expiresAt: number;
}

/** Cache key: tokens are shared by all pods of one ServiceAccount under one binding generation and epoch. */
export interface TokenKey {
  readonly binding: BindingUid;
  readonly generation: number;
  readonly epoch: string;
  readonly serviceAccount: ServiceAccountUid;
  readonly wish: TokenWish;
}

/** Why a wish is not granted. `retryAfterMs` only with `unavailable`. */
export type TokenRefusal =
  | { readonly kind: 'unknown-workload' }
  | { readonly kind: 'unbound' }
  | { readonly kind: 'scope-not-allowed'; readonly scope: string }
  | { readonly kind: 'audience-not-allowed'; readonly audience: string }
  | { readonly kind: 'no-identity-tokens' }
  | { readonly kind: 'google-refused'; readonly status: number; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly retryAfterMs: number };

export type TokenOutcome =
  | { readonly kind: 'issued'; readonly issued: IssuedToken }
  | { readonly kind: 'refused'; readonly refusal: TokenRefusal };
