/** How something that is there for all is shared, so that those who take much leave some to those who have none. */
export interface Shares {
  /** What one may have. */
  readonly each: number;
  /** What all may have together. */
  readonly all: number;
  /** What one can have although the others have taken all but what is kept back for this. */
  readonly few: number;
  readonly keptBack: number;
}

/** Whether one that has `own` may take another while all together have `taken`. */
export function mayTake(own: number, taken: number, { each, all, few, keptBack }: Shares): boolean {
  if (own >= each || taken >= all) return false;
  return own < few || taken < all - keptBack;
}

/** How much of it each has now. Whoever has none takes no room. */
export class SharedCounts<Key> {
  readonly #shares: Shares;
  readonly #taken = new Map<Key, number>();
  #all = 0;

  constructor(shares: Shares) {
    this.#shares = shares;
  }

  /** Takes one; false if there is none for this key. */
  take(key: Key): boolean {
    const taken = this.#taken.get(key) ?? 0;
    if (!mayTake(taken, this.#all, this.#shares)) return false;
    this.#taken.set(key, taken + 1);
    this.#all += 1;
    return true;
  }

  /** Gives back one that was taken. */
  giveBack(key: Key): void {
    this.#all -= 1;
    const left = (this.#taken.get(key) ?? 1) - 1;
    if (left === 0) this.#taken.delete(key);
    else this.#taken.set(key, left);
  }
}
