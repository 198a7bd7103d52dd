import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PrometheusMetrics } from '../../../../operator/adapters/prometheus/metrics.ts';
import { DecisionMetrics, mostLegacySeries } from '../../../../operator/controllers/decisions/decision-metrics.ts';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import { endpointNames } from '../../../../operator/core/request/endpoints.ts';
import {
  clusterMetadataPolicy,
  metadataPolicy,
  metadataProxy,
  namespace,
  serviceAccount,
  storeOf,
} from '../../../builders/objects.ts';
import { concealed, decided, legacy, workload } from './counts.ts';

function measured(...objects: readonly StoredObject[]) {
  const store = storeOf(...objects);
  const metrics = new PrometheusMetrics();
  const decisions = new DecisionMetrics(store, metrics);
  /** The lines of the exposition that are about decisions. */
  const series = async (): Promise<readonly string[]> => {
    const text = await metrics.exposition();
    return text
      .split('\n')
      .filter((line) => /^metaveil_(?:decisions|legacy)/u.test(line))
      .sort();
  };
  const legacySeries = async () => (await series()).filter((line) => line.startsWith('metaveil_legacy'));
  return { store, decisions, series, legacySeries };
}

const web: readonly StoredObject[] = [namespace(), serviceAccount(), metadataProxy()];

describe('metrics of decisions', () => {
  it('are those of the policies, and of the MetadataProxy where there is none', async () => {
    const { decisions, series } = measured(...web, metadataPolicy(), clusterMetadataPolicy());
    decisions.record(concealed(metadataPolicy(), 3));
    decisions.record(concealed(metadataPolicy(), 4));
    decisions.record(decided(clusterMetadataPolicy(), 'would-conceal', 2));
    decisions.record(concealed(undefined));
    decisions.record(legacy({ count: 5 }));
    decisions.record(legacy({ access: 'allowed' }));
    assert.deepEqual(await series(), [
      'metaveil_decisions_total{kind="ClusterMetadataPolicy",namespace="",policy="platform",decision="would-conceal"} 2',
      'metaveil_decisions_total{kind="MetadataPolicy",namespace="web",policy="tight",decision="concealed"} 7',
      'metaveil_decisions_total{kind="MetadataProxy",namespace="",policy="default",decision="concealed"} 1',
      'metaveil_legacy_requests_total{namespace="web",service_account="api",endpoint="instance/id",decision="allowed"} 1',
      'metaveil_legacy_requests_total{namespace="web",service_account="api",endpoint="instance/id",decision="denied"} 5',
    ]);
  });

  it('end with the object they are about, and late reports do not bring them back', async () => {
    const { store, decisions, series } = measured(...web, metadataPolicy(), clusterMetadataPolicy());
    const all = [concealed(metadataPolicy()), concealed(clusterMetadataPolicy()), concealed(undefined)];
    for (const counts of [...all, legacy()]) decisions.record(counts);
    assert.equal((await series()).length, 4);
    store.remove('MetadataPolicy', 'web/tight');
    store.remove('ClusterMetadataPolicy', 'platform');
    store.remove('MetadataProxy', 'default');
    store.remove('ServiceAccount', 'web/api');
    for (const counts of all) decisions.record(counts);
    assert.deepEqual(await series(), []);
    // The pod of a ServiceAccount that is gone lives on; it is counted without the name.
    decisions.record(legacy());
    assert.equal((await series()).length, 1);
    store.remove('Namespace', 'web');
    decisions.record(legacy());
    assert.deepEqual(await series(), []);
  });

  it('of a policy of the same name start anew', async () => {
    const { store, decisions, series } = measured(...web, metadataPolicy());
    decisions.record(concealed(metadataPolicy(), 40));
    const recreated = metadataPolicy({ metadata: { uid: 'recreated' } });
    store.upsert(recreated);
    decisions.record(concealed(metadataPolicy(), 2));
    assert.deepEqual(await series(), []);
    decisions.record(concealed(recreated));
    assert.match((await series()).join('\n'), /^metaveil_decisions_total\{.*\} 1$/u);
  });

  it('are of a bounded number, whatever pods ask, and no request is missing in the sum (property)', async () => {
    const accounts = Array.from({ length: 20 }, (_, at) => serviceAccount({ name: `sa-${at}` }));
    const requests = fc.record({
      account: fc.nat({ max: 25 }),
      pod: fc.nat({ max: 1000 }),
      endpoint: fc.constantFrom(...endpointNames),
      access: fc.constantFrom('allowed' as const, 'denied' as const),
      count: fc.integer({ min: 1, max: 1000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(requests, { minLength: 300, maxLength: 1500 }), async (asked) => {
        const { store, decisions, legacySeries } = measured(...web, ...accounts);
        for (const { account, pod, ...request } of asked)
          decisions.record(legacy({ ...request, workload: workload(`pod-${pod}`, 'web', `sa-${account}`) }));
        const lines = await legacySeries();
        assert.ok(lines.length <= mostLegacySeries + 2, `${lines.length} series`);
        const sum = lines.reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
        assert.equal(
          sum,
          asked.reduce((total, { count }) => total + count, 0),
        );
        for (const { name } of accounts) store.remove('ServiceAccount', `web/${name}`);
        assert.ok((await legacySeries()).length <= 2);
        store.remove('Namespace', 'web');
        assert.deepEqual(await legacySeries(), []);
      }),
      { numRuns: 10 },
    );
  });
});
