/** Decision counters on their way to the controller: none is lost when a reply is, and none is counted twice. */
import { Tally } from '../../core/counting/tally.ts';
import type { DecisionCount, DecisionSummary, LegacyCount, ReportRequest } from '../wire/calls.ts';
import { wireLimits } from '../wire/protocol.ts';

/** Kept while the controller is away; what is new beyond it is not counted. */
const mostLegacyCounts = 4096;

export class Reporter {
  readonly #counts = new Tally<DecisionCount>(({ policy, decision }) => `${decision} ${policy}`, wireLimits.counts);
  readonly #legacy = new Tally<LegacyCount>(
    ({ workload, endpoint, access }) => `${workload} ${access} ${endpoint}`,
    mostLegacyCounts,
  );
  #sequence: number;
  /** Sent and not confirmed: it goes again exactly as it was. */
  #batch: ReportRequest | undefined;

  /** `startedAt` in ms: a container that restarts in its pod goes on above the sequence it had before. */
  constructor(startedAt: number) {
    this.#sequence = startedAt;
  }

  add({ counts, legacy = [] }: DecisionSummary): void {
    for (const count of counts) this.#counts.add(count);
    for (const count of legacy) this.#legacy.add(count);
  }

  /** What to send next; undefined when there is nothing. */
  next(): ReportRequest | undefined {
    if (this.#batch !== undefined || this.#counts.size + this.#legacy.size === 0) return this.#batch;
    const legacy = this.#legacy.take(wireLimits.legacyCounts);
    this.#sequence += 1;
    this.#batch = { sequence: this.#sequence, counts: this.#counts.take(), ...(legacy.length > 0 && { legacy }) };
    return this.#batch;
  }

  confirmed(): void {
    this.#batch = undefined;
  }
}
