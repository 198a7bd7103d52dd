import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  minimumReportedMs,
  planFreshness,
  reportedSeconds,
  servingOf,
} from '../../../../operator/core/token/freshness.ts';

const token = (expiresAt: number) => ({ token: 'secret', expiresAt });
const second = 1000;
const jitters = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const tiers = fc.constantFrom('proxy' as const, 'controller' as const);

describe('freshness', () => {
  it('renews an hour-long token before 330 s remain and lets requests wait only after that', () => {
    for (const jitter of [0, 0.999]) {
      const plan = planFreshness('proxy', token(3600 * second), 0, jitter);
      assert.equal(servingOf(plan, 0), 'fresh');
      assert.equal(servingOf(plan, plan.renewAt), 'renew');
      assert.equal(servingOf(plan, 3270 * second - 1), 'renew');
      assert.equal(servingOf(plan, 3270 * second), 'wait');
      assert.equal(servingOf(plan, 3599 * second), 'wait');
      assert.equal(servingOf(plan, 3600 * second), 'expired');
    }
  });

  it('never serves without waiting when fewer than 330 s would be reported', () => {
    fc.assert(
      fc.property(
        tiers,
        fc.integer({ min: 331, max: 43_200 }),
        jitters,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (tier, seconds, jitter, at) => {
          const issued = token(seconds * second);
          const plan = planFreshness(tier, issued, 0, jitter);
          const now = at * seconds * second;
          const serving = servingOf(plan, now);
          if (serving === 'fresh' || serving === 'renew') assert.ok(reportedSeconds(issued, now) >= 330);
        },
      ),
    );
  });

  it('orders renewal, waiting and expiry for every lifetime', () => {
    fc.assert(
      fc.property(tiers, fc.integer({ min: 0, max: 43_200_000 }), jitters, (tier, lifetime, jitter) => {
        const plan = planFreshness(tier, token(lifetime), 0, jitter);
        assert.ok(plan.renewAt >= 0);
        assert.ok(plan.renewAt <= plan.waitAt);
        assert.ok(plan.waitAt <= plan.expiresAt);
      }),
    );
  });

  it('lets the controller hand out only tokens that a proxy need not renew at once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 600, max: 43_200 }), jitters, jitters, (seconds, one, other) => {
        const issued = token(seconds * second);
        const lastHandedOut = planFreshness('controller', issued, 0, one).waitAt - 1;
        const plan = planFreshness('proxy', issued, lastHandedOut, other);
        assert.equal(servingOf(plan, lastHandedOut), 'fresh');
      }),
    );
  });

  it('has the controller renew before any proxy that got the token at its start asks again', () => {
    fc.assert(
      fc.property(fc.integer({ min: 600, max: 43_200 }), jitters, jitters, (seconds, one, other) => {
        const issued = token(seconds * second);
        const controller = planFreshness('controller', issued, 0, one);
        const proxy = planFreshness('proxy', issued, 0, other);
        assert.ok(controller.renewAt <= proxy.renewAt);
      }),
    );
  });

  it('keeps half of a token that is short from the start', () => {
    const plan = planFreshness('proxy', token(200 * second), 0, 0.5);
    assert.equal(plan.waitAt, 100 * second);
    assert.equal(servingOf(plan, 10 * second), 'fresh');
  });

  it('spreads renewals by jitter', () => {
    const early = planFreshness('proxy', token(3600 * second), 0, 0.9).renewAt;
    const late = planFreshness('proxy', token(3600 * second), 0, 0.1).renewAt;
    assert.ok(late - early > 60 * second);
  });

  it('reports whole seconds that really remain', () => {
    assert.equal(reportedSeconds(token(10_999), 0), 10);
    assert.equal(reportedSeconds(token(10_999), 10_500), 0);
    assert.equal(reportedSeconds(token(0), 5), 0);
    assert.equal(minimumReportedMs, 330_000);
  });

  it('treats a token with less than a whole second left as expired', () => {
    const plan = planFreshness('proxy', token(3600 * second), 0, 0);
    assert.equal(servingOf(plan, 3600 * second - 999), 'expired');
  });
});
