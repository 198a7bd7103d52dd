/**
 * Does one thing at a time, always with the latest state: whoever asks while it is busy gets one more run afterwards,
 * however often they ask.
 */
export class LatestOnly {
  readonly #run: () => Promise<void>;
  #busy = false;
  #again = false;

  /** `run` reads the state itself and does not reject. */
  constructor(run: () => Promise<void>) {
    this.#run = run;
  }

  request(): void {
    this.#again = true;
    if (!this.#busy) void this.#loop();
  }

  async #loop(): Promise<void> {
    this.#busy = true;
    while (this.#again) {
      this.#again = false;
      await this.#run();
    }
    this.#busy = false;
  }
}
