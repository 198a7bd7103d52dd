import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Backoff } from '../../../operator/nodeapi/client/backoff.ts';

function delays(random: number, count: number): readonly number[] {
  const backoff = new Backoff(() => random);
  return Array.from({ length: count }, () => backoff.next());
}

describe('the pause of a proxy between two tries to reach the node API', () => {
  it('doubles from a quarter of a second', () => {
    assert.deepEqual(delays(1, 5), [250, 500, 1_000, 2_000, 4_000]);
  });

  it('is never longer than 10 s, so that new pods are known soon after an outage of any length', () => {
    assert.equal(Math.max(...delays(1, 100)), 10_000);
  });

  it('differs between nodes by up to half', () => {
    assert.deepEqual(delays(0, 3), [125, 250, 500]);
  });

  it('is short again after something was received', () => {
    const backoff = new Backoff(() => 1);
    for (let failure = 0; failure < 10; failure += 1) backoff.next();
    backoff.reset();
    assert.equal(backoff.next(), 250);
  });
});
