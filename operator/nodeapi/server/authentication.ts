/**
 * From an Authorization header to a caller. A token is reviewed once and remembered by its hash until it ends or its
 * pod is gone, so the API server may be away; whether the pod is live and where it runs is asked anew on every call.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { PodUid } from '../../core/brand.ts';
import type { Timers } from '../../core/time.ts';
import { withDeadline } from '../deadline.ts';
import { proxyOf } from './caller.ts';
import type { CallerVerdict } from './caller.ts';
import { bearerToken, readClaims } from './credential.ts';
import type { CredentialClaims } from './credential.ts';
import type { AuthenticatedUser, ProxyPods, TokenReview, TokenReviewer } from './ports.ts';
import { RateLimit } from './ratelimit.ts';

export interface AuthenticationOptions {
  readonly reviewer: TokenReviewer;
  readonly pods: ProxyPods;
  readonly clock: Timers;
  readonly audience: string;
  /** `system:serviceaccount:<namespace>:<name>` of the proxy. */
  readonly proxyUsername: string;
}

const reviewDeadlineMs = 5000;
const maxReviewsAtOnce = 64;
/** Kubelet renews the token of a pod about every 48 min; the rest is for restarts. */
const reviewsPerPod = { burst: 8, perSecond: 0.1 };
/** A pod has the token in use and the one before it. */
const reviewedTokensPerPod = 4;
/** A rejected token stays rejected, but the API server's caches may lag behind a new pod for a moment. */
const rejectionMs = 10_000;
const maxRejections = 4096;

type Reviewed = TokenReview | { readonly kind: 'limited'; readonly retryAfterMs: number };

export class Authentication {
  readonly #options: AuthenticationOptions;
  readonly #accepted = new Map<PodUid, Map<string, AuthenticatedUser>>();
  /** Hash → until when (ms). */
  readonly #rejected = new LRUCache<string, number>({ max: maxRejections });
  readonly #flights = new Map<string, Promise<TokenReview>>();
  readonly #limit: RateLimit;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
    this.#limit = new RateLimit(reviewsPerPod, options.clock);
    options.pods.onGone((pod) => this.#accepted.delete(pod));
  }

  /** Never throws. `headers`: all values of Authorization. */
  async callerOf(headers: readonly string[] | undefined): Promise<CallerVerdict> {
    const token = bearerToken(headers);
    if (token === undefined) return { kind: 'nobody', code: 'credential-missing' };
    const claims = readClaims(token);
    if (claims === undefined) return { kind: 'nobody', code: 'credential-malformed' };
    const early = this.#refusedByClaims(claims);
    return early ?? this.#decide(token, claims);
  }

  #refusedByClaims(claims: CredentialClaims): CallerVerdict | undefined {
    const { audience, proxyUsername, pods, clock } = this.#options;
    if (!claims.audiences.includes(audience)) return { kind: 'nobody', code: 'credential-malformed' };
    if (claims.subject !== proxyUsername) return { kind: 'nobody', code: 'not-the-proxy' };
    if (claims.expiresAt <= clock.now()) return { kind: 'nobody', code: 'credential-expired' };
    return pods.find(claims.podUid) === undefined ? { kind: 'nobody', code: 'pod-unknown' } : undefined;
  }

  async #decide(token: string, claims: CredentialClaims): Promise<CallerVerdict> {
    const hash = createHash('sha256').update(token).digest('base64url');
    const review = await this.#review(token, hash, claims.podUid);
    if (review.kind === 'limited')
      return { kind: 'nobody', code: 'review-unavailable', retryAfterMs: review.retryAfterMs };
    if (review.kind === 'unavailable') return { kind: 'nobody', code: 'review-unavailable', retryAfterMs: 1000 };
    if (review.kind === 'rejected') return { kind: 'nobody', code: 'credential-rejected' };
    const { proxyUsername, pods } = this.#options;
    const verdict = proxyOf(review.user, proxyUsername, pods);
    if (verdict.kind === 'nobody') return verdict;
    this.#remember(verdict.pod.uid, hash, review.user);
    return { ...verdict, credentialExpiresAt: claims.expiresAt };
  }

  async #review(token: string, hash: string, pod: PodUid): Promise<Reviewed> {
    const user = this.#accepted.get(pod)?.get(hash);
    if (user !== undefined) return { kind: 'authenticated', user };
    if ((this.#rejected.get(hash) ?? 0) > this.#options.clock.now()) return { kind: 'rejected' };
    const flight = this.#flights.get(hash);
    if (flight !== undefined) return flight;
    const retryAfterMs = this.#flights.size >= maxReviewsAtOnce ? 1000 : this.#limit.take(pod);
    return retryAfterMs > 0 ? { kind: 'limited', retryAfterMs } : this.#start(token, hash);
  }

  #start(token: string, hash: string): Promise<TokenReview> {
    const { reviewer, audience, clock } = this.#options;
    const flight = withDeadline(clock, reviewDeadlineMs, (signal) => reviewer.review(token, audience, signal))
      .catch((): TokenReview => ({ kind: 'unavailable' }))
      .then((review) => {
        if (review.kind === 'rejected') this.#rejected.set(hash, clock.now() + rejectionMs);
        return review;
      })
      .finally(() => this.#flights.delete(hash));
    this.#flights.set(hash, flight);
    return flight;
  }

  #remember(pod: PodUid, hash: string, user: AuthenticatedUser): void {
    const tokens = this.#accepted.get(pod) ?? new Map<string, AuthenticatedUser>();
    tokens.set(hash, user);
    const [oldest] = tokens.keys();
    if (tokens.size > reviewedTokensPerPod && oldest !== undefined) tokens.delete(oldest);
    this.#accepted.set(pod, tokens);
  }
}
