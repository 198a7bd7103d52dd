import { MetaveilError } from '../core/errors.ts';
import type { Timers } from '../core/time.ts';

/**
 * Runs `work` with a signal that aborts after `ms` or with `parent`. The promise then rejects at once, whether or not
 * `work` heeds the signal: with deadline-exceeded, or with the parent's reason.
 */
export async function withDeadline<T>(
  timers: Timers,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  parent?: AbortSignal,
): Promise<T> {
  const controller = new AbortController();
  const { promise: ended, reject } = Promise.withResolvers<never>();
  // Nobody may be waiting any more when it rejects.
  ended.catch(() => undefined);
  const end = (reason: unknown): void => {
    controller.abort(reason);
    reject(reason);
  };
  const onParent = (): void => end(parent?.reason);
  if (parent?.aborted === true) onParent();
  parent?.addEventListener('abort', onParent, { once: true });
  const cancel = timers.after(ms, () => end(new MetaveilError('deadline-exceeded', `no answer within ${ms} ms`)));
  try {
    return await Promise.race([work(controller.signal), ended]);
  } finally {
    cancel();
    parent?.removeEventListener('abort', onParent);
  }
}
