import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { CanonicalQuery } from '../../../../operator/core/request/canonical.ts';
import { planWait, type WaitPlan } from '../../../../operator/core/tree/wait.ts';

const now: WaitPlan = { kind: 'answer-now' };
const rows: readonly (readonly [what: string, query: CanonicalQuery, plan: WaitPlan])[] = [
  ['no wait_for_change', { lastEtag: 'e1' }, now],
  ['wait_for_change=false', { waitForChange: false }, now],
  ['another ETag: the change is there', { waitForChange: true, lastEtag: 'e0' }, now],
  ['the guest agent’s NONE', { waitForChange: true, lastEtag: 'NONE', timeoutSec: 60 }, now],
  ['an empty ETag', { waitForChange: true, lastEtag: '' }, now],
  ['no ETag: the next change', { waitForChange: true }, { kind: 'wait', etag: 'e1' }],
  ['the same ETag', { waitForChange: true, lastEtag: 'e1' }, { kind: 'wait', etag: 'e1' }],
  ['with a time-out', { waitForChange: true, timeoutSec: 60 }, { kind: 'wait', etag: 'e1', timeoutMs: 60_000 }],
  ['time-out 0 is none', { waitForChange: true, timeoutSec: 0 }, { kind: 'wait', etag: 'e1' }],
];
for (const [what, query, plan] of rows) {
  it(what, () => assert.deepEqual(planWait(query, 'e1'), plan));
}
