/** Time as an argument: tests run on a clock of their own. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface Timers extends Clock {
  /** Runs `task` once, `delayMs` from now. Returns how to cancel it. */
  after(delayMs: number, task: () => void): () => void;
}

/** RFC 3339 in UTC with whole seconds, the form of metav1.Time. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** Resolves after `ms`, or as soon as the signal aborts: who waits looks at the signal anyway. */
export function pause(timers: Timers, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const wake = () => {
      disarm();
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const disarm = timers.after(ms, wake);
    signal?.addEventListener('abort', wake, { once: true });
  });
}
