export interface BackoffOptions {
  /** First and longest delay in milliseconds. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Delays that double with each failure in a row; half of each is random, so that replicas part ways. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  next(): number {
    const { firstMs, longestMs, random } = this.#options;
    const full = Math.min(longestMs, firstMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return Math.round(full / 2 + (full / 2) * random());
  }

  reset(): void {
    this.#failures = 0;
  }
}
