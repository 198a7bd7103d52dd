/** The real clock and hash; everything below cmd gets them as arguments. */
import { hash } from 'node:crypto';
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
