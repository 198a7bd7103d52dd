import { setImmediate as turn } from 'node:timers/promises';
import type { Timers } from '../../operator/core/time.ts';

/** Time that moves only when a test says so. */
export class FakeTimers implements Timers {
  readonly #tasks = new Set<{ readonly dueAt: number; readonly run: () => void }>();
  #now = Date.parse('2026-06-01T00:00:00Z');
  /** How many times something asked to be woken. */
  scheduled = 0;

  now(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const task = { dueAt: this.#now + delayMs, run };
    this.#tasks.add(task);
    this.scheduled += 1;
    return () => this.#tasks.delete(task);
  }

  /** Delays of what is planned, in milliseconds from now, sorted. */
  pending(): readonly number[] {
    return [...this.#tasks].map(({ dueAt }) => dueAt - this.#now).sort((a, b) => a - b);
  }

  /** Moves on by `ms`, running what falls due in order, each with all that follows from it. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    while (this.#runNext(end)) await settle();
    this.#now = end;
  }

  /** Moves on by `ms` at once: what falls due runs in order, what follows from it only when the test waits. */
  jump(ms: number): void {
    const end = this.#now + ms;
    while (this.#runNext(end));
    this.#now = end;
  }

  #runNext(end: number): boolean {
    const [next] = [...this.#tasks].filter(({ dueAt }) => dueAt <= end).sort((a, b) => a.dueAt - b.dueAt);
    if (next === undefined) return false;
    this.#tasks.delete(next);
    this.#now = Math.max(this.#now, next.dueAt);
    next.run();
    return true;
  }
}

/** Lets everything run that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  for (let turns = 0; turns < 5; turns += 1) await turn();
}
