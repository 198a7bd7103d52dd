import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { after, before, describe, it } from 'node:test';
import type { KubeClient } from '../../operator/adapters/kube/client.ts';
import { clusterReflections } from '../../operator/adapters/kube/cluster-reflections.ts';
import { replicaIdentity } from '../../operator/adapters/kube/identity.ts';
import { LeaseElection } from '../../operator/adapters/kube/lease.ts';
import { kubeLeaseStore } from '../../operator/adapters/kube/lease-store.ts';
import { operatorShell, type OperatorShell } from '../../operator/adapters/kube/shell.ts';
import { ClusterStore } from '../../operator/core/cluster/store.ts';
import type { StoredObject } from '../../operator/core/cluster/kinds.ts';
import type { PodUid } from '../../operator/core/brand.ts';
import { startCluster, type Cluster } from '../cluster/cluster.ts';
import { eventually } from '../cluster/eventually.ts';
import { Leases, Namespaces, namespacedKind, Pods, ServiceAccounts } from '../cluster/kinds.ts';
import { createNode } from '../cluster/nodes.ts';
import { bindAndRun, finishPod, removePod } from '../cluster/pods.ts';
import { clientOf, installKinds, newNamespace, realTimers } from './kube-access.ts';

const bindings = namespacedKind<object>('metaveil.dev/v1', 'WorkloadIdentityBinding', 'workloadidentitybindings');
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

describe('watching through outages of a real API server', () => {
  let cluster: Cluster;
  let client: KubeClient;
  let shell: OperatorShell<StoredObject>;
  let namespace: string;
  const store = new ClusterStore();
  const interruptions: string[] = [];
  const lists: string[] = [];

  before(async () => {
    cluster = await startCluster();
    await installKinds(cluster);
    namespace = await newNamespace(cluster, 'outage');
    client = clientOf(cluster.kubeconfigPath);
    shell = operatorShell({
      client,
      kubeconfigPath: cluster.kubeconfigPath,
      reflections: clusterReflections(store),
      timers: realTimers,
      random: Math.random,
      logger: silent,
      observer: {
        listed: (type) => lists.push(type.kind),
        interrupted: (type, error) => interruptions.push(`${type.kind}: ${error.code}`),
        unreadable: (type, key) => assert.fail(`unreadable ${type.kind} ${key}`),
      },
    });
    await shell.start();
    await shell.synced;
  });

  after(async () => {
    shell.stop();
    await shell.stopped();
    await client.close();
    await cluster.stop();
  });

  const newPod = async (name: string, labels: Record<string, string> = {}) =>
    (
      await cluster.api.create(Pods, {
        metadata: { namespace, name, labels },
        spec: { containers: [{ name: 'main', image: 'example.invalid/none' }] },
      })
    ).metadata;

  it('the store has synced: every kind was listed once', () => {
    assert.equal(store.hasSynced(), true);
    assert.equal(new Set(lists).size, lists.length);
    assert.ok(store.namespace(namespace));
    assert.ok(shell.watches().every(({ synced, ageMs }) => synced && ageMs < 60_000));
  });

  it('a pod is there from when it is scheduled until it finishes', async () => {
    await createNode(cluster, 'node-a', { internalIP: '198.18.0.9', providerID: 'gce://p/z/node-a' });
    const ref = await newPod('finishing', { app: 'a' });
    await newPod('never-scheduled');
    await bindAndRun(cluster, ref, { node: 'node-a', podIP: '10.1.2.3' });
    const running = await eventually('the pod runs', () => {
      const pod = store.pod(ref.uid as PodUid);
      return Promise.resolve(pod?.ready === true ? pod : undefined);
    });
    assert.deepEqual(running, {
      kind: 'Pod',
      uid: ref.uid,
      namespace,
      name: 'finishing',
      labels: { app: 'a' },
      serviceAccountName: 'default',
      nodeName: 'node-a',
      hostNetwork: false,
      phase: 'Running',
      ips: ['10.1.2.3'],
      hostIP: '198.18.0.9',
      deleting: false,
      ready: true,
      ownerUid: '',
      ownerKind: '',
      configHash: '',
      creationTimestamp: ref.creationTimestamp,
    });
    assert.equal(store.podNamed(namespace, 'never-scheduled'), undefined);
    const node = store.node('node-a');
    assert.deepEqual([node?.internalIPs, node?.providerID, node?.ready], [['198.18.0.9'], 'gce://p/z/node-a', true]);
    await finishPod(cluster, ref);
    await eventually('the finished pod is gone', () =>
      Promise.resolve(store.pod(ref.uid as PodUid) === undefined ? true : undefined),
    );
  });

  it('two connections for calls one after the other, and sixteen for any number at once', async () => {
    const connected = new Set<unknown>();
    const count = (message: unknown) => connected.add((message as { socket: unknown }).socket);
    subscribe('undici:client:connected', count);
    const fresh = clientOf(cluster.kubeconfigPath);
    try {
      const path = '/api/v1/namespaces/default';
      for (let call = 0; call < 50; call += 1) await fresh.request({ method: 'GET', path });
      const afterCalls = connected.size;
      assert.ok(afterCalls <= 2, `${afterCalls} connections for 50 calls`);
      await Promise.all(Array.from({ length: 200 }, () => fresh.request({ method: 'GET', path })));
      const afterBurst = connected.size;
      assert.ok(afterBurst <= 16, `${afterBurst} connections for 200 calls at once`);
    } finally {
      unsubscribe('undici:client:connected', count);
      await fresh.close();
    }
  });

  it('a restart of the API server loses nothing, what happened right after it included', async () => {
    const keep = await newPod('keeps');
    const drop = await newPod('drops');
    for (const [ref, podIP] of [
      [keep, '10.1.2.4'],
      [drop, '10.1.2.5'],
    ] as const) {
      await bindAndRun(cluster, ref, { node: 'node-a', podIP });
    }
    await cluster.api.create(bindings, {
      metadata: { namespace, name: 'bound' },
      spec: { serviceAccountName: 'bound', googleServiceAccount: 'bound@my-project.iam.gserviceaccount.com' },
    });
    const arrived = () => store.binding(namespace, 'bound') !== undefined && store.podNamed(namespace, 'drops');
    await eventually('pods and binding are there', () => Promise.resolve(arrived() || undefined));
    await cluster.stopApiServer();
    await eventually('the watches notice', () => Promise.resolve(interruptions.length > 0 || undefined));
    assert.ok(store.podNamed(namespace, 'keeps'), 'an outage empties nothing');
    await cluster.startApiServer();
    await removePod(cluster, drop);
    await cluster.api.delete(bindings, { namespace, name: 'bound' });
    await cluster.api.create(ServiceAccounts, { metadata: { namespace, name: 'new' } });
    const caughtUp = () =>
      store.podNamed(namespace, 'drops') === undefined &&
      store.binding(namespace, 'bound') === undefined &&
      store.serviceAccount(namespace, 'new') !== undefined;
    await eventually('the store has caught up', () => Promise.resolve(caughtUp() || undefined));
    assert.equal(store.pod(keep.uid as PodUid)?.phase, 'Running');
    assert.ok(interruptions.every((entry) => entry.endsWith('kubernetes-unavailable')));
  });

  it('two replicas elect one leader; it hands over when it releases and when it dies', async () => {
    const elect = (name: string) => {
      const own = clientOf(cluster.kubeconfigPath);
      const election = new LeaseElection({
        store: kubeLeaseStore(own, namespace, 'metaveil-controller'),
        identity: replicaIdentity(name, randomUUID().slice(0, 8), `${name}.example:8443`),
        timers: realTimers,
        monotonic: () => performance.now(),
        random: Math.random,
        onFailure: () => undefined,
      });
      election.start();
      return { election, own };
    };
    const leaderOf = (...replicas: ReturnType<typeof elect>[]) =>
      eventually(
        'one replica leads',
        () => Promise.resolve(replicas.find(({ election }) => election.isLeader())),
        30_000,
      );
    const first = elect('first');
    await leaderOf(first);
    const second = elect('second');
    await eventually('the follower names the leader', () => {
      const role = second.election.role();
      return Promise.resolve(role.kind === 'follower' && role.leader === 'first.example:8443' ? true : undefined);
    });
    const lease = await cluster.api.get(Leases, { namespace, name: 'metaveil-controller' });
    assert.match(lease.spec?.holderIdentity ?? '', /^first_[0-9a-f]{8}@first\.example:8443$/);
    await first.election.stop();
    await leaderOf(second);
    // Its connections break for good: from the outside, a replica that died without a word.
    await second.own.close();
    const third = elect('third');
    await leaderOf(third);
    assert.equal(second.election.isLeader(), false, 'the dead leader lost its fence before');
    const taken = await cluster.api.get(Leases, { namespace, name: 'metaveil-controller' });
    assert.equal(taken.spec?.leaseTransitions, 2);
    await third.election.stop();
    await second.election.stop();
    await Promise.all([first.own.close(), third.own.close()]);
  });

  it('stopping ends the watches and not the process', async () => {
    const before = store.namespaces().length;
    shell.stop();
    await shell.stopped();
    await cluster.api.create(Namespaces, { metadata: { name: 'after-the-end' } });
    assert.equal(store.namespaces().length, before);
  });
});
