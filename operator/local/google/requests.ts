import type { EmulatedService } from './faults.ts';

/** One request that arrived; nothing in it is secret. */
export interface LoggedRequest {
  readonly service: EmulatedService | 'other';
  readonly method: string;
  /** Decoded, without the query. */
  readonly path: string;
  /** Of an exchange: the provider asked at and the scopes. */
  readonly audience?: string;
  readonly scope?: string;
  /** HTTP status of the answer; undefined while there is none. */
  readonly status?: number;
}

const maxRequests = 2_000;

/** The latest requests in the order they arrived. */
export class RequestLog {
  readonly #entries: LoggedRequest[] = [];

  /** Returns what completes the entry. */
  add(entry: LoggedRequest): (more: Partial<LoggedRequest>) => void {
    const slot: { -readonly [K in keyof LoggedRequest]: LoggedRequest[K] } = { ...entry };
    this.#entries.push(slot);
    if (this.#entries.length > maxRequests) this.#entries.shift();
    return (more) => void Object.assign(slot, more);
  }

  all(): readonly LoggedRequest[] {
    return [...this.#entries];
  }
}
