/** A pod's request is held while Google or the API server is away for a moment: not every client asks a second time. */
import { errorCodeOf } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/errors.ts';
import { pause, type Timers } from '../../core/time.ts';

/**
 * Pauses between tries, in ms, 1.5 s in all: clients wait 3 s at least, and what takes longer to pass is better told.
 */
const pausesMs = [250, 500, 750];

const passing: ReadonlySet<ErrorCode | undefined> = new Set(['google-unavailable', 'kubernetes-unavailable']);

/** Does `work` again while it fails for what soon goes away by itself. Throws its last error; ends with `signal`. */
export async function held<T>(timers: Timers, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (const pauseMs of pausesMs) {
    try {
      return await work();
    } catch (error) {
      if (!passing.has(errorCodeOf(error))) throw error;
      await pause(timers, pauseMs, signal);
      if (signal.aborted) throw error;
    }
  }
  return work();
}
