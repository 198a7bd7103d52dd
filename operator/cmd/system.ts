/** The real clock and hash; everything below cmd gets them as arguments. */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ContentHash, Hash } from '../core/brand.ts';
import type { Timers } from '../core/time.ts';

export const systemTimers: Timers = {
  now: () => Date.now(),
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

export const sha256: Hash = (text) => hash('sha256', text) as ContentHash;

/** Of the host, another one after each reboot. Throws what the file system throws. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Aborts when the process is told to end: by kubelet, a service manager or a person at the terminal. */
export function endingSignal(): AbortSignal {
  const ending = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ending.abort());
  return ending.signal;
}

/** Resolves when the process is told to end. */
export function ended(): Promise<void> {
  const ending = endingSignal();
  return new Promise((resolve) => ending.addEventListener('abort', () => resolve(), { once: true }));
}
