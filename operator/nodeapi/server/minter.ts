/**
 * Tokens for proxies: authorised anew on every call, exchanged once per key however many ask, renewed in the
 * background, served while valid, and dropped at once when their binding is not the one in force any more.
 */
import type { BindingUid, PodUid } from '../../core/brand.ts';
import { errorCodeOf } from '../../core/errors.ts';
import type { Timers } from '../../core/time.ts';
import { planFreshness, renewalSpacingMs, servingOf } from '../../core/token/freshness.ts';
import type { Serving } from '../../core/token/freshness.ts';
import type { TokenKey, TokenOutcome, TokenWish } from '../../core/token/types.ts';
import { describeError } from '../../telemetry/log.ts';
import type { Logger } from '../../telemetry/log.ts';
import { withDeadline } from '../deadline.ts';
import { authorise } from './authority.ts';
import type { Grant } from './authority.ts';
import type { ProxyCaller } from './caller.ts';
import { exchange, refusalFor } from './exchange.ts';
import type { ExchangePorts } from './exchange.ts';
import { held } from './hold.ts';
import type { WorkloadLookup } from './ports.ts';
import { RateLimit } from './ratelimit.ts';
import { TokenCache } from './token-cache.ts';
import type { TokenEntry } from './token-cache.ts';

export interface MinterOptions extends ExchangePorts {
  readonly workloads: WorkloadLookup;
  readonly clock: Timers;
  readonly log: Logger;
  /** 0 ≤ random() < 1. */
  readonly random: () => number;
  /** Of one exchange, in ms; default 10,000. */
  readonly exchangeDeadlineMs?: number;
  /** Default 512. */
  readonly maxExchanges?: number;
}

export interface MintRequest {
  readonly workload: PodUid;
  readonly wish: TokenWish;
}

interface Flight {
  readonly key: TokenKey;
  /** Ends with the entry that the exchange left behind, never rejects; undefined: its binding was revoked meanwhile. */
  readonly done: Promise<TokenEntry | undefined>;
  readonly revocation: AbortController;
}

/** Exchanges of one ServiceAccount: made-up scopes and audiences must not cost others theirs. */
const exchangesPerServiceAccount = { burst: 30, perSecond: 0.5 };
const longestQuietMs = 60_000;
/** Who has a valid token in hand waits no longer than this for a better one: clients give up after 1 to 3 s. */
const patienceWithToken = 500;
/** Longer than any exchange: who has nothing waits for its end. */
const patienceWithoutToken = 60_000;

export class Minter {
  readonly #options: MinterOptions;
  readonly #cache = new TokenCache();
  readonly #flights = new Map<string, Flight>();
  readonly #limit: RateLimit;

  constructor(options: MinterOptions) {
    this.#options = options;
    this.#limit = new RateLimit(exchangesPerServiceAccount, options.clock);
    options.workloads.onBindingChange((bindings) => this.#revoke(bindings));
  }

  /** Never throws for what Kubernetes, Google or the caller did. `signal` ends the waiting, not the exchange. */
  async mint(caller: ProxyCaller, request: MintRequest, signal: AbortSignal): Promise<TokenOutcome> {
    const first = await this.#attempt(caller, request, signal);
    // The exchange ended for a reason that is not this pod's: its binding changed, or it was made for a pod that went.
    const tryAgain = isUnavailable(first, 0) && !signal.aborted;
    return tryAgain ? this.#attempt(caller, request, signal) : first;
  }

  async #attempt(caller: ProxyCaller, request: MintRequest, signal: AbortSignal): Promise<TokenOutcome> {
    const before = authorise(caller, request, this.#options.workloads);
    if (before.kind === 'refused') return before;
    const outcome = await this.#obtain(before.grant, signal);
    // While it waited the binding may have changed or the pod gone: what counts is now.
    const after = authorise(caller, request, this.#options.workloads);
    if (after.kind === 'refused') return after;
    return after.grant.cacheKey === before.grant.cacheKey ? outcome : unavailable(0);
  }

  async #obtain(grant: Grant, signal: AbortSignal): Promise<TokenOutcome> {
    const entry = this.#cache.get(grant.cacheKey);
    const serving = this.#servingOf(entry);
    if (serving === 'fresh' || this.#isQuiet(grant, entry)) return this.#outcomeOf(grant, entry);
    const flight = this.#flights.get(grant.cacheKey) ?? this.#takeOff(grant, entry);
    if ('retryAfterMs' in flight) return this.#outcomeOf(grant, entry, flight.retryAfterMs);
    const patience = patienceFor(serving, entry);
    if (patience === 0) return this.#outcomeOf(grant, entry);
    return this.#outcomeOf(grant, (await this.#landed(flight, signal, patience)) ?? entry);
  }

  #isQuiet(grant: Grant, entry: TokenEntry | undefined): boolean {
    if (entry === undefined || entry.quietUntil <= this.#options.clock.now()) return false;
    return !spoiledByAnother(grant, entry);
  }

  #servingOf(entry: TokenEntry | undefined): Serving {
    return entry?.token === undefined ? 'expired' : servingOf(entry.token.freshness, this.#options.clock.now());
  }

  /** A token that is still valid, else the refusal, else the advice to come again. */
  #outcomeOf(grant: Grant, entry: TokenEntry | undefined, retryAfterMs = 0): TokenOutcome {
    if (entry === undefined) return unavailable(retryAfterMs);
    const { token, refusal, quietUntil } = entry;
    if (token !== undefined && this.#servingOf(entry) !== 'expired') return { kind: 'issued', issued: token.issued };
    if (spoiledByAnother(grant, entry)) return unavailable(retryAfterMs);
    if (refusal !== undefined && refusal.kind !== 'unavailable') return { kind: 'refused', refusal };
    return unavailable(Math.max(retryAfterMs, quietUntil - this.#options.clock.now(), 0));
  }

  /** What the flight left behind; undefined if it was revoked, or if `signal` or patience ended first. */
  async #landed(flight: Flight, signal: AbortSignal, patience: number): Promise<TokenEntry | undefined> {
    const ended = Promise.withResolvers<undefined>();
    const onAbort = (): void => ended.resolve(undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    const cancel = this.#options.clock.after(patience, onAbort);
    const entry = await Promise.race([flight.done, ended.promise]);
    cancel();
    signal.removeEventListener('abort', onAbort);
    return entry;
  }

  #takeOff(grant: Grant, previous: TokenEntry | undefined): Flight | { readonly retryAfterMs: number } {
    if (this.#flights.size >= (this.#options.maxExchanges ?? 512)) return { retryAfterMs: 1000 };
    const retryAfterMs = this.#limit.take(grant.key.serviceAccount);
    if (retryAfterMs > 0) return { retryAfterMs };
    const revocation = new AbortController();
    const flight = { key: grant.key, revocation, done: this.#fly(grant, previous, revocation.signal) };
    this.#flights.set(grant.cacheKey, flight);
    return flight;
  }

  async #fly(grant: Grant, previous: TokenEntry | undefined, revoked: AbortSignal): Promise<TokenEntry | undefined> {
    const entry = await this.#exchange(grant, previous, revoked);
    if (revoked.aborted) return undefined;
    this.#flights.delete(grant.cacheKey);
    this.#cache.set(grant.cacheKey, entry);
    return entry;
  }

  async #exchange(grant: Grant, previous: TokenEntry | undefined, revoked: AbortSignal): Promise<TokenEntry> {
    const { clock, random, exchangeDeadlineMs = 10_000 } = this.#options;
    try {
      const once = (signal: AbortSignal) => exchange(this.#options, grant, signal);
      // Who has a token that is valid need not wait for a better one.
      const work =
        this.#servingOf(previous) === 'expired'
          ? (signal: AbortSignal) => held(clock, () => once(signal), signal)
          : once;
      const issued = await withDeadline(clock, exchangeDeadlineMs, work, revoked);
      const now = clock.now();
      const token = { issued, freshness: planFreshness('controller', issued, now, random()) };
      return { key: grant.key, token, quietUntil: now + renewalSpacingMs, refusal: undefined, failures: 0 };
    } catch (error) {
      if (!revoked.aborted) this.#logFailure(grant, error);
      return this.#failed(grant, previous, error);
    }
  }

  /** Remembers the failure for a time that doubles, with jitter, and keeps the token for as long as it is valid. */
  #failed({ key, workload }: Grant, previous: TokenEntry | undefined, error: unknown): TokenEntry {
    const { clock, random } = this.#options;
    const failures = (previous?.failures ?? 0) + 1;
    const quietMs = Math.min(longestQuietMs, 1000 * 2 ** Math.min(failures, 10)) * (0.5 + random() / 2);
    const entry = { key, token: previous?.token, quietUntil: clock.now() + quietMs, failures };
    const refusal = refusalFor(error, quietMs);
    return concernsOnlyThePod(error) ? { ...entry, refusal, spoiledBy: workload.uid } : { ...entry, refusal };
  }

  #logFailure({ workload, binding, wish }: Grant, error: unknown): void {
    this.#options.log.warn('nodeapi-exchange-failed', {
      namespace: workload.namespace,
      pod: workload.name,
      serviceAccount: workload.serviceAccount.name,
      binding: binding.name,
      kind: wish.kind,
      error: describeError(error),
    });
  }

  /** Drops all that belongs to a generation or epoch that is not in force; an exchange under way is ended. */
  #revoke(bindings: ReadonlySet<BindingUid>): void {
    const stale = (key: TokenKey): boolean => {
      const view = this.#options.workloads.binding(key.binding);
      return view?.generation !== key.generation || view.epoch !== key.epoch;
    };
    this.#cache.drop(bindings, stale);
    for (const [cacheKey, flight] of [...this.#flights]) {
      if (!bindings.has(flight.key.binding) || !stale(flight.key)) continue;
      this.#flights.delete(cacheKey);
      flight.revocation.abort();
    }
  }
}

/** How long (ms) a call waits for an exchange under way; after a first failure nobody waits for the next one. */
function patienceFor(serving: Serving, entry: TokenEntry | undefined): number {
  if (serving === 'expired') return patienceWithoutToken;
  return serving === 'wait' && entry?.failures === 0 ? patienceWithToken : 0;
}

/** The token request failed because of the pod it was made for; another pod of the ServiceAccount may succeed. */
function concernsOnlyThePod(error: unknown): boolean {
  const code = errorCodeOf(error);
  return code === 'kubernetes-not-found' || code === 'kubernetes-conflict';
}

function spoiledByAnother({ workload }: Grant, { spoiledBy }: TokenEntry): boolean {
  return spoiledBy !== undefined && spoiledBy !== workload.uid;
}

function isUnavailable(outcome: TokenOutcome, retryAfterMs: number): boolean {
  const refusal = outcome.kind === 'refused' ? outcome.refusal : undefined;
  return refusal?.kind === 'unavailable' && refusal.retryAfterMs === retryAfterMs;
}

function unavailable(retryAfterMs: number): TokenOutcome {
  return { kind: 'refused', refusal: { kind: 'unavailable', retryAfterMs: Math.ceil(retryAfterMs) } };
}
