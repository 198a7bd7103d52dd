import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PodUid } from '../../../operator/core/brand.ts';
import { PrometheusMetrics } from '../../../operator/adapters/prometheus/metrics.ts';
import { bindingView, settings, workload } from './resources.ts';
import { Cluster, newClient, startReplica, until } from './world.ts';

describe('what the node API measures', () => {
  it('is who watches, and what became of the tokens that were asked for', async (t) => {
    const cluster = new Cluster();
    const pod = workload('alpha', bindingView('alpha'));
    cluster.workloads.add('node-a', pod);
    cluster.snapshots.set('node-a', settings('node-a'), pod);
    const metrics = new PrometheusMetrics();
    const { address, server } = await startReplica(t, cluster, { metrics });
    const { client } = newClient(t, cluster, { service: address, token: cluster.proxy('proxy-a', 'node-a') });
    assert.equal(server.sessions, 0);
    await client.start();
    await until('snapshot', () => client.current() !== undefined);
    assert.equal(server.sessions, 1);
    const never = new AbortController().signal;
    const ask = (uid: string) => client.request(uid as PodUid, { kind: 'access', scopes: [] }, never);
    for (const uid of ['pod-alpha', 'pod-alpha', 'pod-of-another-node']) await ask(uid);
    await client.request('pod-alpha' as PodUid, { kind: 'identity', audience: 'https://a', format: 'full' }, never);
    cluster.google.fail('google-permission-denied');
    await client.request('pod-alpha' as PodUid, { kind: 'identity', audience: 'https://b', format: 'full' }, never);
    const text = await metrics.exposition();
    const lines = text.split('\n').filter((line) => line.startsWith('metaveil_token_requests_total'));
    assert.deepEqual(lines.sort(), [
      'metaveil_token_requests_total{kind="access",outcome="issued"} 2',
      'metaveil_token_requests_total{kind="access",outcome="unknown-workload"} 1',
      'metaveil_token_requests_total{kind="identity",outcome="google-refused"} 1',
      'metaveil_token_requests_total{kind="identity",outcome="issued"} 1',
    ]);
    assert.doesNotMatch(text, /SECRET/u);
    await client.stop();
    await until('gone', () => server.sessions === 0);
  });
});
