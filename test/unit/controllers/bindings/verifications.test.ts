import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { VerificationOutcome, VerificationRequest } from '../../../../operator/controllers/ports.ts';
import { Verifications } from '../../../../operator/controllers/bindings/verifications.ts';
import type { VerificationsOptions } from '../../../../operator/controllers/bindings/verifications.ts';
import { binding, provider, serviceAccount } from '../../../builders/objects.ts';
import { FakeVerifier } from '../../../fakes/controllers.ts';
import { FakeTimers, settle } from '../../../fakes/timers.ts';

const requestOf = (name = 'api', spec: Parameters<typeof binding>[0] = {}): VerificationRequest => ({
  binding: binding({ name, ...spec }),
  provider: provider(),
  serviceAccount: serviceAccount({ name }),
});

function verificationsOf(options: Partial<VerificationsOptions> = {}) {
  const timers = new FakeTimers();
  const verifier = new FakeVerifier();
  const outcomes: string[] = [];
  const verifications = new Verifications({
    verifier,
    timers,
    random: () => 0.5,
    onOutcome: (key, _request, { kind }) => outcomes.push(`${key} ${kind}`),
    ...options,
  });
  return { timers, verifier, outcomes, verifications };
}

describe('Verifications', () => {
  it('verify a new request at once and remember the outcome for exactly this request', async () => {
    const { verifications, outcomes } = verificationsOf();
    assert.equal(verifications.outcome('web/api', requestOf(), false), undefined);
    await settle();
    assert.deepEqual(outcomes, ['web/api verified']);
    assert.deepEqual(verifications.outcome('web/api', requestOf(), false), { kind: 'verified' });
    const changed = requestOf('api', { spec: { scopes: ['openid'] } });
    assert.equal(verifications.outcome('web/api', changed, false), undefined);
  });

  it('do not ask anew for the same request', async () => {
    const { verifications, verifier } = verificationsOf();
    for (let times = 0; times < 5; times += 1) verifications.outcome('web/api', requestOf(), false);
    await settle();
    assert.deepEqual(verifier.asked, ['web/api']);
  });

  it('ask anew for a ServiceAccount recreated under its name', async () => {
    const { verifications, verifier, timers } = verificationsOf();
    verifications.outcome('web/api', requestOf(), false);
    await settle();
    verifications.outcome('web/api', { ...requestOf(), serviceAccount: serviceAccount({ uid: 'again' }) }, false);
    await timers.advance(100);
    assert.equal(verifier.asked.length, 2);
  });

  it('keep a distance between each other', async () => {
    const { verifications, verifier, timers } = verificationsOf({ spacingMs: 1_000 });
    for (const name of ['a', 'b', 'c', 'd']) verifications.outcome(`web/${name}`, requestOf(name), false);
    await settle();
    assert.deepEqual(verifier.asked, ['web/a']);
    await timers.advance(999);
    assert.deepEqual(verifier.asked, ['web/a']);
    await timers.advance(1);
    assert.deepEqual(verifier.asked, ['web/a', 'web/b']);
    await timers.advance(2_000);
    assert.deepEqual(verifier.asked, ['web/a', 'web/b', 'web/c', 'web/d']);
  });

  it('repeat after the interval, with jitter', async () => {
    for (const [random, wait] of [
      [0, 750],
      [0.5, 1_000],
      [1, 1_250],
    ] as const) {
      const { verifications, timers } = verificationsOf({ intervalMs: 1_000, random: () => random });
      verifications.outcome('web/api', requestOf(), false);
      await settle();
      assert.deepEqual(timers.pending(), [wait]);
    }
  });

  it('repeat a failure sooner, then ever later', async () => {
    const { verifications, timers, verifier } = verificationsOf();
    verifier.answer = () => ({ kind: 'rejected', reason: 'no' });
    verifications.outcome('web/api', requestOf(), false);
    await settle();
    const waits: number[] = [];
    for (let times = 0; times < 8; times += 1) {
      const [wait = 0] = timers.pending();
      waits.push(wait);
      await timers.advance(wait);
    }
    assert.deepEqual(waits, [10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, 600_000]);
  });

  it('spread what an earlier process verified', async () => {
    const { verifications, verifier, timers } = verificationsOf({ random: () => 0.25 });
    verifications.outcome('web/api', requestOf(), true);
    await timers.advance(74_999);
    assert.deepEqual(verifier.asked, []);
    await timers.advance(1);
    assert.deepEqual(verifier.asked, ['web/api']);
  });

  it('drop an outcome about something that changed meanwhile', async () => {
    const { verifications, verifier, outcomes, timers } = verificationsOf();
    const first = Promise.withResolvers<VerificationOutcome>();
    verifier.answer = () => first.promise;
    verifications.outcome('web/api', requestOf(), false);
    await settle();
    verifier.answer = () => ({ kind: 'verified' });
    const changed = requestOf('api', { spec: { scopes: ['openid'] } });
    verifications.outcome('web/api', changed, false);
    first.resolve({ kind: 'permission-denied', reason: 'old' });
    await timers.advance(100);
    assert.deepEqual(outcomes, ['web/api verified']);
  });

  it('forget a binding that is gone', async () => {
    const { verifications, verifier, outcomes, timers } = verificationsOf();
    const first = Promise.withResolvers<VerificationOutcome>();
    verifier.answer = () => first.promise;
    verifications.outcome('web/api', requestOf(), false);
    await settle();
    verifications.forget('web/api');
    first.resolve({ kind: 'verified' });
    await timers.advance(86_400_000);
    assert.deepEqual(outcomes, []);
    assert.equal(verifier.asked.length, 1);
  });

  it('one that hangs holds up no other', async () => {
    const { verifications, verifier, outcomes, timers } = verificationsOf();
    verifier.answer = ({ binding: { metadata } }) =>
      metadata.name === 'stuck' ? new Promise(() => undefined) : { kind: 'verified' };
    verifications.outcome('web/stuck', requestOf('stuck'), false);
    verifications.outcome('web/api', requestOf(), false);
    await timers.advance(1_000);
    assert.deepEqual(outcomes, ['web/api verified']);
  });

  it('a new request does not wait for the end of one that hangs', async () => {
    const { verifications, outcomes, timers } = verificationsOf({
      verifier: {
        verify: ({ binding: { spec } }, signal) =>
          spec.scopes === undefined ? endOf(signal) : Promise.resolve({ kind: 'verified' }),
      },
    });
    verifications.outcome('web/api', requestOf(), false);
    await settle();
    verifications.outcome('web/api', requestOf('api', { spec: { scopes: ['openid'] } }), false);
    await timers.advance(100);
    assert.deepEqual(outcomes, ['web/api verified']);
  });
});

/** Answers only when nobody wants the answer any more. */
function endOf(signal: AbortSignal): Promise<VerificationOutcome> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve({ kind: 'unavailable', reason: 'superseded' }));
  });
}
