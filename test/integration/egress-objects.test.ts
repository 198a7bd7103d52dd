/** What the policy and proxy controllers render, on a real API server and with the controllers that make pods of it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { DaemonSet } from 'kubernetes-types/apps/v1.js';
import type { MetadataPolicySpec, MetadataProxySpec } from '../../operator/api/v1/index.ts';
import { ApiDiscovery } from '../../operator/adapters/kube/discovery.ts';
import type { KubeClient } from '../../operator/adapters/kube/client.ts';
import { projectServiceAccount } from '../../operator/adapters/kube/project/account.ts';
import { projectNetworkPolicy } from '../../operator/adapters/kube/project/network-policy.ts';
import { projectNode } from '../../operator/adapters/kube/project/node.ts';
import { KubeWriter } from '../../operator/adapters/kube/writer.ts';
import { sha256 } from '../../operator/cmd/system.ts';
import { PolicyCounters } from '../../operator/controllers/decisions/policy-counters.ts';
import { policyController } from '../../operator/controllers/policies/controller.ts';
import type { ObjectWriter } from '../../operator/controllers/ports.ts';
import { proxyController } from '../../operator/controllers/proxies/controller.ts';
import { compilePolicy } from '../../operator/core/policy/compile.ts';
import { LastGoodPolicies } from '../../operator/core/snapshot/policies.ts';
import type { ClusterStore } from '../../operator/core/cluster/store.ts';
import { metadataPolicy, metadataProxy, namespace as namespaceObject, node, storeOf } from '../builders/objects.ts';
import type { ClusterAccess } from '../cluster/access.ts';
import { runDaemonPods } from '../cluster/daemonpods.ts';
import { eventually } from '../cluster/eventually.ts';
import { DaemonSets, Deployments, NetworkPolicies, Nodes, Pods, ServiceAccounts } from '../cluster/kinds.ts';
import { createNode } from '../cluster/nodes.ts';
import { sharedCluster } from '../cluster/shared.ts';
import { FakeEvents, FakeProgramming } from '../fakes/controllers.ts';
import { clientOf, installKinds, newNamespace, realTimers } from './kube-access.ts';

const signal = new AbortController().signal;

describe('what the controllers render, on a real API server', () => {
  let cluster: ClusterAccess;
  let client: KubeClient;
  let writer: ObjectWriter;
  /** Kind of everything applied or deleted since the last look. */
  const written: string[] = [];

  before(async () => {
    cluster = await sharedCluster();
    await installKinds(cluster);
    client = clientOf(cluster.kubeconfigPath);
    const real = new KubeWriter({ client, discovery: new ApiDiscovery(client, realTimers), mayWrite: () => true });
    writer = {
      apply: (object) => {
        written.push(`apply ${object.kind}`);
        return real.apply(object);
      },
      applyUnforced: (object) => real.applyUnforced(object),
      delete: (ref, uid) => {
        written.push(`delete ${ref.kind}`);
        return real.delete(ref, uid);
      },
      listOwned: (type, labels) => real.listOwned(type, labels),
      updateStatus: () => Promise.resolve(),
      addFinalizer: () => Promise.resolve(),
      removeFinalizer: () => Promise.resolve(),
    };
  });

  const nodeNames: string[] = [];

  after(async () => {
    for (const name of nodeNames) await cluster.api.delete(Nodes, { name });
    await client.close();
  });

  const took = () => written.splice(0);

  describe('a NetworkPolicy', () => {
    let namespace: string;

    before(async () => {
      namespace = await newNamespace(cluster, 'egress');
    });

    async function reconcile(store: ClusterStore, key: string): Promise<void> {
      const lastGood = new LastGoodPolicies(compilePolicy);
      await policyController({
        kind: 'MetadataPolicy',
        cluster: store,
        writer,
        events: new FakeEvents(),
        programming: new FakeProgramming(),
        counters: new PolicyCounters(store),
        effective: lastGood.effective.bind(lastGood),
        discovery: { discover: () => Promise.resolve({ denyKinds: [], cilium: false }) },
        timers: realTimers,
        hash: sha256,
        ownNamespace: 'metaveil-system',
      }).reconcile(key, signal);
      for (const raw of await cluster.api.list(NetworkPolicies, { namespace })) {
        const projected = projectNetworkPolicy({ ...raw });
        if (projected !== undefined) store.upsert(projected);
      }
    }

    const selectors: Readonly<Record<string, MetadataPolicySpec['podSelector']>> = {
      everything: undefined,
      labels: { matchLabels: { app: 'web', 'example.com/tier': '' } },
      expressions: {
        matchExpressions: [
          { key: 'a', operator: 'In', values: ['x', 'y'] },
          { key: 'b', operator: 'NotIn', values: ['z'] },
          { key: 'c', operator: 'Exists' },
          { key: 'd', operator: 'DoesNotExist' },
        ],
      },
    };
    const platforms = ['gce://p/z/n', 'aws:///z/i-0', 'azure:///subscriptions/s', ''];
    for (const [what, podSelector] of Object.entries(selectors)) {
      for (const providerID of platforms) {
        it(`that selects ${what} is accepted on ${providerID || 'an unknown platform'}, and found in place`, async () => {
          const name = `p-${randomBytes(4).toString('hex')}`;
          const policy = metadataPolicy({ namespace, name, spec: podSelector === undefined ? {} : { podSelector } });
          const store = storeOf(namespaceObject(namespace), node({ providerID }), policy);
          await reconcile(store, `${namespace}/${name}`);
          assert.deepEqual(took(), ['apply NetworkPolicy']);
          const before = await cluster.api.list(NetworkPolicies, { namespace });
          await reconcile(store, `${namespace}/${name}`);
          assert.deepEqual(took(), []);
          // A restarted controller that has not seen it applies it again, which changes nothing.
          await reconcile(storeOf(namespaceObject(namespace), node({ providerID }), policy), `${namespace}/${name}`);
          assert.deepEqual(took(), ['apply NetworkPolicy']);
          const after = await cluster.api.list(NetworkPolicies, { namespace });
          const versions = (list: typeof before) => list.map(({ metadata }) => metadata.resourceVersion);
          assert.deepEqual(versions(after), versions(before));
          store.remove('MetadataPolicy', `${namespace}/${name}`);
          await reconcile(store, `${namespace}/${name}`);
          assert.deepEqual(took(), ['delete NetworkPolicy']);
          assert.deepEqual(await cluster.api.list(NetworkPolicies, { namespace }), []);
        });
      }
    }
  });

  describe('a proxy', () => {
    const full: Partial<MetadataProxySpec> = {
      tolerations: [{ key: 'dedicated', value: 'lab', effect: 'NoSchedule' }],
      removeStartupTaint: true,
      imagePullSecrets: [{ name: 'registry' }],
      podLabels: { team: 'platform' },
      podAnnotations: { 'example.com/owner': 'platform' },
      resources: { requests: { cpu: '0.05', memory: '64Mi' }, limits: { memory: '1024Mi' } },
      maxUnavailable: '10%',
    };

    async function installed(spec: Partial<MetadataProxySpec>, names: readonly string[]) {
      const namespace = await newNamespace(cluster, 'proxies');
      const pool = namespace;
      for (const name of names) {
        nodeNames.push(name);
        await createNode(cluster, name, { labels: { pool, 'kubernetes.io/hostname': 'short' } });
      }
      const proxy = metadataProxy({ spec: { ...spec, nodeSelector: { pool } } });
      const store = storeOf(proxy);
      for (const name of names) {
        const projected = projectNode({ ...(await cluster.api.get(Nodes, { name })) });
        if (projected !== undefined) store.upsert(projected);
      }
      const installation = {
        namespace,
        image: 'example.invalid/metaveil',
        nodeApiUrl: 'https://10.96.0.10:8443',
        nodeApiName: `metaveil-controller.${namespace}.svc`,
        caConfigMap: 'metaveil-node-api-ca',
      };
      const controller = proxyController({
        cluster: store,
        writer,
        events: new FakeEvents(),
        connections: { isServing: () => false, onChange: () => () => undefined },
        taints: { remove: () => Promise.resolve() },
        clock: realTimers,
        hash: sha256,
        installation,
      });
      const reconcile = async () => {
        await controller.reconcile('default', signal);
        for (const raw of await cluster.api.list(ServiceAccounts, { namespace })) {
          const projected = projectServiceAccount({ ...raw });
          if (projected !== undefined) store.upsert(projected);
        }
        return took();
      };
      return { namespace, store, reconcile };
    }

    const nodeName = () => `egress-${randomBytes(4).toString('hex')}`;

    for (const [what, spec] of Object.entries({ 'all defaults': {}, 'every field': full })) {
      it(`as a DaemonSet with ${what} is accepted, makes a pod on each node, and is found in place`, async () => {
        const names = [nodeName(), nodeName()];
        const { namespace, reconcile } = await installed(spec, names);
        assert.deepEqual(await reconcile(), ['apply ServiceAccount', 'apply DaemonSet']);
        const daemonPods = runDaemonPods(cluster, { nodes: names, namespace });
        const pods = await eventually('two running pods', async () => {
          const found = await cluster.api.list(Pods, { namespace });
          const running = found.filter(({ status }) => status?.phase === 'Running');
          return running.length === 2 ? running : undefined;
        });
        await daemonPods.stop();
        assert.deepEqual(pods.map((pod) => pod.spec?.nodeName).sort(), names.sort());
        assert.deepEqual(await reconcile(), []);
        const read = () => cluster.api.get<DaemonSet>(DaemonSets, { namespace, name: 'metaveil-proxy-default' });
        const { metadata } = await read();
        assert.equal(
          metadata.managedFields?.some(({ manager }) => manager === 'metaveil-controller'),
          true,
        );
        assert.equal((await read()).metadata.generation, 1);
      });

      it(`as Deployments with ${what} makes one on each node, also on one with a very long name`, async () => {
        const long = `${nodeName()}.${'long-part-of-a-name.'.repeat(11)}example`;
        const names = [nodeName(), long];
        const { namespace, reconcile } = await installed({ ...spec, workload: 'Deployment' }, names);
        assert.deepEqual(await reconcile(), ['apply ServiceAccount', 'apply Deployment', 'apply Deployment']);
        const daemonPods = runDaemonPods(cluster, { nodes: names, namespace });
        const pods = await eventually('two running pods', async () => {
          const found = await cluster.api.list(Pods, { namespace });
          const running = found.filter(({ status }) => status?.phase === 'Running');
          return running.length === 2 ? running : undefined;
        });
        await daemonPods.stop();
        assert.deepEqual(pods.map((pod) => pod.spec?.nodeName).sort(), names.sort());
        assert.deepEqual(await reconcile(), []);
        const owners = (await cluster.api.list(Deployments, { namespace })).flatMap(
          ({ metadata }) => metadata.ownerReferences ?? [],
        );
        assert.deepEqual(
          owners.map(({ kind, name }) => `${kind} ${name}`).sort(),
          names.map((name) => `Node ${name}`).sort(),
        );
      });
    }

    it('goes from a DaemonSet to Deployments and leaves nothing behind', async () => {
      const { namespace, store, reconcile } = await installed({}, [nodeName()]);
      await reconcile();
      const before = store.proxy('default');
      assert.ok(before);
      store.upsert({ ...before, spec: { ...before.spec, workload: 'Deployment' } });
      assert.deepEqual(await reconcile(), ['delete DaemonSet', 'apply Deployment']);
      assert.deepEqual(await cluster.api.list(DaemonSets, { namespace }), []);
      store.remove('MetadataProxy', 'default');
      assert.deepEqual(await reconcile(), ['delete Deployment', 'delete ServiceAccount']);
      assert.deepEqual(await cluster.api.list(Deployments, { namespace }), []);
    });
  });
});
