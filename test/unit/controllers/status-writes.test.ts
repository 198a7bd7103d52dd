import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { statusWrite, WrittenStatuses } from '../../../operator/controllers/status-writes.ts';
import { condition } from '../../builders/objects.ts';

const ready = condition({ type: 'Ready', status: 'True', reason: 'Ready' });
const status = (workloads: number, conditions = [ready]) => ({ observedGeneration: 1, conditions, workloads });

describe('statusWrite', () => {
  const at = (lastAt: number | undefined, now = 20_000) => ({
    writes: lastAt === undefined ? undefined : { lastAt, hurried: 0 },
    now,
  });

  it('writes nothing when nothing changed, whatever the order of keys', () => {
    const { workloads, conditions, observedGeneration } = status(1);
    const reordered = { workloads, observedGeneration, conditions };
    assert.deepEqual(statusWrite(status(1), reordered, at(0)), { kind: 'none' });
  });

  it('writes a transition at once', () => {
    const soon = at(19_999);
    const other = [
      [{ ...ready, status: 'False' as const }],
      [{ ...ready, reason: 'NoWorkloads' }],
      [ready, condition({ type: 'Stalled', status: 'True', reason: 'Ready' })],
    ];
    for (const conditions of other) assert.equal(statusWrite(status(1), status(1, conditions), soon).kind, 'now');
    assert.equal(statusWrite(status(1), { ...status(1), observedGeneration: 2 }, soon).kind, 'now');
    assert.equal(statusWrite(undefined, status(1), soon).kind, 'now');
  });

  it('writes numbers and texts at most every 10 s', () => {
    assert.deepEqual(statusWrite(status(1), status(2), at(15_000)), { kind: 'later', inMs: 5_000 });
    assert.equal(statusWrite(status(1), status(1, [{ ...ready, message: 'Else.' }]), at(15_000)).kind, 'later');
    assert.equal(statusWrite(status(1), status(2), at(10_000)).kind, 'now');
    assert.equal(statusWrite(status(1), status(2), at(undefined)).kind, 'now');
  });
});

describe('WrittenStatuses', () => {
  const object = (workloads: number, uid = 'u') => ({ metadata: { uid }, status: { workloads } });

  it('plans from what was written until the watch has shown it', () => {
    const written = new WrittenStatuses<{ readonly workloads: number }>();
    written.remember('a', object(1), { status: { workloads: 2 }, at: 1_000 });
    assert.deepEqual(written.previous('a', object(1), 1_001), { workloads: 2 });
    assert.deepEqual(written.previous('a', object(2), 1_002), { workloads: 2 });
    // Somebody overwrote it: from now on the store is right.
    assert.deepEqual(written.previous('a', object(7), 1_003), { workloads: 7 });
  });

  it('writes what changes on and on as rarely as numbers, and at once again when it has calmed down', () => {
    const written = new WrittenStatuses<ReturnType<typeof status>>();
    const states = [status(1), status(1, [{ ...ready, status: 'False' as const }])] as const;
    const turned = [states[1], states[0]] as const;
    let writes = 0;
    let now = 0;
    // A node says yes and no a hundred times a second, for a minute.
    for (; now < 60_000; now += 10) {
      const [previous, next] = (now / 10) % 2 === 0 ? states : turned;
      if (statusWrite(previous, next, { writes: written.writes('a'), now }).kind !== 'now') continue;
      written.remember('a', { metadata: { uid: 'u' } }, { status: next, at: now });
      writes += 1;
    }
    assert.ok(writes >= 20 && writes <= 40, `${writes} writes`);
    // A spec that somebody changes is always answered at once.
    const changed = { ...states[0], observedGeneration: 2 };
    assert.equal(statusWrite(states[0], changed, { writes: written.writes('a'), now }).kind, 'now');
    assert.equal(statusWrite(...states, { writes: written.writes('a'), now: now + 600_000 }).kind, 'now');
  });

  it('trusts the store again after the longest lag', () => {
    const written = new WrittenStatuses<{ readonly workloads: number }>();
    written.remember('a', object(1), { status: { workloads: 2 }, at: 1_000 });
    assert.deepEqual(written.previous('a', object(1), 6_001), { workloads: 1 });
  });

  it('knows nothing of an object recreated under its name', () => {
    const written = new WrittenStatuses<{ readonly workloads: number }>();
    written.remember('a', object(1, 'old'), { status: { workloads: 2 }, at: 1_000 });
    assert.deepEqual(written.previous('a', object(0, 'new'), 1_001), { workloads: 0 });
  });
});
