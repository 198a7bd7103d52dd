import type { CanonicalQuery } from '../request/canonical.ts';

export type WaitPlan =
  | { readonly kind: 'answer-now' }
  /** Wait until the ETag differs from `etag`, at most `timeoutMs` if given; then answer with what is there. */
  | { readonly kind: 'wait'; readonly etag: string; readonly timeoutMs?: number };

/**
 * Whether a request waits, given the ETag its answer has now. Without `last_etag` it waits for the next change; with
 * another one (Google's agent starts with `NONE`) the change already happened. Time-out 0 means no limit of the
 * client's own.
 */
export function planWait(query: CanonicalQuery, etag: string): WaitPlan {
  if (query.waitForChange !== true) return { kind: 'answer-now' };
  if (query.lastEtag !== undefined && query.lastEtag !== etag) return { kind: 'answer-now' };
  const { timeoutSec = 0 } = query;
  return { kind: 'wait', etag, ...(timeoutSec === 0 ? {} : { timeoutMs: timeoutSec * 1000 }) };
}
