import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { storeKinds } from '../../../../operator/core/cluster/kinds.ts';
import { ClusterStore } from '../../../../operator/core/cluster/store.ts';
import type { StoreChange } from '../../../../operator/core/cluster/store.ts';
import { binding, namespace, node, pod, provider, serviceAccount, storeOf } from '../../../builders/objects.ts';

function recorded(store: ClusterStore): string[] {
  const seen: string[] = [];
  store.onChange(({ kind, key, previous, current }: StoreChange) => {
    const what = previous === undefined ? 'added' : current === undefined ? 'removed' : 'updated';
    seen.push(`${what} ${kind} ${key}`);
  });
  return seen;
}

const names = (objects: readonly { readonly name: string }[]) => objects.map(({ name }) => name).sort();

describe('ClusterStore', () => {
  it('tells listeners what was added, updated and removed, with the previous value', () => {
    const store = new ClusterStore();
    const changes: StoreChange[] = [];
    store.onChange((change) => changes.push(change));
    const [before, after] = [pod({ ips: [] }), pod({ ips: ['10.0.0.9'] })];
    store.upsert(before);
    store.upsert(after);
    store.remove('Pod', 'web/api-0');
    assert.deepEqual(
      changes.map(({ previous, current }) => [previous, current]),
      [
        [undefined, before],
        [before, after],
        [after, undefined],
      ],
    );
  });

  it('says nothing when an object arrives again unchanged, or when what is gone is removed again', () => {
    const store = storeOf(pod(), binding());
    const seen = recorded(store);
    store.upsert(pod());
    store.upsert(binding());
    store.remove('Pod', 'web/other');
    assert.deepEqual(seen, []);
  });

  it('reports an object recreated under its name as a removal and an addition', () => {
    const store = storeOf(pod({ uid: 'old' }));
    const seen = recorded(store);
    store.upsert(pod({ uid: 'new' }));
    assert.deepEqual(seen, ['removed Pod web/api-0', 'added Pod web/api-0']);
    assert.equal(store.pod(pod({ uid: 'old' }).uid), undefined);
    assert.equal(store.pod(pod({ uid: 'new' }).uid)?.name, 'api-0');
  });

  it('removes on replace what the new listing lacks, before it adds', () => {
    const store = storeOf(pod({ name: 'a', ips: ['10.0.0.1'] }), pod({ name: 'b' }));
    const seen = recorded(store);
    store.replace('Pod', [pod({ name: 'b' }), pod({ name: 'c', ips: ['10.0.0.1'] })]);
    assert.deepEqual(seen, ['removed Pod web/a', 'added Pod web/c']);
    assert.deepEqual(names(store.pods()), ['b', 'c']);
  });

  it('leaves other kinds alone on replace', () => {
    const store = storeOf(pod(), serviceAccount());
    store.replace('Pod', []);
    assert.equal(store.serviceAccount('web', 'api')?.name, 'api');
  });

  it('moves a pod between node indexes and forgets empty ones', () => {
    const store = storeOf(pod({ nodeName: '' }));
    assert.deepEqual(store.podsOnNode(''), []);
    store.upsert(pod({ nodeName: 'node-a' }));
    assert.deepEqual(names(store.podsOnNode('node-a')), ['api-0']);
    store.remove('Pod', 'web/api-0');
    assert.deepEqual(store.podsOnNode('node-a'), []);
  });

  it('keeps ServiceAccounts of the same name in two namespaces apart', () => {
    const store = storeOf(pod({ name: 'a' }), pod({ namespace: 'shop', name: 'b' }));
    assert.deepEqual(names(store.podsOfServiceAccount('web', 'api')), ['a']);
    assert.deepEqual(names(store.podsOfServiceAccount('shop', 'api')), ['b']);
    assert.deepEqual(names(store.podsInNamespace('shop')), ['b']);
  });

  it('finds bindings by provider, also after one changes its provider', () => {
    const store = storeOf(binding({ name: 'a' }), binding({ name: 'b', spec: { providerName: 'other' } }));
    assert.equal(store.bindingsOfProvider('other').length, 1);
    store.upsert(binding({ name: 'b', metadata: { generation: 2 } }));
    assert.deepEqual(
      store.bindingsOfProvider('default').map(({ metadata }) => metadata.name),
      ['a', 'b'],
    );
    assert.deepEqual(store.bindingsOfProvider('other'), []);
  });

  it('shows the new state to listeners, indexes included', () => {
    const store = storeOf();
    let onNode = 0;
    store.onChange(() => (onNode = store.podsOnNode('node-a').length));
    store.upsert(pod());
    assert.equal(onNode, 1);
  });

  it('stops telling a listener that has left', () => {
    const store = storeOf();
    let told = 0;
    const stop = store.onChange(() => (told += 1));
    stop();
    store.upsert(pod());
    assert.equal(told, 0);
  });

  it('has synced only when every kind has been listed', () => {
    const store = new ClusterStore();
    const [last, ...others] = [...storeKinds];
    for (const kind of others) store.replace(kind, []);
    assert.equal(store.hasSynced(), false);
    store.replace(last, []);
    assert.equal(store.hasSynced(), true);
  });

  it('finds cluster-scoped objects by name', () => {
    const store = storeOf(node(), namespace(), provider());
    assert.equal(store.node('node-a')?.uid, 'node-uid-node-a');
    assert.equal(store.namespace('web')?.name, 'web');
    assert.equal(store.provider('default')?.metadata.name, 'default');
  });
});
