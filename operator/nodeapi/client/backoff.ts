/**
 * How long at most a node learns nothing after the node API is back, in ms: its new pods wait for so long. 5,000 nodes
 * are then under 700 connections a second while nobody leads.
 */
const longestMs = 10_000;
const firstMs = 250;

/** Delays that double up to the longest, each cut by up to half at random so that nodes do not come at once. */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** ms to wait now. */
  next(): number {
    const delay = Math.min(longestMs, firstMs * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    return delay * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
