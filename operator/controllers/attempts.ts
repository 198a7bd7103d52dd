import { MetaveilError } from '../core/errors.ts';

/**
 * Takes each step although the API server refuses others: one object that admission turns down must not keep back the
 * rest. Throws the first refusal when all were tried, and at once whatever would meet the next step too.
 */
export async function attemptAll<T>(items: readonly T[], step: (item: T) => Promise<void>): Promise<void> {
  let refusal: MetaveilError | undefined;
  for (const item of items) {
    try {
      await step(item);
    } catch (error) {
      if (!(error instanceof MetaveilError) || error.retryable) throw error;
      refusal ??= error;
    }
  }
  if (refusal !== undefined) throw refusal;
}
