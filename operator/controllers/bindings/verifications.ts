/**
 * When bindings are verified, and what came of it. Verification runs beside the reconciliation, so that an STS that
 * hangs holds up no status; it is spread over time, so that 10,000 bindings are no burst to Google.
 */
import { canonicalJson } from '../../core/snapshot/canonical.ts';
import type { Timers } from '../../core/time.ts';
import type { VerificationOutcome, VerificationRequest, Verifier } from '../ports.ts';
import { KeyedQueue } from '../queue.ts';
import type { ReconcileResult } from '../queue.ts';

export interface VerificationsOptions {
  readonly verifier: Verifier;
  readonly timers: Timers;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly onOutcome: (key: string, request: VerificationRequest, outcome: VerificationOutcome) => void;
  /** Least time between the starts of two verifications; default 100. */
  readonly spacingMs?: number;
  /** Mean time between verifications of a binding that holds; default one hour. */
  readonly intervalMs?: number;
}

interface Entry {
  readonly fingerprint: string;
  readonly request: VerificationRequest;
  /** Aborted when another request takes this one's place. */
  readonly superseded: AbortController;
  outcome: VerificationOutcome | undefined;
  failures: number;
  /** When its turn is, ms since the epoch; undefined while it has not asked for one. */
  turnAt: number | undefined;
}

const hourMs = 3_600_000;
/** After a restart bindings that were verified before are looked at again within this time. */
const catchUpMs = 300_000;
const firstRetryMs = 10_000;
const longestRetryMs = 600_000;

export class Verifications {
  readonly #options: VerificationsOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #queue: KeyedQueue;
  #nextTurnAt = 0;

  constructor(options: VerificationsOptions) {
    this.#options = options;
    this.#queue = new KeyedQueue({
      reconcile: (key, signal) => this.#verify(key, signal),
      timers: options.timers,
      random: options.random,
      onFailure: () => undefined,
    });
    this.#queue.start();
  }

  /**
   * The last outcome for exactly this request, if there is one; a request that differs from the last is verified soon.
   * `known`: an earlier process verified it, there is no hurry.
   */
  outcome(key: string, request: VerificationRequest, known: boolean): VerificationOutcome | undefined {
    const fingerprint = fingerprintOf(request);
    const entry = this.#entries.get(key);
    if (entry?.fingerprint === fingerprint) return entry.outcome;
    // Whatever is under way is about something else now; waiting for its end would hold up the new request.
    entry?.superseded.abort();
    const superseded = new AbortController();
    this.#entries.set(key, { fingerprint, request, superseded, outcome: undefined, failures: 0, turnAt: undefined });
    if (known && entry === undefined) this.#queue.addAfter(key, catchUpMs * this.#options.random());
    else this.#queue.add(key);
    return undefined;
  }

  /** The binding is gone, suspended or not accepted. */
  forget(key: string): void {
    this.#entries.get(key)?.superseded.abort();
    this.#entries.delete(key);
  }

  stop(): Promise<void> {
    return this.#queue.stop();
  }

  async #verify(key: string, signal: AbortSignal): Promise<ReconcileResult> {
    const entry = this.#entries.get(key);
    if (entry === undefined) return {};
    const waitMs = this.#takeTurn(entry);
    if (waitMs > 0) return { requeueAfterMs: waitMs };
    entry.turnAt = undefined;
    const until = AbortSignal.any([signal, entry.superseded.signal]);
    const outcome = await this.#options.verifier.verify(entry.request, until);
    // Changed or gone meanwhile: this outcome is about something else, and the new one is already queued.
    if (this.#entries.get(key) !== entry || signal.aborted) return {};
    entry.outcome = outcome;
    entry.failures = outcome.kind === 'verified' ? 0 : entry.failures + 1;
    this.#options.onOutcome(key, entry.request, outcome);
    return { requeueAfterMs: this.#pause(entry) };
  }

  /** How long until it is this entry's turn; 0 if it is now. */
  #takeTurn(entry: Entry): number {
    const now = this.#options.timers.now();
    if (entry.turnAt === undefined) {
      entry.turnAt = Math.max(now, this.#nextTurnAt);
      this.#nextTurnAt = entry.turnAt + (this.#options.spacingMs ?? 100);
    }
    return entry.turnAt - now;
  }

  #pause({ failures }: Entry): number {
    const { intervalMs = hourMs, random } = this.#options;
    const mean = failures === 0 ? intervalMs : Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(failures - 1, 20));
    return Math.round(mean * (0.75 + random() / 2));
  }
}

/** Everything a verification depends on. Specs rather than generations: objects of files have none. */
function fingerprintOf({ binding, provider, serviceAccount }: VerificationRequest): string {
  const [from, at] = [binding, provider].map(({ metadata, spec }) => ({ uid: metadata.uid, spec }));
  return canonicalJson({ from, at, as: serviceAccount.uid });
}
