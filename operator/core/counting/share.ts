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
