import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deny } from '../../../operator/core/request/denials.ts';
import { Budget } from '../../../operator/proxy/budget.ts';
import { DenialLog, logBurst, logRefillMs } from '../../../operator/proxy/denial-log.ts';
import type { Logger } from '../../../operator/telemetry/log.ts';
import { FakeTimers } from '../../fakes/timers.ts';
import { workload } from './support.ts';

describe('denial log', () => {
  it('sums up the lines of a source that is refused too often, without silencing others', async () => {
    const lines: [string, unknown][] = [];
    const logger: Logger = {
      info: (event, fields) => void lines.push([event, fields]),
      warn: (event, fields) => void lines.push([event, fields]),
      error: (event, fields) => void lines.push([event, fields]),
    };
    const timers = new FakeTimers();
    const log = new DenialLog(logger, timers);
    const context = { workload: workload('a', '10.0.0.1', undefined), method: 'GET', path: '/' };
    for (let count = 0; count < logBurst + 40; count += 1)
      log.denied(deny('concealed'), { ...context, address: '10.0.0.1' });
    log.denied(deny('concealed'), { ...context, address: '10.0.0.2' });
    assert.equal(lines.length, logBurst + 1);
    await timers.advance(logRefillMs);
    log.denied(deny('concealed'), { ...context, address: '10.0.0.1' });
    assert.deepEqual(lines.slice(-2), [
      ['denials-suppressed', { source: '10.0.0.1', count: 40 }],
      [
        'request-denied',
        {
          code: 'concealed',
          status: 403,
          source: '10.0.0.1',
          method: 'GET',
          path: '/',
          namespace: 'team',
          pod: 'a',
          podUid: 'pod-a',
          serviceAccount: 'a',
        },
      ],
    ]);
  });
});

describe('budget', () => {
  it('allows a burst, then one per interval, and never saves up more than the burst', () => {
    const budget = new Budget(2, 100, 0);
    assert.deepEqual([budget.take(0), budget.take(0), budget.take(99)], [true, true, false]);
    assert.deepEqual([budget.take(100), budget.take(199), budget.take(200)], [true, false, true]);
    assert.deepEqual([budget.take(10_000), budget.take(10_000), budget.take(10_000)], [true, true, false]);
  });
});
