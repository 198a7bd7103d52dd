/**
 * Does one thing at a time, always with the latest state: whoever asks while it is busy gets one more run afterwards,
 * however often they ask.
 */
export class LatestOnly {
  readonly #run: () => Promise<void>;
  #running: Promise<void> | undefined;
  #again = false;

  /** `run` reads the state itself and does not reject. */
  constructor(run: () => Promise<void>) {
    this.#run = run;
  }

  request(): void {
    this.#again = true;
    this.#running ??= this.#loop();
  }

  /** Resolves when nothing is being done any more. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #loop(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      await this.#run();
    }
    this.#running = undefined;
  }
}
