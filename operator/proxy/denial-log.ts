import { LRUCache } from 'lru-cache';
import type { AuditFinding } from '../core/policy/decision.ts';
import { referenceText, traceText } from '../core/policy/trace-text.ts';
import type { Denial } from '../core/request/denials.ts';
import type { Workload } from '../core/snapshot/types.ts';
import type { Clock } from '../core/time.ts';
import type { LogFields, Logger } from '../telemetry/log.ts';
import { Budget } from './budget.ts';

/** Lines one source may cause at once, and the time after which it may cause one more, in ms. */
export const logBurst = 100;
export const logRefillMs = 200;

/** Sources remembered at a time; more than a node has pods. */
const maxSources = 1_024;

interface SourceLines {
  readonly budget: Budget;
  suppressed: number;
}

/** Whose request it was, as far as it is known, and what it asked for. */
export interface RequestContext {
  readonly address: string;
  readonly workload: Workload | undefined;
  readonly method: string;
  /** Canonical path, or the request target without its query. */
  readonly path: string;
}

/** One line per denial. A pod that is refused thousands of times a second is summed up, so that it cannot fill a disk. */
export class DenialLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #sources = new LRUCache<string, SourceLines>({ max: maxSources });

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  denied(denial: Denial, context: RequestContext, detail: LogFields = {}): void {
    if (!this.#mayWrite(context)) return;
    this.#logger.warn('request-denied', {
      code: denial.code,
      status: denial.status,
      ...about(context),
      ...detail,
    });
  }

  audited(findings: readonly AuditFinding[], context: RequestContext): void {
    for (const finding of findings) {
      if (!this.#mayWrite(context)) return;
      const policy = referenceText(finding.policy);
      this.#logger.info('audit-finding', { policy, ...about(context), trace: traceText(finding.trace) });
    }
  }

  /** A legacy API is on its way out also where it is still open: whoever uses it is told what to use instead. */
  legacyAllowed(context: RequestContext, v1Path: string): void {
    if (this.#mayWrite(context)) this.#logger.info('legacy-allowed', { ...about(context), v1Path });
  }

  refusedConnection(address: string, reason: string): void {
    if (this.#mayWrite({ address })) this.#logger.warn('connection-refused', { source: address, reason });
  }

  #mayWrite(context: Pick<RequestContext, 'address'>): boolean {
    const now = this.#clock.now();
    const lines = this.#lines(context.address, now);
    if (!lines.budget.take(now)) {
      lines.suppressed += 1;
      return false;
    }
    if (lines.suppressed > 0) {
      this.#logger.warn('denials-suppressed', { source: context.address, count: lines.suppressed });
      lines.suppressed = 0;
    }
    return true;
  }

  #lines(address: string, now: number): SourceLines {
    const known = this.#sources.get(address);
    if (known !== undefined) return known;
    const lines = { budget: new Budget(logBurst, logRefillMs, now), suppressed: 0 };
    this.#sources.set(address, lines);
    return lines;
  }
}

function about({ address, workload, method, path }: RequestContext): LogFields {
  const pod =
    workload === undefined
      ? {}
      : {
          namespace: workload.namespace,
          pod: workload.name,
          podUid: workload.uid,
          serviceAccount: workload.serviceAccount.name,
        };
  return { source: address, method, path, ...pod };
}
