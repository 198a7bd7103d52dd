/** A token bucket: `burst` at once, then one more every `refillMs`. It keeps one pod's abuse from costing others. */
export class Budget {
  readonly #burst: number;
  readonly #refillMs: number;
  #left: number;
  #filledAt: number;

  constructor(burst: number, refillMs: number, now: number) {
    this.#burst = burst;
    this.#refillMs = refillMs;
    this.#left = burst;
    this.#filledAt = now;
  }

  /** Takes one if there is one. `now` in ms. */
  take(now: number): boolean {
    const refilled = Math.floor((now - this.#filledAt) / this.#refillMs);
    if (refilled > 0) {
      this.#left = Math.min(this.#burst, this.#left + refilled);
      this.#filledAt += refilled * this.#refillMs;
    }
    if (this.#left === 0) return false;
    this.#left -= 1;
    return true;
  }
}
