import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClusterProxyPods } from '../../../../operator/controllers/lookup/proxy-pods.ts';
import { proxyConnections } from '../../../../operator/controllers/proxies/connections.ts';
import { Instances } from '../../../../operator/controllers/proxies/instances.ts';
import { nodeRelease } from '../../../../operator/controllers/proxies/release.ts';
import { Programming } from '../../../../operator/nodeapi/server/programming.ts';
import { metadataProxy, node, pod, storeOf } from '../../../builders/objects.ts';
import { FakeTimers } from '../../../fakes/timers.ts';
import { installation, sha256 } from './harness.ts';

const instance = (name: string, nodeName = 'node-a') =>
  pod({
    namespace: installation.namespace,
    name,
    nodeName,
    serviceAccountName: 'metaveil-proxy',
    ownerKind: 'DaemonSet',
    labels: { 'metaveil.dev/owner-name': 'default' },
  });

function instances() {
  const [first, second, stranger] = [instance('first'), instance('second'), pod()];
  const store = storeOf(node(), metadataProxy(), first, second, stranger);
  const gates: string[] = [];
  const clock = new FakeTimers();
  let failure: Error | undefined;
  const subject = new Instances({
    pods: new ClusterProxyPods(store, { ownNamespace: installation.namespace, hash: sha256 }),
    gates: {
      set: ({ name }, serving) => {
        if (failure !== undefined) return Promise.reject(failure);
        gates.push(`${name} ${String(serving)}`);
        return Promise.resolve();
      },
    },
    clock,
  });
  const woken: string[] = [];
  const told: string[] = [];
  const stop = subject.listen((key) => woken.push(key));
  subject.onChange((nodes) => told.push(...nodes));
  const fail = (error: Error | undefined) => (failure = error);
  return { subject, store, first, second, stranger, gates, woken, told, stop, fail, clock };
}

describe('the instances of the proxy', () => {
  it('have their gate set to what they say of themselves, once', async () => {
    const { subject, first, gates, woken } = instances();
    subject.report(first.uid, true);
    subject.report(first.uid, true);
    assert.deepEqual(woken, [first.uid]);
    await subject.reconcile(first.uid);
    await subject.reconcile(first.uid);
    subject.report(first.uid, false);
    await subject.reconcile(first.uid);
    assert.deepEqual(gates, ['first true', 'first false']);
  });

  it('that say yes and no on and on make few writes; no is written at once', async () => {
    const { subject, first, gates, clock } = instances();
    for (let said = 0; said < 1_000; said += 1) {
      subject.report(first.uid, said % 2 === 0);
      const { requeueAfterMs = 0 } = await subject.reconcile(first.uid);
      assert.ok(requeueAfterMs <= 2_000);
      clock.jump(10);
    }
    assert.equal(gates.at(-1), 'first false');
    assert.ok(gates.length <= 12, `${gates.length} writes in 10 s`);
    subject.report(first.uid, true);
    clock.jump(2_000);
    await subject.reconcile(first.uid);
    assert.equal(gates.at(-1), 'first true');
  });

  it('are tried again when the gate could not be set', async () => {
    const { subject, first, gates, fail } = instances();
    subject.report(first.uid, true);
    fail(new Error('no'));
    await assert.rejects(subject.reconcile(first.uid));
    fail(undefined);
    await subject.reconcile(first.uid);
    assert.deepEqual(gates, ['first true']);
  });

  it('serve their node as long as one of them does', () => {
    const { subject, store, first, second, told } = instances();
    subject.report(first.uid, true);
    subject.report(second.uid, true);
    assert.equal(subject.isServing('node-a'), true);
    subject.report(first.uid, false);
    assert.equal(subject.isServing('node-a'), true);
    store.remove('Pod', 'metaveil-system/second');
    assert.equal(subject.isServing('node-a'), false);
    assert.deepEqual(told, ['node-a', 'node-a', 'node-a', 'node-a']);
  });

  it('are nobody but proxies of ours', async () => {
    const { subject, stranger, gates } = instances();
    subject.report(stranger.uid, true);
    await subject.reconcile(stranger.uid);
    assert.equal(subject.isServing('node-a'), false);
    assert.deepEqual(gates, []);
  });

  it('are heard anew when another replica led meanwhile', async () => {
    const { subject, first, gates, stop } = instances();
    subject.report(first.uid, true);
    await subject.reconcile(first.uid);
    stop();
    assert.equal(subject.isServing('node-a'), false);
    assert.deepEqual([...subject.allKeys()], []);
    subject.listen(() => undefined);
    subject.report(first.uid, true);
    await subject.reconcile(first.uid);
    assert.deepEqual(gates, ['first true', 'first true']);
  });
});

describe('an instance that stops', () => {
  const uid = instance('first').uid;
  const gone = { deletionTimestamp: '2026-06-01T00:00:00Z' };
  const other = metadataProxy({ name: 'other', metadata: { creationTimestamp: '2026-02-01T00:00:00Z' } });
  const rows = [
    { what: 'its MetadataProxy stays', objects: [node(), metadataProxy()], verdict: 'keep' },
    { what: 'its MetadataProxy is deleted', objects: [node(), metadataProxy({ metadata: gone })], verdict: 'released' },
    { what: 'no MetadataProxy is left', objects: [node()], verdict: 'released' },
    {
      what: 'its node is not selected any more',
      objects: [node(), metadataProxy({ spec: { nodeSelector: { pool: 'web' } } })],
      verdict: 'released',
    },
    {
      what: 'another MetadataProxy takes over from one that is deleted',
      objects: [node(), metadataProxy({ metadata: gone }), other],
      verdict: 'keep',
    },
    {
      what: 'nothing is to be redirected in the kernel any more',
      objects: [node(), metadataProxy({ spec: { interception: 'None' } })],
      verdict: 'released',
    },
    { what: 'its Node object is gone', objects: [metadataProxy()], verdict: 'released' },
  ] as const;
  for (const { what, objects, verdict } of rows) {
    it(`${verdict === 'keep' ? 'leaves its rules in place' : 'takes its rules along'} when ${what}`, () => {
      assert.equal(nodeRelease(storeOf(...objects)).decide('node-a', uid), verdict);
    });
  }
});

describe('a node', () => {
  it('is not served by an instance that said it serves and then vanished without a word', () => {
    const { subject, first } = instances();
    const programming = new Programming();
    const connections = proxyConnections(subject, programming);
    const told: string[] = [];
    const stop = connections.onChange((nodes) => told.push(...nodes));
    subject.report(first.uid, true);
    assert.equal(connections.isServing('node-a'), false);
    programming.connected('node-a', first.uid);
    assert.equal(connections.isServing('node-a'), true);
    programming.disconnected('node-a', first.uid);
    assert.equal(connections.isServing('node-a'), false);
    assert.deepEqual(told, ['node-a', 'node-a', 'node-a']);
    stop();
    programming.connected('node-a', first.uid);
    assert.equal(told.length, 3);
  });
});
