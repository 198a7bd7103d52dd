import type { CanonicalQuery } from '../request/canonical.ts';

export type WaitPlan =
  | { readonly kind: 'answer-now' }
  /** Wait until the ETag differs from `etag`, at most `timeoutMs` if given; then answer with what is there. */
  | { readonly kind: 'wait'; readonly etag: string; readonly timeoutMs?: number };

/** Whether a request waits, given the ETag its answer has now. */
export declare function planWait(query: CanonicalQuery, etag: string): WaitPlan;
