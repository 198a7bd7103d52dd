/**
 * When a status is written: at once if a condition changed its status or reason, at most every 10 s for numbers and
 * texts, and never if nothing changed.
 */
import type { Condition } from '../api/v1/index.ts';
import { sameValue } from '../core/cluster/equal.ts';

export const counterIntervalMs = 10_000;

interface AnyStatus {
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
}

export type StatusWrite =
  | { readonly kind: 'none' }
  | { readonly kind: 'now' }
  /** Only counters or texts differ and the last write is too recent. */
  | { readonly kind: 'later'; readonly inMs: number };

/** `lastWriteAt`: ms since the epoch, undefined if nothing was written since the controller started. */
export function statusWrite(
  previous: AnyStatus | undefined,
  next: AnyStatus,
  { lastWriteAt, now }: { readonly lastWriteAt: number | undefined; readonly now: number },
): StatusWrite {
  if (sameValue(previous, next)) return { kind: 'none' };
  if (!sameValue(transitionsOf(previous), transitionsOf(next)) || lastWriteAt === undefined) return { kind: 'now' };
  const inMs = lastWriteAt + counterIntervalMs - now;
  return inMs <= 0 ? { kind: 'now' } : { kind: 'later', inMs };
}

function transitionsOf(status: AnyStatus | undefined) {
  return {
    generation: status?.observedGeneration,
    conditions: status?.conditions?.map(({ type, status: value, reason }) => [type, value, reason]),
  };
}

interface Written<S> {
  readonly uid: string | undefined;
  readonly status: S;
  readonly at: number;
  /** The watch has shown it; from then on the store is right. */
  seen: boolean;
}

interface StatusBearer<S> {
  readonly metadata: { readonly uid?: string };
  readonly status?: S;
}

/** No watch of a healthy API server is further behind. */
const longestLagMs = 5_000;

/**
 * What was written last, per key. Until the watch shows it, the store's status is older than what we wrote; planning
 * from that would write the same transition twice, at another time.
 */
export class WrittenStatuses<S extends object> {
  readonly #written = new Map<string, Written<S>>();

  /** The status to plan from. */
  previous(key: string, object: StatusBearer<S>, now: number): S | undefined {
    const written = this.#written.get(key);
    if (written === undefined || written.uid !== object.metadata.uid) return object.status;
    written.seen ||= now - written.at > longestLagMs || sameValue(object.status, written.status);
    return written.seen ? object.status : written.status;
  }

  lastWriteAt(key: string): number | undefined {
    return this.#written.get(key)?.at;
  }

  remember(key: string, object: StatusBearer<S>, { status, at }: { readonly status: S; readonly at: number }): void {
    this.#written.set(key, { uid: object.metadata.uid, status, at, seen: false });
  }

  forget(key: string): void {
    this.#written.delete(key);
  }
}
