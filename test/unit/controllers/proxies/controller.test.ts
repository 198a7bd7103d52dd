import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MetaveilError } from '../../../../operator/core/errors.ts';
import { metadataProxyFinalizer, startupTaintKey } from '../../../../operator/core/names.ts';
import { metadataProxy, node, serviceAccount } from '../../../builders/objects.ts';
import { settle } from '../../../fakes/timers.ts';
import { conditionOf, podOf, run, settleDeployment, startProxies, stateOf, workloadsOf } from './harness.ts';

const daemonSetName = 'DaemonSet metaveil-system/metaveil-proxy-default';
const account = 'ServiceAccount metaveil-system/metaveil-proxy';
const perNode = { workload: 'Deployment' } as const;

describe('a MetadataProxy', () => {
  it('gets the finalizer before anything is made for it', async () => {
    const proxies = startProxies(node(), metadataProxy());
    await run(proxies);
    assert.deepEqual(
      proxies.api.take().filter((call) => !call.startsWith('status')),
      ['addFinalizer MetadataProxy default', `apply ${account}`, `apply ${daemonSetName}`],
    );
    assert.deepEqual(proxies.store.proxy('default')?.metadata.finalizers, [metadataProxyFinalizer]);
  });

  it('with workload Deployment gets one for each of its nodes, owned by the Node', async () => {
    const windows = node({ name: 'win', labels: { 'kubernetes.io/os': 'windows' } });
    const proxies = startProxies(node(), node({ name: 'node-b' }), windows, metadataProxy({ spec: perNode }));
    await run(proxies);
    const owners = workloadsOf(proxies).map((name) => proxies.api.object(name).metadata.ownerReferences);
    assert.deepEqual(
      owners
        .flat()
        .map((owner) => owner?.name)
        .sort(),
      ['node-a', 'node-b'],
    );
  });

  it('writes nothing when nothing changed: not on a wake, not after a restart', async () => {
    for (const workload of ['DaemonSet', 'Deployment'] as const) {
      const proxies = startProxies(node(), node({ name: 'node-b' }), metadataProxy({ spec: { workload } }));
      const first = await run(proxies);
      proxies.api.take();
      proxies.store.upsert(node({ labels: { touched: 'yes' } }));
      await settle();
      await first.stop();
      await run(proxies);
      assert.deepEqual(proxies.api.take(), []);
      assert.deepEqual(proxies.failures, []);
    }
  });

  it('repairs what somebody changed in its workloads, and makes them anew when they are gone', async () => {
    const proxies = startProxies(node(), metadataProxy());
    await run(proxies);
    const wanted = JSON.stringify(proxies.api.object(daemonSetName)['spec']);
    proxies.api.change(daemonSetName, (object) => ({
      ...object,
      spec: { ...(object['spec'] as object), updateStrategy: { type: 'OnDelete' } },
    }));
    proxies.store.upsert(node({ labels: { touched: 'yes' } }));
    await settle();
    assert.equal(JSON.stringify(proxies.api.object(daemonSetName)['spec']), wanted);
    proxies.store.remove('ServiceAccount', 'metaveil-system/metaveil-proxy');
    await settle();
    assert.ok(proxies.store.serviceAccount('metaveil-system', 'metaveil-proxy'));
  });

  it('takes defaults of the API server and quantities in its own spelling for unchanged', async () => {
    const resources = { limits: { memory: '1024Mi' } };
    const proxies = startProxies(node(), metadataProxy({ spec: { resources } }));
    await run(proxies);
    proxies.api.change(daemonSetName, (object) => {
      const text = JSON.stringify({ ...object, status: { numberReady: 1 } });
      const defaulted = text.replace('"hostNetwork":true', '"hostNetwork":true,"restartPolicy":"Always"');
      return JSON.parse(defaulted.replace('"1024Mi"', '"1Gi"')) as typeof object;
    });
    proxies.api.take();
    proxies.store.upsert(node({ labels: { touched: 'yes' } }));
    await settle();
    assert.deepEqual(proxies.api.take(), []);
  });

  it('applies a change of nothing but quantities', async () => {
    const proxies = startProxies(node(), metadataProxy());
    await run(proxies);
    proxies.api.take();
    const spec = { resources: { limits: { memory: '96Mi' } } };
    proxies.store.upsert(metadataProxy({ spec, metadata: { generation: 2 } }));
    await settle();
    assert.ok(proxies.api.take().includes(`apply ${daemonSetName}`));
    assert.match(JSON.stringify(proxies.api.object(daemonSetName)['spec']), /"96Mi"/);
  });

  it('serves a new node at once and leaves one that is not selected any more', async () => {
    const spec = { ...perNode, nodeSelector: { pool: 'web' } };
    const web = { pool: 'web' };
    const proxies = startProxies(node({ labels: web }), metadataProxy({ spec }));
    await run(proxies);
    const [first] = workloadsOf(proxies);
    proxies.store.upsert(node({ name: 'node-b', labels: web }));
    await settle();
    assert.equal(workloadsOf(proxies).length, 2);
    proxies.store.upsert(node());
    await settle();
    assert.equal(workloadsOf(proxies).length, 1);
    assert.notEqual(workloadsOf(proxies)[0], first);
  });

  it('serves the other nodes when the API server refuses one Deployment', async () => {
    const proxies = startProxies(node(), node({ name: 'node-b' }), metadataProxy({ spec: perNode }));
    let refused: string | undefined;
    proxies.api.refuse = (call) => {
      if (call.startsWith('apply Deployment')) refused ??= call;
      return call === refused ? new MetaveilError('kubernetes-refused', 'admission') : undefined;
    };
    await run(proxies);
    assert.equal(workloadsOf(proxies).length, 1);
    proxies.api.refuse = () => undefined;
    await proxies.timers.advance(1_000);
    assert.equal(workloadsOf(proxies).length, 2);
  });
});

describe('its status', () => {
  it('is Ready when every Ready node has a proxy that serves', async () => {
    const away = node({ name: 'away', ready: false });
    const proxies = startProxies(node(), node({ name: 'node-b' }), away, metadataProxy());
    await run(proxies);
    assert.equal(stateOf(proxies, 'default', 'Ready'), 'Unknown NodesNotConnected');
    assert.match(conditionOf(proxies, 'default', 'Ready')?.message ?? '', /node-a, node-b/);
    proxies.connections.set('node-a', true);
    proxies.connections.set('node-b', true);
    await settle();
    assert.equal(stateOf(proxies, 'default', 'Ready'), 'True Ready');
    assert.deepEqual(proxies.store.proxy('default')?.status?.nodes, { desired: 2, programmed: 2, summary: '2/2' });
    assert.deepEqual(proxies.events.take(), ['Normal Ready']);
  });

  it('is Ready without nodes, and says so', async () => {
    const proxies = startProxies(metadataProxy());
    await run(proxies);
    assert.equal(stateOf(proxies, 'default', 'Available'), 'True NoNodes');
    assert.equal(stateOf(proxies, 'default', 'Ready'), 'True Ready');
  });

  it('refuses what this version cannot do, and makes nothing', async () => {
    for (const interception of ['Env', 'CiliumLocalRedirect'] as const) {
      const proxies = startProxies(node(), metadataProxy({ spec: { interception } }));
      await run(proxies);
      assert.equal(stateOf(proxies, 'default', 'Accepted'), 'False NotImplemented');
      assert.deepEqual(workloadsOf(proxies), []);
    }
  });

  it('says of hostNetworkWorkloads: Deny that it closes nothing in this version', async () => {
    const proxies = startProxies(metadataProxy({ spec: { hostNetworkWorkloads: 'Deny' } }));
    await run(proxies);
    assert.equal(stateOf(proxies, 'default', 'Accepted'), 'True Accepted');
    const accepted = proxies.store.proxy('default')?.status?.conditions?.find(({ type }) => type === 'Accepted');
    assert.match(accepted?.message ?? '', /hostNetworkWorkloads: Deny is not in this version/);
  });

  it('announces a new generation', async () => {
    const proxies = startProxies(metadataProxy());
    await run(proxies);
    proxies.api.statuses.splice(0);
    const next = metadataProxy({ spec: { mode: 'Audit' }, metadata: { generation: 2 } });
    proxies.store.upsert({ ...next, status: proxies.store.proxy('default')?.status ?? {} });
    await settle();
    const written = proxies.api.statuses as { readonly conditions: readonly { readonly status: string }[] }[];
    assert.deepEqual(
      written.map(({ conditions }) => conditions[0]?.status),
      ['Unknown', 'True'],
    );
  });
});

describe('two that select one node', () => {
  const older = metadataProxy({ name: 'older', metadata: { creationTimestamp: '2026-01-01T00:00:00Z' } });
  const younger = metadataProxy({ name: 'younger', metadata: { creationTimestamp: '2026-01-02T00:00:00Z' } });

  it('belong to the older; the younger says which nodes and makes nothing', async () => {
    const proxies = startProxies(node(), node({ name: 'node-b' }), younger, older);
    await run(proxies);
    assert.equal(stateOf(proxies, 'older', 'Accepted'), 'True Accepted');
    assert.equal(stateOf(proxies, 'younger', 'Ready'), 'False Overlap');
    assert.match(conditionOf(proxies, 'younger', 'Accepted')?.message ?? '', /older owns node-a, node-b/);
    assert.deepEqual(workloadsOf(proxies), ['DaemonSet metaveil-system/metaveil-proxy-older']);
  });

  it('are told apart again when the older lets go', async () => {
    const proxies = startProxies(node(), younger, older);
    await run(proxies);
    proxies.store.upsert({ ...older, spec: { ...older.spec, nodeSelector: { pool: 'other' } } });
    await settle();
    assert.equal(stateOf(proxies, 'younger', 'Accepted'), 'True Accepted');
    assert.ok(workloadsOf(proxies).includes('DaemonSet metaveil-system/metaveil-proxy-younger'));
  });
});

describe('a change of the form of workload', () => {
  const nodes = [node(), node({ name: 'node-b' })] as const;

  it('from DaemonSet keeps it until every node that it serves is served by its Deployment', async () => {
    const proxies = startProxies(...nodes, metadataProxy());
    await run(proxies);
    for (const { name } of nodes) proxies.store.upsert(podOf(proxies, daemonSetName, name));
    proxies.store.upsert(metadataProxy({ spec: perNode, metadata: { generation: 2 } }));
    await settle();
    const deployments = workloadsOf(proxies).filter((name) => name.startsWith('Deployment'));
    assert.equal(deployments.length, 2);
    for (const [at, { name }] of nodes.entries()) {
      assert.ok(workloadsOf(proxies).includes(daemonSetName));
      proxies.store.upsert(podOf(proxies, deployments[at] ?? '', name));
      await proxies.timers.advance(5_000);
    }
    assert.deepEqual(workloadsOf(proxies), deployments);
  });

  it('from Deployments takes each when the DaemonSet serves its node', async () => {
    const proxies = startProxies(...nodes, metadataProxy({ spec: perNode }));
    await run(proxies);
    const deployments = workloadsOf(proxies);
    const owners = new Map(deployments.map((name) => [name, proxies.api.object(name).metadata.ownerReferences]));
    const nodeOf = (name: string) => owners.get(name)?.[0]?.name ?? '';
    for (const name of deployments) proxies.store.upsert(podOf(proxies, name, nodeOf(name)));
    proxies.store.upsert(metadataProxy({ metadata: { generation: 2 } }));
    await settle();
    assert.deepEqual(workloadsOf(proxies), [daemonSetName, ...deployments]);
    proxies.store.upsert(podOf(proxies, daemonSetName, 'node-a'));
    await proxies.timers.advance(5_000);
    assert.deepEqual(
      workloadsOf(proxies),
      [daemonSetName, ...deployments].filter((name) => name === daemonSetName || nodeOf(name) === 'node-b'),
    );
  });

  it('waits for nobody where nothing serves yet', async () => {
    const proxies = startProxies(...nodes, metadataProxy());
    await run(proxies);
    proxies.store.upsert(podOf(proxies, daemonSetName, 'node-a', false));
    proxies.store.upsert(metadataProxy({ spec: perNode, metadata: { generation: 2 } }));
    await settle();
    assert.equal(workloadsOf(proxies).includes(daemonSetName), false);
  });
});

describe('a rollout of Deployments', () => {
  it('takes one node after the other, each when the one before has settled', async () => {
    const nodes = ['a', 'b', 'c'].map((name) => node({ name }));
    const proxies = startProxies(...nodes, metadataProxy({ spec: perNode }));
    await run(proxies);
    for (const name of workloadsOf(proxies)) settleDeployment(proxies, name);
    proxies.api.take();
    proxies.store.upsert(metadataProxy({ spec: { ...perNode, image: 'new' }, metadata: { generation: 2 } }));
    await settle();
    const updated = () => proxies.api.take().filter((call) => call.startsWith('apply Deployment'));
    for (const name of workloadsOf(proxies)) {
      assert.deepEqual(updated(), [`apply ${name}`]);
      await proxies.timers.advance(5_000);
      assert.deepEqual(updated(), []);
      settleDeployment(proxies, name);
      await proxies.timers.advance(5_000);
    }
    assert.deepEqual(proxies.timers.pending(), []);
  });
});

describe('the deletion of a MetadataProxy', () => {
  const deleting = (name = 'default') =>
    metadataProxy({
      name,
      metadata: { deletionTimestamp: '2026-06-01T00:00:00Z', finalizers: [metadataProxyFinalizer] },
    });

  it('takes the workloads, waits for the pods on Ready nodes, then lets go', async () => {
    const proxies = startProxies(node(), node({ name: 'away', ready: false }), metadataProxy());
    await run(proxies);
    const [served, unreachable] = [podOf(proxies, daemonSetName, 'node-a'), podOf(proxies, daemonSetName, 'away')];
    proxies.store.upsert(served);
    proxies.store.upsert(unreachable);
    proxies.api.take();
    proxies.store.upsert(deleting());
    await settle();
    assert.deepEqual(proxies.api.take(), [`delete ${daemonSetName}`]);
    await proxies.timers.advance(10_000);
    assert.deepEqual(proxies.api.take(), []);
    proxies.store.remove('Pod', `metaveil-system/${served.name}`);
    await proxies.timers.advance(2_000);
    assert.deepEqual(proxies.api.take(), [`delete ${account}`, 'removeFinalizer MetadataProxy default']);
    assert.equal(proxies.store.proxy('default'), undefined);
    assert.deepEqual(proxies.events.take(), []);
  });

  it('waits for pods on nodes that it does not select any more, too', async () => {
    const proxies = startProxies(node(), metadataProxy());
    await run(proxies);
    proxies.store.upsert(podOf(proxies, daemonSetName, 'node-a'));
    const moved = deleting();
    proxies.store.upsert({ ...moved, spec: { ...moved.spec, nodeSelector: { pool: 'other' } } });
    await proxies.timers.advance(60_000);
    assert.ok(proxies.store.proxy('default'));
  });

  it('gives up after 2 min, names the nodes in an event and lets go', async () => {
    const proxies = startProxies(node(), node({ name: 'node-b' }), metadataProxy());
    await run(proxies);
    for (const name of ['node-a', 'node-b']) proxies.store.upsert(podOf(proxies, daemonSetName, name));
    proxies.store.upsert(deleting());
    await proxies.timers.advance(118_000);
    assert.ok(proxies.store.proxy('default'));
    assert.deepEqual(
      proxies.events.recorded.filter(({ event }) => event.reason === 'RulesLeftBehind'),
      [],
    );
    await proxies.timers.advance(4_000);
    assert.equal(proxies.store.proxy('default'), undefined);
    const left = proxies.events.recorded.filter(({ event }) => event.reason === 'RulesLeftBehind');
    assert.equal(left.length, 1);
    assert.match(left[0]?.event.message ?? '', /node-a, node-b\./);
    assert.equal(proxies.api.calls.at(-1), 'removeFinalizer MetadataProxy default');
  });

  it('says nothing again while finalizers of others hold the object', async () => {
    const proxies = startProxies(node(), metadataProxy());
    await run(proxies);
    proxies.store.upsert(podOf(proxies, daemonSetName, 'node-a'));
    proxies.events.take();
    const held = deleting();
    proxies.store.upsert({
      ...held,
      metadata: { ...held.metadata, finalizers: ['example.com/theirs', metadataProxyFinalizer] },
    });
    await proxies.timers.advance(130_000);
    for (const label of ['a', 'b', 'c']) {
      proxies.store.upsert(node({ labels: { label } }));
      await settle();
    }
    assert.deepEqual(proxies.store.proxy('default')?.metadata.finalizers, ['example.com/theirs']);
    assert.deepEqual(proxies.events.take(), ['Warning RulesLeftBehind']);
  });

  it('goes on where a former controller stopped', async () => {
    const proxies = startProxies(node(), metadataProxy());
    const first = await run(proxies);
    proxies.store.upsert(podOf(proxies, daemonSetName, 'node-a'));
    proxies.store.upsert(deleting());
    await settle();
    await first.stop();
    await run(proxies);
    proxies.store.remove('Pod', 'metaveil-system/daemonset-node-a');
    await proxies.timers.advance(2_000);
    assert.equal(proxies.store.proxy('default'), undefined);
    assert.deepEqual(proxies.api.names(), []);
  });

  it('takes the ServiceAccount only with the last one', async () => {
    const other = metadataProxy({ name: 'other', spec: { nodeSelector: { pool: 'other' } } });
    const proxies = startProxies(metadataProxy(), other);
    await run(proxies);
    proxies.store.upsert(deleting());
    await proxies.timers.advance(4_000);
    assert.equal(proxies.store.proxy('default'), undefined);
    assert.ok(proxies.api.names().includes(account));
    assert.ok(!proxies.api.calls.includes(`delete ${account}`));
    proxies.store.upsert({ ...deleting('other'), spec: other.spec });
    await proxies.timers.advance(4_000);
    assert.deepEqual(proxies.api.names(), []);
  });

  it('takes the ServiceAccount when the last two go at once', async () => {
    const other = { ...deleting('other'), spec: { ...deleting().spec, nodeSelector: { pool: 'other' } } };
    const proxies = startProxies(deleting(), other, serviceAccount({ namespace: 'metaveil-system', name: 'x' }));
    proxies.api.put({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'metaveil-proxy', namespace: 'metaveil-system' },
    });
    await run(proxies);
    await proxies.timers.advance(10_000);
    assert.deepEqual(proxies.store.proxies(), []);
    assert.deepEqual(proxies.api.names(), []);
  });

  it('leaves nothing when somebody removed the finalizer by hand, seen or unseen', async () => {
    const seen = startProxies(node(), metadataProxy());
    const first = await run(seen);
    seen.store.remove('MetadataProxy', 'default');
    await settle();
    assert.deepEqual(seen.api.names(), []);
    await first.stop();

    const unseen = startProxies(node(), metadataProxy());
    const second = await run(unseen);
    await second.stop();
    unseen.store.remove('MetadataProxy', 'default');
    const labels = unseen.api.object(daemonSetName).metadata.labels ?? {};
    const elsewhere = { name: 'theirs', namespace: 'shop', labels };
    unseen.api.put({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: elsewhere });
    unseen.store.upsert(metadataProxy({ name: 'other' }));
    const third = await run(unseen);
    const other = 'DaemonSet metaveil-system/metaveil-proxy-other';
    assert.deepEqual(unseen.api.names(), [other, 'DaemonSet shop/theirs', account]);
    await third.stop();
    unseen.api.take();
    const fourth = await run(unseen);
    assert.deepEqual(unseen.api.take(), []);
    await fourth.stop();
    unseen.store.remove('MetadataProxy', 'other');
    await run(unseen);
    assert.deepEqual(unseen.api.names(), ['DaemonSet shop/theirs']);
  });
});

describe('the startup taint', () => {
  const tainted = (name: string) => node({ name, taints: [{ key: startupTaintKey, value: '', effect: 'NoSchedule' }] });

  it('goes from a node once its proxy serves, if asked for', async () => {
    const proxies = startProxies(tainted('a'), tainted('b'), metadataProxy({ spec: { removeStartupTaint: true } }));
    await run(proxies);
    assert.deepEqual(proxies.untainted, []);
    proxies.connections.set('a', true);
    await settle();
    assert.deepEqual(proxies.untainted, [`a ${startupTaintKey}`]);
  });

  it('stays otherwise', async () => {
    const proxies = startProxies(tainted('a'), metadataProxy());
    proxies.connections.set('a', true);
    await run(proxies);
    assert.deepEqual(proxies.untainted, []);
  });

  it('that may not be removed keeps nothing else from being done', async () => {
    const spec = { removeStartupTaint: true };
    const proxies = startProxies(tainted('a'), tainted('b'), metadataProxy({ spec }));
    const tried: string[] = [];
    proxies.taints.remove = (name) => {
      tried.push(name);
      return Promise.reject(new MetaveilError('kubernetes-refused', 'forbidden'));
    };
    proxies.connections.set('a', true);
    proxies.connections.set('b', true);
    await run(proxies);
    assert.deepEqual(tried.slice(0, 2), ['a', 'b']);
    assert.equal(stateOf(proxies, 'default', 'Ready'), 'True Ready');
  });
});
