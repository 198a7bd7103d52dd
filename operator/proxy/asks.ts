import type { PodUid } from '../core/brand.ts';
import { SharedCounts, type Shares } from '../core/counting/share.ts';
import type { Timers } from '../core/time.ts';

type Waiting = (isTurn: boolean) => void;

/** Whose questions are open at the node's server, and whose wait for their turn. How many wait, others bound. */
export class Asks {
  readonly #timers: Timers;
  readonly #open: SharedCounts<PodUid>;
  /** First come, first served. */
  readonly #waiting = new Map<PodUid, Set<Waiting>>();

  constructor(shares: Shares, timers: Timers) {
    this.#open = new SharedCounts(shares);
    this.#timers = timers;
  }

  /** Resolves with true when the pod may ask; `done` is to be called then. With false if not within `mostMs`. */
  turn(uid: PodUid, mostMs: number): Promise<boolean> {
    if (!this.#waiting.has(uid) && this.#open.take(uid)) return Promise.resolve(true);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const settle = (isTurn: boolean): void => {
      cancel();
      this.#leave(uid, settle);
      resolve(isTurn);
    };
    const cancel = this.#timers.after(mostMs, () => settle(false));
    const queue = this.#waiting.get(uid) ?? new Set();
    this.#waiting.set(uid, queue.add(settle));
    return promise;
  }

  /** A pod that has questions waiting has one open, too: somebody always comes here. */
  done(uid: PodUid): void {
    this.#open.giveBack(uid);
    const [next] = this.#waiting.get(uid) ?? [];
    if (next !== undefined && this.#open.take(uid)) next(true);
  }

  #leave(uid: PodUid, waiting: Waiting): void {
    const queue = this.#waiting.get(uid);
    queue?.delete(waiting);
    if (queue?.size === 0) this.#waiting.delete(uid);
  }
}
