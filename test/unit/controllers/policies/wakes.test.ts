import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PolicyCounters } from '../../../../operator/controllers/decisions/policy-counters.ts';
import { listen } from '../../../../operator/controllers/policies/wakes.ts';
import { clusterMetadataPolicy, metadataPolicy, namespace, node, pod, storeOf } from '../../../builders/objects.ts';
import { FakeProgramming } from '../../../fakes/controllers.ts';
import { FakeTimers } from '../../../fakes/timers.ts';
import { concealed } from '../decisions/counts.ts';
import { conditionOf, networkPoliciesOf, run, startPolicies } from './harness.ts';

function listening(kind: 'MetadataPolicy' | 'ClusterMetadataPolicy') {
  const cluster = storeOf(metadataPolicy(), metadataPolicy({ namespace: 'shop' }), clusterMetadataPolicy());
  const timers = new FakeTimers();
  const programming = new FakeProgramming();
  const woken: string[] = [];
  const counters = new PolicyCounters(cluster);
  const stop = listen({ kind, cluster, programming, counters, timers }, (key) => woken.push(key));
  return { cluster, timers, programming, counters, woken, stop };
}

describe('what wakes a policy', () => {
  it('is any number of pods of its namespace, once in 10 s', async () => {
    const { cluster, timers, woken } = listening('MetadataPolicy');
    for (let at = 0; at < 1000; at += 1) cluster.upsert(pod({ name: `api-${at}` }));
    assert.deepEqual(woken, []);
    assert.deepEqual(timers.pending(), [10_000]);
    await timers.advance(10_000);
    assert.deepEqual(woken, ['web/tight']);
    await timers.advance(60_000);
    assert.deepEqual(woken, ['web/tight']);
  });

  it('is any pod for a ClusterMetadataPolicy', async () => {
    const { cluster, timers, woken } = listening('ClusterMetadataPolicy');
    cluster.upsert(pod({ namespace: 'elsewhere' }));
    await timers.advance(10_000);
    assert.deepEqual(woken, ['platform']);
  });

  it('is a node for all: it may bring a platform with other addresses', async () => {
    const { cluster, timers, woken } = listening('MetadataPolicy');
    cluster.upsert(node());
    await timers.advance(10_000);
    assert.deepEqual(woken, ['web/tight', 'shop/tight']);
    cluster.upsert(pod());
    await timers.advance(10_000);
    assert.deepEqual(woken, ['web/tight', 'shop/tight', 'web/tight']);
  });

  it('is any number of decisions counted for it, once in 10 s', async () => {
    const { timers, counters, woken } = listening('MetadataPolicy');
    for (let at = 0; at < 1000; at += 1) counters.record(concealed(metadataPolicy()));
    counters.record(concealed(clusterMetadataPolicy()));
    await timers.advance(9_999);
    assert.deepEqual(woken, []);
    await timers.advance(1);
    assert.deepEqual(woken, ['web/tight']);
  });

  it('is an acknowledgement, at once', () => {
    const { programming, woken } = listening('MetadataPolicy');
    programming.set(metadataPolicy().metadata.uid ?? '', { desired: 1, programmed: 1 });
    programming.set('of somebody else', { desired: 1 });
    assert.deepEqual(woken, ['web/tight']);
  });

  it('is nothing after the end', async () => {
    const { cluster, timers, programming, counters, woken, stop } = listening('MetadataPolicy');
    cluster.upsert(pod());
    stop();
    counters.record(concealed(metadataPolicy()));
    cluster.upsert(pod({ name: 'late' }));
    programming.set(metadataPolicy().metadata.uid ?? '', { desired: 1 });
    await timers.advance(60_000);
    assert.deepEqual(woken, []);
    assert.deepEqual(timers.pending(), []);
  });
});

describe('a node of another platform', () => {
  it('has its addresses blocked by the policies that exist', async () => {
    const policies = startPolicies(namespace(), node(), metadataPolicy());
    await run(policies);
    const text = () => JSON.stringify(networkPoliciesOf(policies).map((name) => policies.api.object(name)['spec']));
    assert.doesNotMatch(text(), /169\.254\.170\.2/);
    policies.store.upsert(node({ name: 'node-b', providerID: 'aws:///eu-west-1a/i-0123' }));
    await policies.timers.advance(10_000);
    assert.match(text(), /169\.254\.170\.2\/32/);
    assert.equal(conditionOf(policies, 'MetadataPolicy', 'web/tight', 'DirectEgress'), 'True Blocked');
  });

  it('keeps DNS and NTP open on 169.254.169.254 unless every node says that it is not on GCE', async () => {
    for (const [providerID, open] of [
      ['gce://p/z/n', true],
      ['', true],
      ['aws:///z/i-1', false],
    ] as const) {
      const policies = startPolicies(namespace(), node({ providerID }), metadataPolicy());
      await run(policies);
      const [name = ''] = networkPoliciesOf(policies);
      const opened = JSON.stringify(policies.api.object(name)['spec']).includes('"cidr":"169.254.169.254/32"');
      assert.equal(opened, open, providerID);
    }
  });
});
