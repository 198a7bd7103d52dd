import type { Timers } from '../../../../operator/core/time.ts';

/** Time that moves only when a test says so. */
export class FakeTimers implements Timers {
  readonly #tasks = new Set<{ readonly dueAt: number; readonly task: () => void }>();
  #now = 1_000_000;

  now(): number {
    return this.#now;
  }

  after(delayMs: number, task: () => void): () => void {
    const entry = { dueAt: this.#now + delayMs, task };
    this.#tasks.add(entry);
    return () => this.#tasks.delete(entry);
  }

  /** Milliseconds until each pending task, sorted. */
  pending(): number[] {
    return [...this.#tasks].map(({ dueAt }) => dueAt - this.#now).sort((a, b) => a - b);
  }

  /** Runs what falls due on the way, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = [...this.#tasks].filter(({ dueAt }) => dueAt <= end).sort((a, b) => a.dueAt - b.dueAt);
      if (next === undefined) break;
      this.#tasks.delete(next);
      this.#now = Math.max(this.#now, next.dueAt);
      next.task();
    }
    this.#now = end;
  }
}

/** Values that arrive later, in order. */
export class Arrivals<T> {
  readonly #values: T[] = [];
  readonly #waiting: ((value: T) => void)[] = [];

  push(value: T): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#values.push(value);
    else next(value);
  }

  next(): Promise<T> {
    const value = this.#values.shift();
    return value === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(value);
  }

  /** Those nobody has taken yet. */
  get waiting(): number {
    return this.#values.length;
  }
}
