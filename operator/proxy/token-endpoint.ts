import { deny, type Denial } from '../core/request/denials.ts';
import type { CanonicalQuery } from '../core/request/canonical.ts';
import type { BindingView, Workload } from '../core/snapshot/types.ts';
import { reportedSeconds } from '../core/token/freshness.ts';
import { checkAudience, resolveScopes } from '../core/token/grants.ts';
import type { IssuedToken, TokenWish } from '../core/token/types.ts';
import { denyAudience, denyIdentityTokens, denyScope, denyToken } from './advice.ts';
import type { BrokerAnswer } from './owner-tokens.ts';
import { contentReply, type Reply } from './replies.ts';

export type TokenLeaf = 'token' | 'identity';

export type WishResolution =
  { readonly kind: 'wish'; readonly wish: TokenWish } | { readonly kind: 'denied'; readonly denial: Denial };

/** What the pod asks for, if its binding lets it. The controller checks the same again before it mints. */
export function wishOf(
  leaf: TokenLeaf,
  query: CanonicalQuery,
  binding: BindingView,
  workload: Workload,
): WishResolution {
  return leaf === 'token' ? accessWish(query, binding, workload) : identityWish(query, binding, workload);
}

/** The reply with the token. */
export function tokenReply(leaf: TokenLeaf, issued: IssuedToken, now: number): Reply {
  if (leaf === 'identity') return contentReply('application/text', issued.token);
  const seconds = reportedSeconds(issued, now);
  const last = lastReplies.get(issued);
  if (last?.seconds === seconds) return last.reply;
  const body = { access_token: issued.token, expires_in: seconds, token_type: 'Bearer' };
  const reply = contentReply('application/json', JSON.stringify(body));
  lastReplies.set(issued, { seconds, reply });
  return reply;
}

/** Of each token that is held: within one second all its pods get the same, and writing it out costs the most. */
const lastReplies = new WeakMap<IssuedToken, { readonly seconds: number; readonly reply: Reply }>();

/** The denial for a broker's answer that is no token. */
export function tokenDenial(
  leaf: TokenLeaf,
  answer: Exclude<BrokerAnswer, { kind: 'issued' }>,
  workload: Workload,
  binding: BindingView,
): Denial {
  if (answer.kind === 'throttled') return deny('too-many-requests');
  const denial = denyToken(answer.refusal, workload, binding);
  // gcloud asks for an identity token before every access token and goes on after a 404 only.
  return leaf === 'identity' && denial.status === 403 ? { ...denial, status: 404 } : denial;
}

function accessWish(query: CanonicalQuery, binding: BindingView, workload: Workload): WishResolution {
  const resolution = resolveScopes(binding, query.scopes ?? []);
  switch (resolution.kind) {
    case 'granted':
      return { kind: 'wish', wish: { kind: 'access', scopes: resolution.scopes } };
    case 'scope-not-allowed':
      return { kind: 'denied', denial: denyScope(binding, workload, resolution.scope) };
    case 'malformed-scopes':
      return { kind: 'denied', denial: deny('invalid-parameter', 'scopes is malformed or too long.\n') };
  }
}

function identityWish(query: CanonicalQuery, binding: BindingView, workload: Workload): WishResolution {
  const audience = query.audience ?? '';
  const resolution = checkAudience(binding, audience);
  switch (resolution.kind) {
    case 'granted':
      return { kind: 'wish', wish: { kind: 'identity', audience, format: query.format ?? 'standard' } };
    case 'no-identity-tokens':
      return { kind: 'denied', denial: denyIdentityTokens(binding, workload) };
    case 'audience-not-allowed':
      return { kind: 'denied', denial: denyAudience(binding, workload, audience) };
    case 'malformed-audience':
      return { kind: 'denied', denial: malformedAudience(audience) };
  }
}

function malformedAudience(audience: string): Denial {
  return audience === ''
    ? deny('audience-required')
    : deny('invalid-parameter', 'audience is malformed or too long.\n');
}
