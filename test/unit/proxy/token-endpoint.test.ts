import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tokenReply } from '../../../operator/proxy/token-endpoint.ts';

const now = Date.parse('2026-06-01T00:00:00Z');
const tokens = [
  { token: 'first', expiresAt: now + 3_600_000 },
  { token: 'second', expiresAt: now + 3_600_000 },
] as const;

const bodyAt = (index: 0 | 1, ms: number): unknown => JSON.parse(tokenReply('token', tokens[index], now + ms).body);

describe('the reply with an access token', () => {
  it('counts whole seconds down, however often it is asked for', () => {
    const expected = { access_token: 'first', token_type: 'Bearer' };
    for (const [ms, seconds] of [
      [0, 3600],
      [1, 3599],
      [999, 3599],
      [1000, 3599],
      [1001, 3598],
      [0, 3600],
    ] as const) {
      assert.deepEqual(bodyAt(0, ms), { ...expected, expires_in: seconds }, `after ${ms} ms`);
    }
  });

  it('is its own token, when two end at the same moment', () => {
    assert.deepEqual(bodyAt(0, 0), { access_token: 'first', expires_in: 3600, token_type: 'Bearer' });
    assert.deepEqual(bodyAt(1, 0), { access_token: 'second', expires_in: 3600, token_type: 'Bearer' });
  });
});
