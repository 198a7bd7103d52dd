/** Decision counters on their way to the controller: none is lost when a reply is, and none is counted twice. */
import type { DecisionCount, ReportRequest } from '../wire/calls.ts';
import { wireLimits } from '../wire/protocol.ts';

const maxCount = 1_000_000_000;

export class Reporter {
  readonly #waiting = new Map<string, DecisionCount>();
  #sequence: number;
  /** Sent and not confirmed: it goes again exactly as it was. */
  #batch: ReportRequest | undefined;

  /** `startedAt` in ms: a container that restarts in its pod goes on above the sequence it had before. */
  constructor(startedAt: number) {
    this.#sequence = startedAt;
  }

  add(counts: readonly DecisionCount[]): void {
    for (const { policy, decision, count } of counts) {
      const key = `${decision} ${policy}`;
      const sum = (this.#waiting.get(key)?.count ?? 0) + count;
      this.#waiting.set(key, { policy, decision, count: Math.min(sum, maxCount) });
    }
  }

  /** What to send next; undefined when there is nothing. */
  next(): ReportRequest | undefined {
    if (this.#batch !== undefined || this.#waiting.size === 0) return this.#batch;
    const taken = [...this.#waiting].slice(0, wireLimits.counts);
    for (const [key] of taken) this.#waiting.delete(key);
    this.#sequence += 1;
    this.#batch = { sequence: this.#sequence, counts: taken.map(([, count]) => count) };
    return this.#batch;
  }

  confirmed(): void {
    this.#batch = undefined;
  }
}
