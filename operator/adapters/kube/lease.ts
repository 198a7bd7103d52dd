import type { MetaveilError } from '../../core/errors.ts';
import { pause, type Timers } from '../../core/time.ts';
import type { Leadership } from '../../nodeapi/server/ports.ts';
import { errorOfConnection } from './failure.ts';
import { addressOf, type ReplicaIdentity } from './identity.ts';
import type { LeaseRecord, LeaseStore, StoredLease } from './lease-store.ts';

export interface ElectionOptions {
  readonly store: LeaseStore;
  readonly identity: ReplicaIdentity;
  readonly timers: Timers;
  /** Milliseconds of a clock that nobody sets, for example performance.now. */
  readonly monotonic: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** A try that failed; the next one follows by itself. */
  readonly onFailure: (error: MetaveilError) => void;
}

/**
 * Others may take the Lease once it has not changed for `durationMs`; the holder stops believing in it already
 * `renewWithinMs` after it sent its last good renewal. The difference is what a slow holder has to notice it.
 */
const durationMs = 15_000;
const renewWithinMs = 10_000;
const retryMs = 2_000;

type Role = ReturnType<Leadership['role']>;

/** Takes part in the election of one leader through a Lease, as client-go does. */
export class LeaseElection implements Leadership {
  readonly #options: ElectionOptions;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<() => void>();
  /** The Lease as last seen, and when it last changed by our own clock: the holder's clock may be wrong. */
  #seen: { readonly lease: StoredLease; readonly sinceMs: number } | undefined;
  /** When the last good renewal was sent, by both clocks; undefined while we do not lead. */
  #renewed: { readonly monotonic: number; readonly wall: number } | undefined;
  #disarm: () => void = () => undefined;
  #run: Promise<void> | undefined;
  /** The role listeners know of. */
  #told = '';

  constructor(options: ElectionOptions) {
    this.#options = options;
  }

  /** Starts to try for the Lease, and to renew it once it is ours. */
  start(): void {
    this.#run ??= this.#loop();
  }

  /**
   * Ends taking part and gives the Lease back, so that the next leader need not wait. Call it after everything that
   * only a leader may do has ended. Never throws: a Lease that cannot be given back runs out.
   */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#run;
    const wasLeader = this.isLeader();
    this.#resign();
    if (wasLeader) await this.#release().catch((error: unknown) => this.#report(error));
  }

  /**
   * The fence: ask right before every act that only the leader may do. Computed from time, so that it holds even when
   * this process was suspended and no timer has run yet.
   */
  isLeader(): boolean {
    return this.#renewed !== undefined && this.#sinceMs(this.#renewed) < renewWithinMs;
  }

  role(): Role {
    if (this.isLeader()) return { kind: 'leader' };
    const holder = this.#seen?.lease.record.holder ?? '';
    return { kind: 'follower', leader: holder === this.#options.identity.text ? undefined : addressOf(holder) };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #loop(): Promise<void> {
    const { timers, random } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      await this.#try().catch((error: unknown) => this.#report(error));
      await pause(timers, Math.round(retryMs * (0.8 + 0.4 * random())), signal);
    }
  }

  async #try(): Promise<void> {
    const { store } = this.#options;
    const lease = await store.read();
    this.#observe(lease);
    if (!this.#mayTake(lease) || this.#abort.signal.aborted) return;
    const sentAt = this.#instant();
    const record = this.#nextRecord(lease?.record, sentAt.wall);
    if (lease === undefined) await store.create(record);
    else await store.replace(lease, record);
    this.#lead(sentAt);
  }

  #observe(lease: StoredLease | undefined): void {
    const before = this.#seen?.lease;
    if (lease === undefined) this.#seen = undefined;
    else if (lease.resourceVersion !== before?.resourceVersion) {
      this.#seen = { lease, sinceMs: this.#options.monotonic() };
    }
    this.#notify();
  }

  #mayTake(lease: StoredLease | undefined): boolean {
    if (lease === undefined || lease.record.holder === '' || lease.record.holder === this.#options.identity.text) {
      return true;
    }
    const unchangedMs = this.#options.monotonic() - (this.#seen?.sinceMs ?? this.#options.monotonic());
    return unchangedMs >= Math.max(durationMs, lease.record.durationSeconds * 1000);
  }

  #nextRecord(previous: LeaseRecord | undefined, now: number): LeaseRecord {
    const { text: holder } = this.#options.identity;
    const ours = previous?.holder === holder;
    return {
      holder,
      durationSeconds: durationMs / 1000,
      transitions: (previous?.transitions ?? 0) + (ours || previous === undefined ? 0 : 1),
      acquiredAt: ours ? previous.acquiredAt : now,
      renewedAt: now,
    };
  }

  /** Counted from when the renewal was sent: others count from when they see it, which is later. */
  #lead(sentAt: { readonly monotonic: number; readonly wall: number }): void {
    // The time may have run out without the timer: whoever listens has to hear of the loss first.
    if (!this.isLeader()) this.#resign();
    this.#renewed = sentAt;
    this.#disarm();
    this.#disarm = this.#options.timers.after(renewWithinMs - this.#sinceMs(sentAt), () => {
      this.#resign();
    });
    this.#notify();
  }

  #resign(): void {
    this.#disarm();
    if (this.#renewed === undefined) return;
    this.#renewed = undefined;
    this.#notify();
  }

  async #release(): Promise<void> {
    const { store, identity } = this.#options;
    const lease = await store.read();
    if (lease?.record.holder !== identity.text) return;
    await store.replace(lease, { ...lease.record, holder: '', durationSeconds: 1, renewedAt: this.#instant().wall });
  }

  #instant(): { readonly monotonic: number; readonly wall: number } {
    return { monotonic: this.#options.monotonic(), wall: this.#options.timers.now() };
  }

  /** The longer of both clocks: one may have been set back, the other may have stood still while the machine slept. */
  #sinceMs(instant: { readonly monotonic: number; readonly wall: number }): number {
    const now = this.#instant();
    return Math.max(now.monotonic - instant.monotonic, now.wall - instant.wall);
  }

  #report(error: unknown): void {
    this.#options.onFailure(errorOfConnection('lease', error));
  }

  /** Renewals are no news. */
  #notify(): void {
    const role = JSON.stringify(this.role());
    if (role === this.#told) return;
    this.#told = role;
    for (const listener of this.#listeners) listener();
  }
}
