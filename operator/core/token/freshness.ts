/**
 * When a cached token is served, renewed in the background, or renewed before it is served.
 *
 * Google's clients renew up to 300 s before expiry; one that gets less than that asks again on every call. So no
 * token is handed to a pod with less than 330 s left, unless nothing better can be had: then the truth is told,
 * because a pod that is told more would use a token that has ended.
 *
 * Two caches stand in a row. The controller renews earlier than the proxies ask, so that a proxy which renews does
 * not get back the token it already has.
 */
import type { IssuedToken } from './types.ts';

/** Reported lifetimes stay above this, in ms. */
export const minimumReportedMs = 330_000;

/** After a renewal that failed or brought nothing better, the next one waits this long, in ms. */
export const renewalSpacingMs = 10_000;

/** The longest time before the minimum at which one cache renews, in ms; jitter picks a point in it. */
const longestLeadMs = 240_000;

/** Which of the two caches in a row asks. */
export type CacheTier = 'proxy' | 'controller';

/** Moments (ms since the epoch) at which the treatment of one cached token changes. */
export interface Freshness {
  /** From here on it is renewed in the background. */
  readonly renewAt: number;
  /** From here on a request waits for the renewal, and gets this token only if that fails. */
  readonly waitAt: number;
  readonly expiresAt: number;
}

export type Serving = 'fresh' | 'renew' | 'wait' | 'expired';

/**
 * Plans one token's life in a cache. `receivedAt`: when this cache got it (ms); `jitter`: 0 ≤ jitter < 1, so that
 * tokens issued together are not renewed together.
 */
export function planFreshness(tier: CacheTier, issued: IssuedToken, receivedAt: number, jitter: number): Freshness {
  const lifetime = Math.max(0, issued.expiresAt - receivedAt);
  // A token that is short from the start: half of it is the best that can be kept in hand.
  const minimum = lifetime > minimumReportedMs ? minimumReportedMs : lifetime / 2;
  const lead = Math.min((lifetime - minimum) / 4, longestLeadMs);
  const waitLead = tier === 'controller' ? minimum + lead : minimum;
  return {
    renewAt: issued.expiresAt - waitLead - lead * (1 + jitter) * 0.5,
    waitAt: issued.expiresAt - waitLead,
    expiresAt: issued.expiresAt,
  };
}

/** How a token is treated now. */
export function servingOf(freshness: Freshness, now: number): Serving {
  if (reportedSeconds(freshness, now) <= 0) return 'expired';
  if (now >= freshness.waitAt) return 'wait';
  return now >= freshness.renewAt ? 'renew' : 'fresh';
}

/** `expires_in`: whole seconds that really remain, rounded down; never negative. */
export function reportedSeconds(issued: Pick<IssuedToken, 'expiresAt'>, now: number): number {
  return Math.max(0, Math.floor((issued.expiresAt - now) / 1000));
}
