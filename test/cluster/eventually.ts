import { setTimeout as delay } from 'node:timers/promises';

const POLL_EVERY_MS = 50;

/**
 * Repeats `probe` until it returns something other than undefined, and returns that. A probe that throws counts
 * as "not yet": the API server may be restarting. For real servers only; code of our own runs on a fake clock.
 *
 * @param sentence what is awaited, as a sentence; it becomes the error's message
 * @throws {Error} after `timeoutMs` (default 20 s), with the last error of the probe as cause
 */
export async function eventually<T>(
  sentence: string,
  probe: () => Promise<T | undefined>,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const attempt = await tryOnce(probe);
    if (attempt.value !== undefined) return attempt.value;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${sentence}`, { cause: attempt.error });
    await delay(POLL_EVERY_MS);
  }
}

async function tryOnce<T>(probe: () => Promise<T | undefined>): Promise<{ value?: T | undefined; error?: unknown }> {
  try {
    return { value: await probe() };
  } catch (error) {
    return { error };
  }
}
