/**
 * When a status is written: at once if a condition changed its status or reason, at most every 10 s for numbers and
 * texts, and never if nothing changed. Conditions that change on and on are written like numbers: whoever makes them
 * change, a node that was broken into for example, must not make the API server write as often.
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

/** What was written of one object since the controller started. */
export interface RecentWrites {
  /** ms since the epoch. */
  readonly lastAt: number;
  /** Writes that came sooner than 10 s after the one before; each 10 s without one takes one off. */
  readonly hurried: number;
}

/** As many transitions of one object are written at once, more than any change of a spec or a rollout makes. */
const mostHurried = 20;

export function statusWrite(
  previous: AnyStatus | undefined,
  next: AnyStatus,
  { writes, now }: { readonly writes: RecentWrites | undefined; readonly now: number },
): StatusWrite {
  if (sameValue(previous, next)) return { kind: 'none' };
  if (writes === undefined || isNews(previous, next, hurriedAt(writes, now))) return { kind: 'now' };
  const inMs = writes.lastAt + counterIntervalMs - now;
  return inMs <= 0 ? { kind: 'now' } : { kind: 'later', inMs };
}

function isNews(previous: AnyStatus | undefined, next: AnyStatus, hurried: number): boolean {
  if (previous?.observedGeneration !== next.observedGeneration) return true;
  return hurried < mostHurried && !sameValue(transitionsOf(previous), transitionsOf(next));
}

function transitionsOf(status: AnyStatus | undefined) {
  return status?.conditions?.map(({ type, status: value, reason }) => [type, value, reason]);
}

function hurriedAt({ lastAt, hurried }: RecentWrites, now: number): number {
  return Math.max(0, hurried - Math.floor((now - lastAt) / counterIntervalMs));
}

function writesAfter(before: RecentWrites | undefined, at: number): RecentWrites {
  if (before === undefined) return { lastAt: at, hurried: 0 };
  return { lastAt: at, hurried: hurriedAt(before, at) + (at - before.lastAt < counterIntervalMs ? 1 : 0) };
}

interface Written<S> {
  readonly uid: string | undefined;
  readonly status: S;
  readonly writes: RecentWrites;
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
    written.seen ||= now - written.writes.lastAt > longestLagMs || sameValue(object.status, written.status);
    return written.seen ? object.status : written.status;
  }

  writes(key: string): RecentWrites | undefined {
    return this.#written.get(key)?.writes;
  }

  remember(key: string, object: StatusBearer<S>, { status, at }: { readonly status: S; readonly at: number }): void {
    const writes = writesAfter(this.#written.get(key)?.writes, at);
    this.#written.set(key, { uid: object.metadata.uid, status, writes, seen: false });
  }

  forget(key: string): void {
    this.#written.delete(key);
  }
}
