/** What a binding lets a workload ask for. The proxy and the controller both ask here: neither trusts the other. */
import { cloudPlatformScope } from '../names.ts';
import type { BindingView } from '../snapshot/types.ts';

/** More scopes than any Google client asks for; it bounds the size of a cache key. */
export const maxScopes = 64;
/** Characters of one scope. */
export const maxScopeLength = 256;
/** Characters of an audience. */
export const maxAudienceLength = 1024;

/** scope-token of RFC 6749: printable ASCII without space, quote and backslash. */
const scopeToken = /^[\x21\x23-\x5b\x5d-\x7e]+$/u;

/** Visible ASCII; an audience is an identifier, a client id or a URL. */
const audienceText = /^[\x21-\x7e]+$/u;

export type ScopeResolution =
  | { readonly kind: 'granted'; readonly scopes: readonly string[] }
  | { readonly kind: 'scope-not-allowed'; readonly scope: string }
  | { readonly kind: 'malformed-scopes' };

export type AudienceResolution =
  | { readonly kind: 'granted' }
  | { readonly kind: 'no-identity-tokens' }
  | { readonly kind: 'audience-not-allowed'; readonly audience: string }
  | { readonly kind: 'malformed-audience' };

type ScopeRules = Pick<BindingView, 'scopes'>;
type AudienceRules = Pick<BindingView, 'access' | 'idTokenAudiences'>;

/**
 * The scopes a workload has when it names none. The metadata tree lists the same ones, because some clients ask for
 * exactly what is listed.
 */
export function defaultScopes(binding: ScopeRules): readonly string[] {
  return binding.scopes === undefined ? usualScopes : normalise(binding.scopes);
}

const usualScopes: readonly string[] = [cloudPlatformScope];

/** Grants the requested scopes, sorted and without duplicates, or names the first one that is not allowed. */
export function resolveScopes(binding: ScopeRules, requested: readonly string[]): ScopeResolution {
  if (requested.length === 0) return { kind: 'granted', scopes: defaultScopes(binding) };
  const scopes = normalise(requested);
  if (scopes.length > maxScopes || !scopes.every(isScope)) return { kind: 'malformed-scopes' };
  const outside = scopes.find((scope) => binding.scopes?.includes(scope) === false);
  return outside === undefined ? { kind: 'granted', scopes } : { kind: 'scope-not-allowed', scope: outside };
}

/** Whether the binding allows identity tokens for this audience; compared as a whole, never by prefix. */
export function checkAudience(binding: AudienceRules, audience: string): AudienceResolution {
  if (binding.access === 'Direct') return { kind: 'no-identity-tokens' };
  if (audience.length > maxAudienceLength || !audienceText.test(audience)) return { kind: 'malformed-audience' };
  if (binding.idTokenAudiences?.includes(audience) === false) return { kind: 'audience-not-allowed', audience };
  return { kind: 'granted' };
}

function isScope(text: string): boolean {
  return text.length <= maxScopeLength && scopeToken.test(text);
}

function normalise(scopes: readonly string[]): readonly string[] {
  return [...new Set(scopes)].sort();
}
