import { MetaveilError } from '../../core/errors.ts';
import type { Timers } from '../../core/time.ts';

export interface Limit {
  readonly timers: Timers;
  readonly ms: number;
  /** Names the work in the error's message. */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `work` with a signal that aborts after `limit.ms` or with `limit.signal`, whichever is first; work must heed
 * it. Our own timer and not AbortSignal.any: that one keeps a listener on long-lived signals for every call.
 *
 * @throws {MetaveilError} deadline-exceeded as the signal's reason
 */
export async function withDeadline<T>(limit: Limit, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const give = (why: string) => {
    controller.abort(new MetaveilError('deadline-exceeded', `${limit.what}: ${why}`));
  };
  const cancel = () => {
    give('the caller gave up');
  };
  const disarm = limit.timers.after(limit.ms, () => {
    give(`no answer within ${limit.ms} ms`);
  });
  limit.signal?.addEventListener('abort', cancel, { once: true });
  if (limit.signal?.aborted === true) cancel();
  try {
    return await work(controller.signal);
  } finally {
    disarm();
    limit.signal?.removeEventListener('abort', cancel);
  }
}
