import { LRUCache } from 'lru-cache';
import type { Clock } from '../../core/time.ts';
import type { LogEvent } from '../../telemetry/events.ts';
import type { LogFields, Logger } from '../../telemetry/log.ts';
import { RateLimit } from './ratelimit.ts';

/** Lines that one source may cause. */
const linesPerSource = { burst: 100, perSecond: 1 };
const maxSources = 4_096;

/** Who caused a line: whoever reaches the port, or a node. */
export type LineSource = { readonly source: string } | { readonly node: string };

/** Warnings that others cause, as often as they like: what is too much of one is summed up, so that it fills no disk. */
export class BoundedLog {
  readonly #logger: Logger;
  readonly #limit: RateLimit;
  readonly #suppressed = new LRUCache<string, number>({ max: maxSources });

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#limit = new RateLimit(linesPerSource, clock, maxSources);
  }

  warn(event: LogEvent, by: LineSource, fields: LogFields): void {
    const key = 'node' in by ? by.node : by.source;
    const count = this.#suppressed.get(key) ?? 0;
    if (this.#limit.take(key) > 0) {
      this.#suppressed.set(key, count + 1);
      return;
    }
    if (count > 0) this.#logger.warn('denials-suppressed', { ...by, count });
    this.#suppressed.delete(key);
    this.#logger.warn(event, { ...fields, ...by });
  }
}
