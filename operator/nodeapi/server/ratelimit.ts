/** Token buckets by key. Keys that were not used for long fall out; a forgotten bucket is a full one. */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../../core/time.ts';

export interface Rate {
  /** Calls at once after a pause. */
  readonly burst: number;
  readonly perSecond: number;
}

interface Bucket {
  level: number;
  readAt: number;
}

export class RateLimit {
  readonly #rate: Rate;
  readonly #clock: Clock;
  readonly #buckets: LRUCache<string, Bucket>;

  constructor(rate: Rate, clock: Clock, maxKeys = 50_000) {
    this.#rate = rate;
    this.#clock = clock;
    this.#buckets = new LRUCache({ max: maxKeys });
  }

  /** Takes `amount`, at most the burst; 0 if it was there, else the ms until it is. */
  take(key: string, amount = 1): number {
    const now = this.#clock.now();
    const bucket = this.#buckets.get(key) ?? { level: this.#rate.burst, readAt: now };
    const refilled = bucket.level + (Math.max(0, now - bucket.readAt) / 1000) * this.#rate.perSecond;
    bucket.level = Math.min(this.#rate.burst, refilled);
    bucket.readAt = now;
    this.#buckets.set(key, bucket);
    if (bucket.level < amount) return Math.ceil(((amount - bucket.level) / this.#rate.perSecond) * 1000);
    bucket.level -= amount;
    return 0;
  }
}
