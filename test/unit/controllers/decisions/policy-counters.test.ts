import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MetaveilError } from '../../../../operator/core/errors.ts';
import { clusterMetadataPolicy, metadataPolicy, namespace } from '../../../builders/objects.ts';
import { settle } from '../../../fakes/timers.ts';
import { run, startPolicies, type Policies } from '../policies/harness.ts';
import { concealed, decided } from './counts.ts';

const tight = 'web/tight';
const interval = 10_000;

function counters({ store }: Policies, kind: 'MetadataPolicy' | 'ClusterMetadataPolicy' = 'MetadataPolicy') {
  const status = store.get(kind, kind === 'MetadataPolicy' ? tight : 'platform')?.status;
  return [status?.concealed, status?.wouldConceal, status?.legacy];
}

const statusWrites = (policies: Policies) => policies.api.take().filter((call) => call.startsWith('status'));

describe('counters of a policy', () => {
  it('begin with its first status, and add up what the nodes count', async () => {
    const policies = startPolicies(namespace(), metadataPolicy(), clusterMetadataPolicy());
    const began = new Date(policies.timers.now()).toISOString().replace('.000', '');
    await run(policies);
    assert.deepEqual(counters(policies), [0, 0, 0]);
    for (const counts of [
      concealed(metadataPolicy(), 3),
      concealed(metadataPolicy(), 4),
      decided(metadataPolicy(), 'would-conceal', 5),
      decided(clusterMetadataPolicy(), 'legacy', 6),
      concealed(undefined, 7),
    ])
      policies.memory.counters.record(counts);
    await policies.timers.advance(interval);
    assert.deepEqual(counters(policies), [7, 5, 0]);
    assert.deepEqual(counters(policies, 'ClusterMetadataPolicy'), [0, 0, 6]);
    assert.equal(policies.store.get('MetadataPolicy', tight)?.status?.countersSince, began);
    assert.deepEqual(policies.failures, []);
  });

  it('are written at most every 10 s, however often nodes report, and not at all when nothing was counted', async () => {
    const policies = startPolicies(namespace(), metadataPolicy(), metadataPolicy({ name: 'quiet' }));
    await run(policies);
    await policies.timers.advance(60_000);
    policies.api.take();
    for (let second = 0; second < 60; second += 1) {
      for (let node = 0; node < 100; node += 1) policies.memory.counters.record(concealed(metadataPolicy()));
      await policies.timers.advance(1_000);
    }
    const writes = statusWrites(policies);
    assert.deepEqual([...new Set(writes)], [`status MetadataPolicy ${tight}`]);
    assert.ok(writes.length >= 5 && writes.length <= 6, `${writes.length} writes in 60 s`);
    await policies.timers.advance(interval);
    assert.deepEqual(counters(policies), [6000, 0, 0]);
    policies.api.take();
    await policies.timers.advance(600_000);
    assert.deepEqual(statusWrites(policies), []);
  });

  it('wait for the next interval if the status was just written for something else', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    await run(policies);
    policies.memory.counters.record(concealed(metadataPolicy()));
    await policies.timers.advance(7_000);
    policies.programming.set(metadataPolicy().metadata.uid ?? '', { desired: 1, programmed: 0 });
    await settle();
    assert.deepEqual(counters(policies), [1, 0, 0]);
    policies.api.take();
    policies.memory.counters.record(concealed(metadataPolicy()));
    await policies.timers.advance(9_999);
    assert.deepEqual(statusWrites(policies), []);
    await policies.timers.advance(interval);
    assert.equal(statusWrites(policies).length, 1);
    assert.deepEqual(counters(policies), [2, 0, 0]);
  });

  it('survive a write that fails', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    await run(policies);
    policies.memory.counters.record(concealed(metadataPolicy(), 2));
    policies.api.refuse = () => new MetaveilError('kubernetes-unavailable', 'away');
    await policies.timers.advance(interval);
    assert.equal(policies.failures.length > 0, true);
    policies.api.refuse = () => undefined;
    await policies.timers.advance(60_000);
    assert.deepEqual(counters(policies), [2, 0, 0]);
  });
});

describe('a new leader', () => {
  it('goes on from what the status says, with the time from which it counts', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    const first = await run(policies);
    policies.memory.counters.record(concealed(metadataPolicy(), 40));
    await policies.timers.advance(interval);
    const before = policies.store.get('MetadataPolicy', tight)?.status;
    await first.stop();
    await policies.timers.advance(30_000);
    await run(policies);
    const afterTakingOver = policies.store.get('MetadataPolicy', tight)?.status;
    assert.deepEqual(afterTakingOver, before);
    policies.memory.counters.record(concealed(metadataPolicy(), 2));
    await policies.timers.advance(interval);
    assert.deepEqual(counters(policies), [42, 0, 0]);
    assert.equal(policies.store.get('MetadataPolicy', tight)?.status?.countersSince, before?.countersSince);
  });

  it('adds what it was told before it looked at the policy for the first time', async () => {
    const status = { concealed: 40, wouldConceal: 1, countersSince: '2026-01-01T00:00:00Z' };
    const policies = startPolicies(namespace(), metadataPolicy({ status }));
    const runtime = policies.runtime();
    policies.memory.counters.record(concealed(metadataPolicy(), 2));
    runtime.start();
    await policies.timers.advance(interval);
    assert.deepEqual(counters(policies), [42, 1, 0]);
    await runtime.stop();
  });

  it('never goes below what the last one wrote, though the watch showed that late', async () => {
    const status = { concealed: 40, countersSince: '2026-01-01T00:00:00Z' };
    const policies = startPolicies(namespace(), metadataPolicy({ status }));
    policies.api.refuse = (call) =>
      call.startsWith('status') ? new MetaveilError('kubernetes-unavailable', '') : undefined;
    await run(policies);
    policies.store.upsert(metadataPolicy({ status: { ...status, concealed: 55 } }));
    policies.api.refuse = () => undefined;
    await policies.timers.advance(60_000);
    assert.deepEqual(counters(policies), [55, 0, 0]);
  });

  it('that led before starts from the status again', () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    const { counters: mine } = policies.memory;
    mine.record(concealed(metadataPolicy(), 5));
    mine.handOver();
    const status = { concealed: 3, countersSince: '2026-01-01T00:00:00Z' };
    assert.deepEqual(mine.countersOf(metadataPolicy().metadata.uid ?? '', status, 0), {
      ...{ concealed: 3, wouldConceal: 0, legacy: 0 },
      countersSince: '2026-01-01T00:00:00Z',
    });
  });
});

describe('the end of a policy', () => {
  it('ends its counters: one of the same name starts at zero, late reports for the old one count for nobody', async () => {
    const policies = startPolicies(namespace(), metadataPolicy());
    await run(policies);
    policies.memory.counters.record(concealed(metadataPolicy(), 40));
    await policies.timers.advance(interval);
    policies.store.upsert(metadataPolicy({ metadata: { uid: 'recreated' } }));
    policies.memory.counters.record(concealed(metadataPolicy(), 2));
    await policies.timers.advance(interval);
    assert.deepEqual(counters(policies), [0, 0, 0]);
  });

  it('numbers stay safe integers, whatever a node claims', () => {
    const policies = startPolicies(metadataPolicy());
    for (let report = 0; report < 3; report += 1)
      policies.memory.counters.record(concealed(metadataPolicy(), Number.MAX_SAFE_INTEGER));
    const uid = metadataPolicy().metadata.uid ?? '';
    assert.equal(policies.memory.counters.countersOf(uid, undefined, 0).concealed, Number.MAX_SAFE_INTEGER);
  });
});
