/** Sums by key, of which there are at most so many. */
export interface Counted {
  readonly count: number;
}

/** What one sum may reach; more is not counted. */
export const maxCount = 1_000_000_000;

export class Tally<T extends Counted> {
  readonly #sums = new Map<string, T>();
  readonly #keyOf: (item: T) => string;
  readonly #max: number;

  /** `max`: keys kept at a time. */
  constructor(keyOf: (item: T) => string, max: number) {
    this.#keyOf = keyOf;
    this.#max = max;
  }

  /** False when there is no room for another key: nothing was counted then. */
  add(item: T): boolean {
    const key = this.#keyOf(item);
    const sum = this.#sums.get(key);
    if (sum === undefined && this.#sums.size >= this.#max) return false;
    this.#sums.set(key, { ...item, count: Math.min((sum?.count ?? 0) + item.count, maxCount) });
    return true;
  }

  /** Removes and returns at most `most` sums, the oldest first. */
  take(most = this.#max): readonly T[] {
    const taken = [...this.#sums].slice(0, most);
    for (const [key] of taken) this.#sums.delete(key);
    return taken.map(([, sum]) => sum);
  }

  get size(): number {
    return this.#sums.size;
  }
}
