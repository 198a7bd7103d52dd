import { LRUCache } from 'lru-cache';
import type { PodUid } from '../core/brand.ts';
import { MetaveilError } from '../core/errors.ts';
import type { Timers } from '../core/time.ts';
import { defaultScopes } from '../core/token/grants.ts';
import { isSameWish, tokenWishText } from '../core/token/key.ts';
import type { IssuedToken, TokenOutcome, TokenRefusal, TokenWish } from '../core/token/types.ts';
import { describeError, type LogFields, type Logger } from '../telemetry/log.ts';
import { Budget } from './budget.ts';
import type { TokenSource } from './ports.ts';
import { TokenSlot, type Holding } from './token-slot.ts';
import type { OwnerWorkloads } from './workloads.ts';

export interface OwnerParts {
  readonly source: TokenSource;
  readonly timers: Timers;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
  /** Lines about failed fetches: when the controller is away, all owners fail alike. */
  readonly failureLines: Budget;
}

export type BrokerAnswer =
  | { readonly kind: 'issued'; readonly issued: IssuedToken }
  | { readonly kind: 'refused'; readonly refusal: TokenRefusal }
  /** The pod asks for too many different tokens. */
  | { readonly kind: 'throttled' };

/** Every fetch ends after this, in ms; so does a request that has no token to fall back to. */
const fetchDeadlineMs = 10_000;
/** How long a request waits for a better token when it could be served the one that is held, in ms. */
const fallbackPatienceMs = 1_500;
/** Tokens held per owner besides the one every client asks for. */
export const maxOtherTokens = 32;

/** Fetches of these: under way together, at once after a pause, and the time after which there may be one more, in ms. */
export const otherFetches = { together: 16, burst: 32, refillMs: 1_000 } as const;

const unavailable: TokenRefusal = { kind: 'unavailable', retryAfterMs: 1_000 };
/** The outcome of a fetch that the controller did not answer; logged where it failed. */
const unanswered: TokenOutcome = { kind: 'refused', refusal: unavailable };

/** All tokens of one owner, that is of one ServiceAccount under one generation of its binding. */
export class OwnerTokens {
  readonly #parts: OwnerParts;
  readonly #default: TokenSlot;
  readonly #others = new LRUCache<string, TokenSlot>({ max: maxOtherTokens });
  readonly #fetches = new Set<AbortController>();
  readonly #budget: Budget;
  #owner: OwnerWorkloads;
  #dropped = false;

  constructor(owner: OwnerWorkloads, parts: OwnerParts) {
    this.#owner = owner;
    this.#parts = parts;
    this.#default = new TokenSlot({ kind: 'access', scopes: defaultScopes(owner.pods[0].binding) });
    this.#budget = new Budget(otherFetches.burst, otherFetches.refillMs, parts.timers.now());
  }

  get bindingName(): string {
    return this.#owner.pods[0].binding.name;
  }

  /** The pods that may be asked for; the same owner, so only their list can differ. */
  update(owner: OwnerWorkloads): void {
    this.#owner = owner;
  }

  /** Forgets everything, and ends what is under way: its result is nobody's any more. */
  drop(): void {
    this.#dropped = true;
    this.#others.clear();
    for (const fetch of this.#fetches) fetch.abort();
  }

  /** The token for a pod of this owner, at once if it is held. */
  token(pod: PodUid, wish: TokenWish): BrokerAnswer | Promise<BrokerAnswer> {
    const slot = this.#slot(wish);
    const holding = slot.holding(this.#parts.timers.now());
    switch (holding.kind) {
      case 'refused':
        return holding;
      case 'serve':
        if (holding.renew) void this.#fetch(slot, pod);
        return { kind: 'issued', issued: holding.issued };
      case 'wait':
        return this.#afterFetch(slot, pod, holding.fallback);
    }
  }

  /** Starts the next fetch that is due without anybody waiting for it; undefined if none is. */
  renewOne(): Promise<void> | undefined {
    const now = this.#parts.timers.now();
    if (this.#default.isDue(now, true)) return this.#fetch(this.#default, this.#owner.pods[0].uid);
    for (const [text, slot] of [...this.#others.entries()]) {
      if (slot.isSpent(now)) this.#others.delete(text);
      else if (slot.isDue(now, false)) return this.#fetch(slot, this.#owner.pods[0].uid);
    }
    return undefined;
  }

  #slot(wish: TokenWish): TokenSlot {
    if (isSameWish(wish, this.#default.wish)) return this.#default;
    const text = tokenWishText(wish);
    const known = this.#others.get(text);
    if (known !== undefined) return known;
    const slot = new TokenSlot(wish);
    this.#others.set(text, slot);
    return slot;
  }

  async #afterFetch(slot: TokenSlot, pod: PodUid, fallback: IssuedToken | undefined): Promise<BrokerAnswer> {
    if (slot.flight === undefined && !this.#mayFetch(slot)) {
      return fallback === undefined ? { kind: 'throttled' } : { kind: 'issued', issued: fallback };
    }
    const joined = slot.flight !== undefined;
    const patience = fallback === undefined ? fetchDeadlineMs : fallbackPatienceMs;
    await this.#within(patience, this.#fetch(slot, pod));
    if (this.#dropped) return { kind: 'refused', refusal: unavailable };
    const holding = slot.holding(this.#parts.timers.now());
    // The fetch was made in another pod's name, and that pod is gone: once more in this one's.
    const othersEnded = joined && slot.flight === undefined && holding.kind === 'wait';
    return othersEnded ? this.#afterFetch(slot, pod, holding.fallback) : this.#best(holding);
  }

  #best(holding: Holding): BrokerAnswer {
    switch (holding.kind) {
      case 'serve':
        return { kind: 'issued', issued: holding.issued };
      case 'refused':
        return holding;
      case 'wait':
        return holding.fallback === undefined
          ? { kind: 'refused', refusal: unavailable }
          : { kind: 'issued', issued: holding.fallback };
    }
  }

  /** The one token that every client asks for is never held back by what else a pod asks for. */
  #mayFetch(slot: TokenSlot): boolean {
    if (slot === this.#default) return true;
    return this.#fetches.size < otherFetches.together && this.#budget.take(this.#parts.timers.now());
  }

  #fetch(slot: TokenSlot, pod: PodUid): Promise<void> {
    slot.flight ??= this.#fly(slot, pod).finally(() => (slot.flight = undefined));
    return slot.flight;
  }

  async #fly(slot: TokenSlot, pod: PodUid): Promise<void> {
    const { timers, random } = this.#parts;
    const abort = new AbortController();
    this.#fetches.add(abort);
    const cancel = timers.after(fetchDeadlineMs, () => abort.abort());
    const outcome = await this.#ask(slot.wish, pod, abort.signal);
    cancel();
    this.#fetches.delete(abort);
    if (this.#dropped) return;
    if (outcome !== unanswered) this.#report(slot.wish, outcome);
    slot.record(outcome, timers.now(), random());
  }

  /** Never rejects, and ends when the signal does even if the source does not. */
  async #ask(wish: TokenWish, pod: PodUid, signal: AbortSignal): Promise<TokenOutcome> {
    try {
      return await Promise.race([this.#parts.source.request(pod, wish, signal), rejectedBy(signal)]);
    } catch (error) {
      this.#failed({ error: describeError(error) });
      return unanswered;
    }
  }

  #failed(about: LogFields): void {
    const { failureLines, timers, logger } = this.#parts;
    if (this.#dropped || !failureLines.take(timers.now())) return;
    logger.warn('token-failed', { binding: this.bindingName, ...about });
  }

  #report(wish: TokenWish, outcome: TokenOutcome): void {
    const { logger, timers } = this.#parts;
    const about = { binding: this.bindingName, kind: wish.kind };
    if (outcome.kind === 'issued') {
      const expiresInSeconds = Math.floor((outcome.issued.expiresAt - timers.now()) / 1000);
      logger.info('token-issued', { ...about, expiresInSeconds });
      return;
    }
    const { refusal } = outcome;
    if (refusal.kind === 'unavailable') {
      this.#failed({ reason: 'the controller asks to try again later' });
      return;
    }
    const reason = refusal.kind === 'google-refused' ? refusal.reason : refusal.kind;
    logger.warn('token-refused', { ...about, code: refusal.kind, reason });
  }

  /** Resolves when the fetch has ended or the time is over, whichever is first. */
  async #within(ms: number, fetch: Promise<void>): Promise<void> {
    let cancel = (): void => undefined;
    const timeout = new Promise<void>((resolve) => (cancel = this.#parts.timers.after(ms, resolve)));
    await Promise.race([fetch, timeout]);
    cancel();
  }
}

function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = (): void => reject(new MetaveilError('deadline-exceeded', 'the controller did not answer in time'));
    signal.addEventListener('abort', end, { once: true });
  });
}
