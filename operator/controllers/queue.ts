/**
 * A keyed work queue: a key is worked on by one worker at a time, several keys in parallel; a key added while it is
 * worked on runs once more afterwards. A failing key waits longer each time, and never delays another key.
 */
import type { Timers } from '../core/time.ts';

export interface ReconcileResult {
  /** Run this key again after so many milliseconds, unless something wakes it before. */
  readonly requeueAfterMs?: number;
}

export type Reconcile = (key: string, signal: AbortSignal) => Promise<ReconcileResult>;

export interface QueueOptions {
  readonly reconcile: Reconcile;
  readonly timers: Timers;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** A failure that will be retried in `retryInMs`. */
  readonly onFailure: (key: string, error: unknown, retryInMs: number) => void;
  /** Keys worked on at once; default 4. */
  readonly workers?: number;
  /** First delay after a failure and the longest one, in milliseconds; default 200 and 60,000. */
  readonly backoff?: { readonly firstMs: number; readonly longestMs: number };
}

const defaultBackoff = { firstMs: 200, longestMs: 60_000 } as const;

export class KeyedQueue {
  readonly #options: QueueOptions;
  /** Insertion order is working order. */
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #runs = new Set<Promise<void>>();
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, { readonly dueAt: number; readonly cancel: () => void }>();
  readonly #failures = new Map<string, number>();
  readonly #abort = new AbortController();
  #started = false;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /** Keys added before are kept until now: nothing is reconciled before the store has synced. */
  start(): void {
    this.#started = true;
    this.#dispatch();
  }

  /** Finishes what is being worked on (its signal aborts), forgets the rest, accepts nothing more. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#waiting.clear();
    this.#again.clear();
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    await Promise.all(this.#runs);
  }

  add(key: string): void {
    if (this.#abort.signal.aborted) return;
    if (this.#running.has(key)) this.#again.add(key);
    else this.#waiting.add(key);
    this.#dispatch();
  }

  /** Of two delays for one key the earlier one counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#abort.signal.aborted) return;
    const dueAt = this.#options.timers.now() + delayMs;
    const planned = this.#delayed.get(key);
    if (planned !== undefined && planned.dueAt <= dueAt) return;
    planned?.cancel();
    const cancel = this.#options.timers.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueAt, cancel });
  }

  /** Keys that wait, run or are planned for later. */
  get size(): number {
    return new Set([...this.#waiting, ...this.#running, ...this.#delayed.keys()]).size;
  }

  #dispatch(): void {
    const workers = this.#options.workers ?? 4;
    while (this.#started && this.#running.size < workers) {
      const [key] = this.#waiting;
      if (key === undefined) return;
      this.#waiting.delete(key);
      this.#running.add(key);
      // Not at once: keys are added from within store notifications, and a run reads the store.
      const run: Promise<void> = Promise.resolve()
        .then(() => this.#run(key))
        .finally(() => this.#runs.delete(run));
      this.#runs.add(run);
    }
  }

  async #run(key: string): Promise<void> {
    // What was planned for later is settled by this run, which plans anew.
    this.#delayed.get(key)?.cancel();
    this.#delayed.delete(key);
    await this.#attempt(key);
    this.#running.delete(key);
    if (this.#again.delete(key)) this.#waiting.add(key);
    this.#dispatch();
  }

  async #attempt(key: string): Promise<void> {
    try {
      const result = await this.#options.reconcile(key, this.#abort.signal);
      this.#failures.delete(key);
      if (result.requeueAfterMs !== undefined) this.addAfter(key, result.requeueAfterMs);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      const retryInMs = this.#nextBackoff(key);
      this.addAfter(key, retryInMs);
      this.#options.onFailure(key, error, retryInMs);
    }
  }

  /** Doubles with each failure in a row; half of it is random, so that keys that failed together part ways. */
  #nextBackoff(key: string): number {
    const { firstMs, longestMs } = this.#options.backoff ?? defaultBackoff;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const full = Math.min(longestMs, firstMs * 2 ** Math.min(failures, 30));
    return Math.round(full / 2 + (full / 2) * this.#options.random());
  }
}
