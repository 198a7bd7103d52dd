import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import { isLive } from '../../../../operator/core/cluster/objects.ts';
import { buildNodeSnapshot } from '../../../../operator/core/snapshot/build.ts';
import type { NodeSnapshot } from '../../../../operator/core/snapshot/types.ts';
import {
  binding,
  clusterMetadataPolicy,
  metadataPolicy,
  metadataProxy,
  namespace,
  node,
  pod,
  provider,
  serviceAccount,
  storeOf,
} from '../../../builders/objects.ts';
import { change, changes, optionsFor } from './world.ts';

const base: readonly StoredObject[] = [node(), namespace(), serviceAccount(), provider(), metadataProxy()];

function build(objects: readonly StoredObject[], nodeName = 'node-a'): NodeSnapshot {
  const store = storeOf(...objects);
  const snapshot = buildNodeSnapshot(store, nodeName, optionsFor(store));
  assert.ok(snapshot !== undefined);
  return snapshot;
}

const keys = (snapshot: NodeSnapshot | undefined) => [...(snapshot?.resources.keys() ?? [])];

function workload(snapshot: NodeSnapshot, uid = 'pod-web-api-0') {
  const resource = snapshot.resources.get(`workload/${uid}`)?.resource;
  assert.ok(resource?.kind === 'workload');
  return resource.body;
}

function settings(...objects: readonly StoredObject[]) {
  const resource = build(objects).resources.get('settings/node')?.resource;
  assert.ok(resource?.kind === 'settings');
  return resource.body;
}

describe('buildNodeSnapshot', () => {
  it('holds exactly the live pods of this node', () => {
    const snapshot = build([
      ...base,
      node({ name: 'node-b' }),
      pod({ name: 'mine' }),
      pod({ name: 'leaving', deleting: true }),
      pod({ name: 'finished', phase: 'Succeeded' }),
      pod({ name: 'failed', phase: 'Failed' }),
      pod({ name: 'theirs', nodeName: 'node-b' }),
      pod({ name: 'unscheduled', nodeName: '' }),
    ]);
    assert.deepEqual(keys(snapshot), ['settings/node', 'workload/pod-web-leaving', 'workload/pod-web-mine']);
  });

  it('does not exist for an unknown node or one that no MetadataProxy selects', () => {
    const store = storeOf(
      node(),
      node({ name: 'windows', labels: { 'kubernetes.io/os': 'windows' } }),
      metadataProxy({ spec: { nodeSelector: { pool: 'web' } } }),
      node({ name: 'in-pool', labels: { pool: 'web' } }),
    );
    const options = optionsFor(store);
    const owned = ['node-a', 'windows', 'in-pool', 'unknown'].filter((name) => buildNodeSnapshot(store, name, options));
    assert.deepEqual(owned, ['in-pool']);
  });

  it('takes its settings from the oldest MetadataProxy, then by name', () => {
    const proxy = (name: string, creationTimestamp: string) => metadataProxy({ name, metadata: { creationTimestamp } });
    const young = proxy('a', '2026-03-01T00:00:00Z');
    const [old, twin] = [proxy('c', '2026-01-01T00:00:00Z'), proxy('b', '2026-01-01T00:00:00Z')];
    assert.equal(settings(node(), young, old).proxyName, 'c');
    assert.equal(settings(node(), young, old, twin).proxyName, 'b');
  });

  it('waits with a pod until its namespace is known, lest a policy be missed', () => {
    assert.deepEqual(keys(build([...base, pod({ namespace: 'new' })])), ['settings/node']);
  });

  it('shows an unbound pod whose ServiceAccount is gone', () => {
    const { serviceAccount: account, identity } = workload(
      build([node(), namespace(), provider(), metadataProxy(), pod(), binding()]),
    );
    assert.deepEqual(account, { name: 'api', uid: '' });
    assert.deepEqual(identity, { kind: 'unbound', reason: 'not-accepted' });
  });
});

describe('policies in a snapshot', () => {
  const policies = [
    metadataPolicy({ name: 'mine' }),
    metadataPolicy({ name: 'labelled', spec: { podSelector: { matchLabels: { app: 'db' } } } }),
    metadataPolicy({ name: 'elsewhere', namespace: 'shop' }),
    clusterMetadataPolicy({ name: 'all' }),
    clusterMetadataPolicy({ name: 'team-a', spec: { namespaceSelector: { matchLabels: { team: 'a' } } } }),
    clusterMetadataPolicy({
      name: 'by-name',
      spec: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'web' } } },
    }),
  ];

  it('are those that select one of its pods, sorted by uid', () => {
    const snapshot = build([...base, ...policies, pod()]);
    const selecting = ['cmdp--all', 'cmdp--by-name', 'mdp-web-mine'];
    assert.deepEqual(workload(snapshot).policies, selecting);
    assert.deepEqual(
      keys(snapshot).filter((key) => key.startsWith('policy/')),
      selecting.map((uid) => `policy/${uid}`),
    );
  });

  it('follow the labels of the namespace', () => {
    const snapshot = build([...base, namespace('web', { team: 'a' }), ...policies, pod()]);
    assert.ok(workload(snapshot).policies.some((uid) => uid === 'cmdp--team-a'));
  });

  it('never select pods of our own namespace', () => {
    const own = { namespace: 'metaveil-system' };
    const objects = [...base, namespace('metaveil-system'), ...policies, metadataPolicy(own), pod(own)];
    assert.deepEqual(workload(build(objects), 'pod-metaveil-system-api-0').policies, []);
  });

  it('stay at the last good version, selectors included, while a later one does not compile', () => {
    const store = storeOf(...base, pod({ labels: { app: 'web' } }));
    const options = optionsFor(store);
    const version = (generation: number, conceal: string[], app: string) =>
      metadataPolicy({ metadata: { generation }, spec: { conceal, podSelector: { matchLabels: { app } } } });
    store.upsert(version(1, ['instance/id'], 'web'));
    store.upsert(version(2, ['!bad'], 'other'));
    const snapshot = buildNodeSnapshot(store, 'node-a', options);
    const policy = snapshot?.resources.get('policy/mdp-web-tight')?.resource;
    assert.equal(policy?.kind === 'policy' && policy.body.generation, 1);
  });

  it('that never compiled are not there', () => {
    const broken = metadataPolicy({ spec: { conceal: ['!bad'] } });
    assert.deepEqual(workload(build([...base, broken, pod()])).policies, []);
  });

  it('deleted and created anew do not inherit the last good version', () => {
    const store = storeOf(...base, pod(), metadataPolicy());
    const options = optionsFor(store);
    store.remove('MetadataPolicy', 'web/tight');
    store.upsert(metadataPolicy({ spec: { conceal: ['!bad'] } }));
    assert.deepEqual(keys(buildNodeSnapshot(store, 'node-a', options)), ['settings/node', 'workload/pod-web-api-0']);
  });
});

describe('settings of a node', () => {
  const platforms = [
    ['gce://my-project/europe-west4-a/vm-1', 'GCE'],
    ['aws:///eu-west-1a/i-0123', 'AWS'],
    ['azure:///subscriptions/x', 'Azure'],
    ['kind://docker/kind/kind-worker', 'None'],
    ['constructor://x', 'None'],
    ['', 'None'],
  ] as const;
  for (const [providerID, platform] of platforms) {
    it(`platform Auto reads '${providerID}' as ${platform}`, () => {
      assert.equal(settings(node({ providerID }), metadataProxy()).platform, platform);
    });
  }

  it('a platform that is given wins over the providerID', () => {
    const proxy = metadataProxy({ spec: { platform: 'None' } });
    assert.equal(settings(node({ providerID: 'gce://p/z/n' }), proxy).platform, 'None');
  });

  it('the instance id is a decimal below 2^63, stable per Node object', () => {
    const id = (uid: string) => settings(node({ uid }), metadataProxy()).emulated.instanceId;
    assert.match(id('a'), /^[1-9][0-9]{0,18}$/);
    assert.ok(BigInt(id('a')) < 1n << 63n);
    assert.equal(id('a'), id('a'));
    assert.notEqual(id('a'), id('b'));
  });

  it('values come from the node, and what the user gives wins', () => {
    const vm = node({
      providerID: 'gce://my-project/europe-west4-a/vm-1',
      labels: { 'topology.kubernetes.io/zone': 'ignored' },
    });
    const kubeSystem = namespace('kube-system');
    const derived = settings(vm, metadataProxy(), kubeSystem).emulated;
    assert.deepEqual(
      { ...derived, instanceId: '' },
      {
        projectId: 'my-project',
        zone: 'europe-west4-a',
        instanceId: '',
        instanceName: 'vm-1',
        hostname: 'node-a',
        clusterUid: 'ns-kube-system',
        universeDomain: 'googleapis.com',
        attributes: {},
      },
    );
    const given = { projectId: 'other', zone: 'us-east1-b', clusterUid: 'u', attributes: { team: 'web' } };
    const emulated = settings(vm, metadataProxy({ spec: { emulated: given } }), kubeSystem).emulated;
    assert.deepEqual({ ...emulated, ...given }, emulated);
  });

  it('without a cloud the zone comes from the label, and what is not known is absent', () => {
    const labelled = node({ labels: { 'topology.kubernetes.io/zone': 'europe-west4-a' } });
    assert.equal(settings(labelled, metadataProxy()).emulated.zone, 'europe-west4-a');
    assert.deepEqual(Object.keys(settings(node(), metadataProxy()).emulated).sort(), [
      'attributes',
      'hostname',
      'instanceId',
      'instanceName',
      'universeDomain',
    ]);
  });
});

describe('what a node learns', () => {
  it('is nothing of another node, in any cluster', () => {
    fc.assert(
      fc.property(changes, (steps) => {
        const store = storeOf(...base);
        const options = optionsFor(store);
        for (const step of steps) change(store, step);
        for (const { name } of store.nodes()) {
          const snapshot = buildNodeSnapshot(store, name, options);
          const workloads = keys(snapshot).filter((key) => key.startsWith('workload/'));
          const expected = store
            .pods()
            .filter((each) => each.nodeName === name && isLive(each) && store.namespace(each.namespace))
            .map(({ uid }) => `workload/${uid}`);
          assert.deepEqual(workloads, snapshot === undefined ? [] : expected.sort());
          const used = [...(snapshot?.resources.values() ?? [])].flatMap(({ resource }) =>
            resource.kind === 'workload' ? resource.body.policies : [],
          );
          const known = keys(snapshot).filter((key) => key.startsWith('policy/'));
          assert.deepEqual(new Set(known), new Set(used.map((uid) => `policy/${uid}`)));
        }
      }),
      { numRuns: 150 },
    );
  });
});
