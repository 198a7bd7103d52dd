/**
 * What came of our last touch of a ServiceAccount's annotation. The store shows the annotation's value but not its
 * owner, so a conflict, or that nothing of it was ours, is remembered until the value changes.
 */
import type { ServiceAccount } from '../../core/cluster/objects.ts';

interface Touch {
  /** uid and value of the annotation at the time of the touch. */
  readonly seen: string;
  readonly conflict: string | undefined;
  /** ms since the epoch */
  readonly at: number;
}

const retryAfterMs = 60_000;

export class AnnotationMemory {
  readonly #touches = new Map<string, Touch>();

  /** `conflict`: why writing was refused; undefined after giving the annotation back. */
  remember(key: string, account: ServiceAccount, { conflict, at }: Pick<Touch, 'conflict' | 'at'>): void {
    this.#touches.set(key, { seen: stateOf(account), conflict, at });
  }

  /** Undefined once it is due to be tried again. */
  conflict(key: string, account: ServiceAccount, now: number): string | undefined {
    const touch = this.#touches.get(key);
    return touch?.seen === stateOf(account) && now - touch.at < retryAfterMs ? touch.conflict : undefined;
  }

  released(key: string, account: ServiceAccount): boolean {
    const touch = this.#touches.get(key);
    return touch?.seen === stateOf(account) && touch.conflict === undefined;
  }

  forget(key: string): void {
    this.#touches.delete(key);
  }
}

function stateOf({ uid, gkeServiceAccount }: ServiceAccount): string {
  return `${uid} ${gkeServiceAccount}`;
}
