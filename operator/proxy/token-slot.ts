import {
  planFreshness,
  renewalSpacingMs,
  reportedSeconds,
  servingOf,
  type Freshness,
} from '../core/token/freshness.ts';
import type { IssuedToken, TokenOutcome, TokenRefusal, TokenWish } from '../core/token/types.ts';

/** How long a refusal is repeated without asking again, in ms. Short: people are waiting for their grant to work. */
const refusedForMs = 10_000;
/** Bounds of the pause after a failure; the controller may ask for something in between. */
const shortestPauseMs = 1_000;
const longestPauseMs = 5_000;
/** The longest pause between two attempts that nobody waits for. */
const longestBackgroundPauseMs = 60_000;

/** What a slot says to a request at one moment. */
export type Holding =
  /** Serve this; `renew`: and fetch the next one meanwhile. */
  | { readonly kind: 'serve'; readonly issued: IssuedToken; readonly renew: boolean }
  /** Fetch first; `fallback` is still valid and served if that brings nothing. */
  | { readonly kind: 'wait'; readonly fallback: IssuedToken | undefined }
  | { readonly kind: 'refused'; readonly refusal: TokenRefusal };

/** The cached token of one wish of one owner: what is held, what was refused, and when to ask again. */
export class TokenSlot {
  readonly wish: TokenWish;
  /** The fetch under way, if there is one; it settles when `record` was called. */
  flight: Promise<void> | undefined;
  #issued: IssuedToken | undefined;
  #freshness: Freshness | undefined;
  #refusal: TokenRefusal | undefined;
  #askAgainAt = 0;
  #backgroundAt = 0;
  #failures = 0;
  #used = false;

  constructor(wish: TokenWish) {
    this.wish = wish;
  }

  /** Asked for a request, which counts as use: a used token is renewed. */
  holding(now: number): Holding {
    this.#used = true;
    const mayAsk = now >= this.#askAgainAt;
    const issued = this.#valid(now);
    if (issued === undefined) return this.#empty(mayAsk);
    switch (this.#serving(now)) {
      case 'fresh':
        return { kind: 'serve', issued, renew: false };
      case 'renew':
        return { kind: 'serve', issued, renew: mayAsk };
      default:
        return mayAsk ? { kind: 'wait', fallback: issued } : { kind: 'serve', issued, renew: false };
    }
  }

  /** Whether a fetch that nobody waits for is due. `keep`: also when no pod has used the token since it came. */
  isDue(now: number, keep: boolean): boolean {
    if (this.flight !== undefined || now < this.#backgroundAt) return false;
    const serving = this.#serving(now);
    if (serving === 'fresh') return false;
    return keep || (this.#used && serving !== 'expired');
  }

  /** Whether the slot is of no use any more. */
  isSpent(now: number): boolean {
    return this.flight === undefined && this.#valid(now) === undefined && now >= this.#askAgainAt;
  }

  /** Takes what a fetch brought. `jitter`: 0 ≤ jitter < 1. */
  record(outcome: TokenOutcome, now: number, jitter: number): void {
    if (outcome.kind === 'issued') this.#receive(outcome.issued, now, jitter);
    else this.#refuse(outcome.refusal, now, jitter);
  }

  #empty(mayAsk: boolean): Holding {
    if (mayAsk || this.#refusal === undefined) return { kind: 'wait', fallback: undefined };
    return { kind: 'refused', refusal: this.#refusal };
  }

  #receive(issued: IssuedToken, now: number, jitter: number): void {
    const held = this.#valid(now);
    // The same token is not better for having taken a shorter way this time.
    const better = held === undefined || (issued.token !== held.token && issued.expiresAt > held.expiresAt);
    // One that has ended on arrival: asking again at once would bring it again.
    if (!better || reportedSeconds(issued, now) === 0) {
      this.#postpone(now, renewalSpacingMs, jitter);
      return;
    }
    this.#issued = issued;
    this.#freshness = planFreshness('proxy', issued, now, jitter);
    this.#refusal = undefined;
    this.#failures = 0;
    this.#used = false;
    this.#askAgainAt = now;
    this.#backgroundAt = now;
  }

  #refuse(refusal: TokenRefusal, now: number, jitter: number): void {
    this.#refusal = refusal;
    if (endsToken(refusal)) this.#issued = undefined;
    this.#postpone(now, pauseAfter(refusal), jitter);
  }

  #postpone(now: number, pauseMs: number, jitter: number): void {
    this.#refusal ??= { kind: 'unavailable', retryAfterMs: pauseMs };
    this.#askAgainAt = now + pauseMs;
    const backoff = Math.min(longestBackgroundPauseMs, shortestPauseMs * 2 ** this.#failures);
    this.#backgroundAt = now + Math.max(pauseMs, backoff * (0.5 + jitter / 2));
    this.#failures = Math.min(this.#failures + 1, 10);
  }

  #valid(now: number): IssuedToken | undefined {
    return this.#serving(now) === 'expired' ? undefined : this.#issued;
  }

  #serving(now: number): ReturnType<typeof servingOf> {
    if (this.#issued === undefined || this.#freshness === undefined) return 'expired';
    return servingOf(this.#freshness, now);
  }
}

/** Refusals that speak of the binding itself: what is cached must not be served either. */
function endsToken(refusal: TokenRefusal): boolean {
  switch (refusal.kind) {
    case 'unbound':
    case 'scope-not-allowed':
    case 'audience-not-allowed':
    case 'no-identity-tokens':
      return true;
    // Google's own no reaches the nodes as a new epoch once it is verified; a single one may be a passing fault.
    case 'google-refused':
    case 'unknown-workload':
    case 'unavailable':
      return false;
  }
}

function pauseAfter(refusal: TokenRefusal): number {
  switch (refusal.kind) {
    case 'unavailable':
      return Math.min(Math.max(refusal.retryAfterMs, shortestPauseMs), longestPauseMs);
    // It speaks of one pod; another pod of the same ServiceAccount may ask at once.
    case 'unknown-workload':
      return 0;
    default:
      return refusedForMs;
  }
}
