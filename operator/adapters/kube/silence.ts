import type { Timers } from '../../core/time.ts';

/** Runs `onSilence` once nothing has been heard for `afterMs`. One timer, however often something is heard. */
export class SilenceAlarm {
  readonly #timers: Timers;
  readonly #afterMs: number;
  readonly #onSilence: () => void;
  #lastHeard: number;
  #disarm: () => void;

  constructor(timers: Timers, afterMs: number, onSilence: () => void) {
    this.#timers = timers;
    this.#afterMs = afterMs;
    this.#onSilence = onSilence;
    this.#lastHeard = timers.now();
    this.#disarm = this.#arm(afterMs);
  }

  heard(): void {
    this.#lastHeard = this.#timers.now();
  }

  stop(): void {
    this.#disarm();
  }

  #arm(delayMs: number): () => void {
    return this.#timers.after(delayMs, () => {
      const left = this.#lastHeard + this.#afterMs - this.#timers.now();
      if (left <= 0) this.#onSilence();
      else this.#disarm = this.#arm(left);
    });
  }
}
