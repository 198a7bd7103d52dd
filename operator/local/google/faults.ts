/** Faults on demand: what Google, or the way to it, does on a bad day. */

export type EmulatedService = 'sts' | 'iamcredentials';

export type Fault = (
  | { readonly kind: 'hang' }
  /** The connection is cut without an answer. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'slow'; readonly ms: number }
  /** Without `body`: Google's own form for the status. */
  | {
      readonly kind: 'reply';
      readonly status: number;
      readonly body?: string;
      readonly contentType?: string;
      readonly retryAfterSeconds?: number;
    }
) & {
  /** Requests that pass first. Default: 0. */
  readonly after?: number;
  /** Requests it hits then. Default: all. */
  readonly times?: number;
};

export class Faults {
  readonly #faults = new Map<EmulatedService, { fault: Fault; seen: number }>();

  /** Replaces the service's fault. */
  inject(service: EmulatedService, fault: Fault): void {
    this.#faults.set(service, { fault, seen: 0 });
  }

  clear(): void {
    this.#faults.clear();
  }

  /** What hits the next request, if anything. */
  next(service: EmulatedService): Fault | undefined {
    const entry = this.#faults.get(service);
    if (entry === undefined) return undefined;
    const index = entry.seen++ - (entry.fault.after ?? 0);
    return index >= 0 && index < (entry.fault.times ?? Number.POSITIVE_INFINITY) ? entry.fault : undefined;
  }
}
