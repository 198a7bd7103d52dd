import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import type { ContentHash } from '../../../../operator/core/brand.ts';
import type { StoredObject } from '../../../../operator/core/cluster/kinds.ts';
import type { Pod } from '../../../../operator/core/cluster/objects.ts';
import { ClusterProxyPods } from '../../../../operator/controllers/lookup/proxy-pods.ts';
import { metadataProxy, node, pod, storeOf } from '../../../builders/objects.ts';

const hash = (text: string) => createHash('sha256').update(text).digest('hex') as ContentHash;
const options = { ownNamespace: 'metaveil-system', hash };

type PodOverrides = Omit<Partial<Pod>, 'kind' | 'uid'>;

const proxyPod = (overrides: PodOverrides = {}) =>
  pod({
    namespace: 'metaveil-system',
    name: 'proxy-x',
    serviceAccountName: 'metaveil-proxy',
    ownerKind: 'DaemonSet',
    labels: { 'metaveil.dev/owner-name': 'default' },
    ...overrides,
  });

function podsIn(...objects: readonly StoredObject[]) {
  const store = storeOf(...objects);
  const pods = new ClusterProxyPods(store, options);
  const gone: string[] = [];
  pods.onGone((uid) => gone.push(uid));
  return { store, pods, gone };
}

describe('ClusterProxyPods', () => {
  it('finds a proxy of ours with the uid its node has now', () => {
    const { pods } = podsIn(node(), metadataProxy(), proxyPod());
    assert.deepEqual(pods.find(proxyPod().uid), {
      uid: 'pod-metaveil-system-proxy-x',
      namespace: 'metaveil-system',
      name: 'proxy-x',
      nodeName: 'node-a',
      nodeUid: 'node-uid-node-a',
    });
  });

  it('finds those of a Deployment and those that terminate', () => {
    for (const overrides of [{ ownerKind: 'ReplicaSet' }, { deleting: true }, { phase: 'Pending' }]) {
      const { pods } = podsIn(node(), metadataProxy(), proxyPod(overrides));
      assert.ok(pods.find(proxyPod().uid));
    }
  });

  const foreign: Readonly<Record<string, PodOverrides>> = {
    'in another namespace': { namespace: 'web' },
    'of another ServiceAccount': { serviceAccountName: 'metaveil-controller' },
    'that nobody controls': { ownerKind: '' },
    'of a Job': { ownerKind: 'Job' },
    'that is a static pod': { configHash: 'abc' },
    'without the label of a MetadataProxy': { labels: {} },
    'of a MetadataProxy that does not exist': { labels: { 'metaveil.dev/owner-name': 'gone' } },
    'that has finished': { phase: 'Failed' },
    'on a node that does not exist': { nodeName: 'node-z' },
    'that is not scheduled': { nodeName: '' },
  };
  for (const [what, overrides] of Object.entries(foreign)) {
    it(`does not find a pod ${what}`, () => {
      const subject = proxyPod(overrides);
      const { pods } = podsIn(node(), metadataProxy(), subject);
      assert.equal(pods.find(subject.uid), undefined);
    });
  }

  it('knows MetadataProxies with names too long for a label', () => {
    const name = 'n'.repeat(100);
    const labels = { 'metaveil.dev/owner-name': `${'n'.repeat(50)}-${hash(name).slice(0, 12)}` };
    const { pods } = podsIn(node(), metadataProxy({ name }), proxyPod({ labels }));
    assert.ok(pods.find(proxyPod().uid));
  });

  it('tells once of a pod that is gone, finished, or lost its node or its MetadataProxy', () => {
    const endings: readonly ((store: ReturnType<typeof storeOf>) => void)[] = [
      (store) => store.remove('Pod', 'metaveil-system/proxy-x'),
      (store) => store.upsert(proxyPod({ phase: 'Failed' })),
      (store) => store.remove('Node', 'node-a'),
      (store) => store.upsert(node({ uid: 'recreated' })),
      (store) => store.remove('MetadataProxy', 'default'),
    ];
    for (const end of endings) {
      const { store, gone } = podsIn(node(), metadataProxy(), proxyPod());
      store.upsert(proxyPod({ ready: false }));
      assert.deepEqual(gone, []);
      end(store);
      assert.deepEqual(gone, [proxyPod().uid]);
    }
  });
});
