import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import type { ClusterStore } from '../../../../operator/core/cluster/store.ts';
import { buildNodeSnapshot } from '../../../../operator/core/snapshot/build.ts';
import { NodeSnapshotBuilder } from '../../../../operator/core/snapshot/builder.ts';
import {
  binding,
  clusterMetadataPolicy,
  condition,
  metadataProxy,
  namespace,
  networkPolicy,
  node,
  pod,
  provider,
  serviceAccount,
  storeOf,
} from '../../../builders/objects.ts';
import { change, changes, optionsFor } from './world.ts';

const base: readonly StoredObject[] = [
  node(),
  node({ name: 'node-b' }),
  namespace(),
  serviceAccount(),
  provider(),
  metadataProxy(),
];

/** A builder whose passes run when the test says so. */
function manual(store: ClusterStore, nodesPerPass?: number) {
  const tasks: (() => void)[] = [];
  const options = optionsFor(store);
  const soon = (task: () => void) => void tasks.push(task);
  const builder = new NodeSnapshotBuilder(store, {
    ...options,
    soon,
    ...(nodesPerPass !== undefined && { nodesPerPass }),
  });
  const told: string[][] = [];
  builder.onChange((nodes) => told.push([...nodes].sort()));
  const pass = () => tasks.shift()?.();
  const settle = () => {
    while (tasks.length > 0) pass();
    return told.splice(0);
  };
  return { builder, options, tasks, pass, settle };
}

describe('NodeSnapshotBuilder', () => {
  it('tells of every node once at the start', () => {
    assert.deepEqual(manual(storeOf(...base)).settle(), [['node-a', 'node-b']]);
  });

  it('tells only of nodes that a change concerns', () => {
    const store = storeOf(...base);
    const { settle } = manual(store);
    settle();
    store.upsert(pod());
    assert.deepEqual(settle(), [['node-a']]);
    store.upsert(binding());
    assert.deepEqual(settle(), [['node-a']]);
    store.remove('Pod', 'web/api-0');
    assert.deepEqual(settle(), [['node-a']]);
  });

  it('coalesces many changes into one notification', () => {
    const store = storeOf(...base);
    const { settle, tasks } = manual(store);
    settle();
    for (let index = 0; index < 50; index += 1) store.upsert(pod({ name: `p${String(index)}` }));
    assert.equal(tasks.length, 1);
    assert.deepEqual(settle(), [['node-a']]);
  });

  it('is silent where nothing changes for a node', () => {
    const store = storeOf(...base, pod(), binding());
    const { settle, tasks } = manual(store);
    settle();
    store.upsert(pod({ ready: false }));
    assert.deepEqual(settle(), []);
    store.upsert(networkPolicy());
    const conditions = [condition({ type: 'Ready', status: 'True', reason: 'Ready' })];
    store.upsert(binding({ metadata: { resourceVersion: '2' }, status: { observedGeneration: 1, conditions } }));
    assert.equal(tasks.length, 0);
  });

  it('takes many nodes in passes of bounded size', () => {
    const nodes = Array.from({ length: 5 }, (_, index) => node({ name: `n${String(index)}` }));
    const store = storeOf(...base, ...nodes);
    const { settle } = manual(store, 3);
    settle();
    store.upsert(metadataProxy({ metadata: { generation: 2 }, spec: { mode: 'Audit' } }));
    assert.deepEqual(
      settle().map((batch) => batch.length),
      [3, 3, 1],
    );
  });

  it('never answers older than the store, and still tells of what it built on demand', () => {
    const store = storeOf(...base);
    const { builder, settle } = manual(store);
    settle();
    store.upsert(pod());
    assert.ok(builder.snapshotOf('node-a')?.resources.has('workload/pod-web-api-0'));
    assert.deepEqual(settle(), [['node-a']]);
  });

  it('forgets nodes that go away or are no longer owned', () => {
    const store = storeOf(...base);
    const { builder, settle } = manual(store);
    settle();
    store.remove('Node', 'node-b');
    assert.deepEqual(settle(), [['node-b']]);
    assert.equal(builder.snapshotOf('node-b'), undefined);
    store.remove('MetadataProxy', 'default');
    assert.deepEqual(settle(), [['node-a']]);
    assert.equal(builder.snapshotOf('node-a'), undefined);
  });

  it('keeps resources that did not change, object by object', () => {
    const store = storeOf(...base, pod({ name: 'a' }));
    const { builder, settle } = manual(store);
    settle();
    const before = builder.snapshotOf('node-a')?.resources.get('workload/pod-web-a');
    store.upsert(pod({ name: 'b' }));
    settle();
    assert.equal(builder.snapshotOf('node-a')?.resources.get('workload/pod-web-a'), before);
  });

  it('stops', () => {
    const store = storeOf(...base);
    const { builder, settle, tasks } = manual(store);
    builder.stop();
    assert.deepEqual(settle(), []);
    store.upsert(pod());
    assert.equal(tasks.length, 0);
  });

  it('tells every owned node of a cluster-wide policy that selects its pods', () => {
    const store = storeOf(...base, pod(), pod({ name: 'b', nodeName: 'node-b' }));
    const { settle } = manual(store);
    settle();
    store.upsert(clusterMetadataPolicy());
    assert.deepEqual(settle(), [['node-a', 'node-b']]);
  });

  const concerning: Readonly<Record<string, readonly [StoredObject, readonly string[]]>> = {
    'a ServiceAccount recreated': [serviceAccount({ uid: 'again' }), ['node-a']],
    "the provider's universe": [provider({ spec: { universeDomain: 'example.goog' } }), ['node-a', 'node-b']],
    'a namespace that opens to adoption': [namespace('web', { 'metaveil.dev/adopt-annotations': 'true' }), ['node-a']],
    'the uid of kube-system': [namespace('kube-system'), ['node-a', 'node-b']],
    'the labels of a node': [node({ labels: { 'topology.kubernetes.io/zone': 'a' } }), ['node-a']],
  };
  for (const [what, [object, nodes]] of Object.entries(concerning)) {
    it(`passes on ${what}`, () => {
      const adopting = provider({ spec: { adoptAnnotations: true } });
      const annotated = serviceAccount({ gkeServiceAccount: 'old@my-project.iam.gserviceaccount.com' });
      const store = storeOf(...base, adopting, annotated, pod());
      const { settle } = manual(store);
      settle();
      store.upsert(object);
      assert.deepEqual(settle(), [nodes]);
    });
  }

  it('equals building everything anew, after any changes', () => {
    fc.assert(
      fc.property(changes, fc.integer({ min: 1, max: 7 }), (steps, every) => {
        const store = storeOf(...base, pod(), pod({ name: 'p1', nodeName: 'node-b' }));
        const { builder, options, pass, settle } = manual(store, 2);
        for (const [index, step] of steps.entries()) {
          change(store, step);
          if (index % every === 0) pass();
        }
        settle();
        for (const name of ['node-a', 'node-b', 'node-c']) {
          assert.deepEqual(builder.snapshotOf(name), buildNodeSnapshot(store, name, options));
        }
      }),
      { numRuns: 200 },
    );
  });
});
