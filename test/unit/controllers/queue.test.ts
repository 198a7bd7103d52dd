import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KeyedQueue } from '../../../operator/controllers/queue.ts';
import type { QueueOptions, ReconcileResult } from '../../../operator/controllers/queue.ts';
import { FakeTimers, settle } from '../../fakes/timers.ts';

/** A queue whose runs end when the test says so. */
function queueOf(options: Partial<QueueOptions> = {}) {
  const timers = new FakeTimers();
  const started: string[] = [];
  const failures: [key: string, retryInMs: number][] = [];
  const ends = new Map<string, PromiseWithResolvers<ReconcileResult>>();
  const queue = new KeyedQueue({
    reconcile: (key) => {
      started.push(key);
      const end = Promise.withResolvers<ReconcileResult>();
      ends.set(key, end);
      return end.promise;
    },
    timers,
    random: () => 1,
    onFailure: (key, _error, retryInMs) => failures.push([key, retryInMs]),
    ...options,
  });
  const end = async (key: string, result: ReconcileResult | Error = {}) => {
    await settle();
    const pending = ends.get(key);
    assert.ok(pending !== undefined, `${key} is not being worked on`);
    ends.delete(key);
    if (result instanceof Error) pending.reject(result);
    else pending.resolve(result);
    await settle();
  };
  return { queue, timers, started, failures, ends, end };
}

describe('KeyedQueue', () => {
  it('keeps keys until it is started', async () => {
    const { queue, started } = queueOf();
    queue.add('a');
    await settle();
    assert.deepEqual(started, []);
    queue.start();
    await settle();
    assert.deepEqual(started, ['a']);
  });

  it('works on as many keys at once as it has workers, in order', async () => {
    const { queue, started, end } = queueOf({ workers: 2 });
    queue.start();
    for (const key of ['a', 'b', 'c']) queue.add(key);
    await settle();
    assert.deepEqual(started, ['a', 'b']);
    await end('b');
    assert.deepEqual(started, ['a', 'b', 'c']);
  });

  it('never works on one key twice at a time, and once more for all that came meanwhile', async () => {
    const { queue, started, end } = queueOf();
    queue.start();
    queue.add('a');
    await settle();
    queue.add('a');
    queue.add('a');
    assert.deepEqual(started, ['a']);
    await end('a');
    assert.deepEqual(started, ['a', 'a']);
    await end('a');
    assert.deepEqual(started, ['a', 'a']);
    assert.equal(queue.size, 0);
  });

  it('holds one worker per key even if the reconciliation adds its own key at once', async () => {
    let runs = 0;
    let most = 0;
    let now = 0;
    const { queue } = queueOf({
      reconcile: async () => {
        runs += 1;
        most = Math.max(most, (now += 1));
        if (runs < 3) queue.add('a');
        await settle();
        now -= 1;
        return {};
      },
    });
    queue.start();
    queue.add('a');
    for (let turns = 0; turns < 5; turns += 1) await settle();
    assert.deepEqual([runs, most], [3, 1]);
  });

  it('begins no run within the call that adds the key', () => {
    const { queue, started } = queueOf();
    queue.start();
    queue.add('a');
    assert.deepEqual(started, []);
  });

  it('runs again after the delay a run asks for', async () => {
    const { queue, timers, started, end } = queueOf();
    queue.start();
    queue.add('a');
    await end('a', { requeueAfterMs: 10_000 });
    await timers.advance(9_999);
    assert.deepEqual(started, ['a']);
    await timers.advance(1);
    assert.deepEqual(started, ['a', 'a']);
  });

  it('of two delays takes the earlier, and a run settles what was planned', async () => {
    const { queue, timers, started, end } = queueOf();
    queue.start();
    queue.addAfter('a', 1_000);
    queue.addAfter('a', 5_000);
    queue.addAfter('a', 500);
    assert.deepEqual(timers.pending(), [500]);
    queue.add('a');
    await end('a');
    assert.deepEqual(timers.pending(), []);
    assert.deepEqual(started, ['a']);
  });

  it('waits longer after each failure in a row, up to a bound, and forgets failures after a success', async () => {
    const { queue, timers, failures, end } = queueOf({ backoff: { firstMs: 100, longestMs: 350 } });
    queue.start();
    queue.add('a');
    for (const wait of [100, 200, 350, 350]) {
      await end('a', new Error('no'));
      await timers.advance(wait);
    }
    await end('a');
    queue.add('a');
    await end('a', new Error('no'));
    assert.deepEqual(
      failures.map(([, retryInMs]) => retryInMs),
      [100, 200, 350, 350, 100],
    );
  });

  it('spreads retries over the second half of the delay', async () => {
    const { queue, failures, end } = queueOf({ random: () => 0, backoff: { firstMs: 100, longestMs: 1_000 } });
    queue.start();
    queue.add('a');
    await end('a', new Error('no'));
    assert.deepEqual(failures, [['a', 50]]);
  });

  it('does not hold up other keys for a failing one', async () => {
    const { queue, started, end } = queueOf({ workers: 1 });
    queue.start();
    queue.add('a');
    queue.add('b');
    await end('a', new Error('no'));
    assert.deepEqual(started, ['a', 'b']);
  });

  it('treats a reconciliation that throws at once like one that fails', async () => {
    const { queue, failures } = queueOf({
      reconcile: () => {
        throw new Error('at once');
      },
    });
    queue.start();
    queue.add('a');
    await settle();
    assert.equal(failures.length, 1);
  });

  it('stops: aborts what runs, waits for it, and takes nothing more', async () => {
    let signal: AbortSignal | undefined;
    const { queue, timers, started, end, ends } = queueOf({ workers: 1 });
    const watched = queueOf({
      reconcile: (_key, given) => {
        signal = given;
        return Promise.resolve({});
      },
    });
    watched.queue.start();
    watched.queue.add('a');
    queue.start();
    queue.add('a');
    queue.add('b');
    queue.addAfter('c', 10);
    await settle();
    let stopped = false;
    const stopping = queue.stop().then(() => (stopped = true));
    await watched.queue.stop();
    assert.equal(signal?.aborted, true);
    await settle();
    assert.equal(stopped, false);
    await end('a');
    await stopping;
    queue.add('d');
    queue.addAfter('d', 10);
    await timers.advance(100);
    assert.deepEqual(started, ['a']);
    assert.equal(ends.size, 0);
    assert.equal(queue.size, 0);
  });

  it('does not report what fails because it was stopped', async () => {
    const { queue, failures, end } = queueOf();
    queue.start();
    queue.add('a');
    await settle();
    const stopping = queue.stop();
    await end('a', new Error('aborted'));
    await stopping;
    assert.deepEqual(failures, []);
  });
});
