import type { Clock } from '../core/time.ts';
import type { Logger } from '../telemetry/log.ts';

/** However many there are. */
const lineEveryMs = 60_000;

/** Says that pods open connections faster than they may, from what the kernel has counted. */
export class OverLimitLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  #counted = 0;
  #untold = 0;
  #toldAt = -Infinity;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** `counted`: packets since the rules were loaded. */
  read(counted: number): void {
    const isNewTable = counted < this.#counted;
    this.#untold += isNewTable ? counted : counted - this.#counted;
    this.#counted = counted;
    const now = this.#clock.now();
    if (this.#untold === 0 || now - this.#toldAt < lineEveryMs) return;
    this.#logger.warn('connections-limited', { count: this.#untold });
    this.#untold = 0;
    this.#toldAt = now;
  }
}
