/** Delays that double from 250 ms to 30 s, each cut by up to half at random so that 5,000 nodes do not come at once. */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** ms to wait now. */
  next(): number {
    const delay = Math.min(30_000, 250 * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    return delay * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
