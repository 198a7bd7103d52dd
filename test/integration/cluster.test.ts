import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import type { Pod } from 'kubernetes-types/core/v1.js';
import { openAccess, type ClusterDescription } from '../cluster/access.ts';
import { isApiError } from '../cluster/api.ts';
import { startCluster, type Cluster } from '../cluster/cluster.ts';
import { runDaemonPods, type DaemonPods } from '../cluster/daemonpods.ts';
import { eventually } from '../cluster/eventually.ts';
import {
  ConfigMaps,
  DaemonSets,
  Deployments,
  Namespaces,
  Nodes,
  Pods,
  ServiceAccounts,
  TokenReviews,
  namespacedKind,
  type Stored,
} from '../cluster/kinds.ts';
import { createNode, setNodeReady } from '../cluster/nodes.ts';
import { bindAndRun, finishPod, removePod } from '../cluster/pods.ts';

const containers = [{ name: 'main', image: 'example.invalid/none' }];

function isReady(pod: Stored<Pod>): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}

const widgetDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { kind: 'Widget', plural: 'widgets' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
};

function isUnschedulable(pod: Stored<Pod>): boolean {
  return pod.status?.conditions?.some(({ reason }) => reason === 'Unschedulable') === true;
}

describe('the control plane for tests', () => {
  let cluster: Cluster;
  let daemonPods: DaemonPods;

  before(async () => {
    cluster = await startCluster();
    await createNode(cluster, 'node-a', { labels: { pool: 'blue' }, internalIP: '198.18.0.1' });
    await createNode(cluster, 'node-b', { labels: { pool: 'blue' }, providerID: 'gce://project/zone-b/node-b' });
    await createNode(cluster, 'node-other');
    daemonPods = runDaemonPods(cluster, { nodes: ['node-a', 'node-b'] });
  });

  after(async () => {
    await daemonPods.stop();
    await cluster.stop();
  });

  async function runningPod(name: string, podIP: string): Promise<Stored<Pod>> {
    await cluster.api.create(Pods, {
      metadata: { namespace: 'default', name },
      spec: { nodeName: 'node-other', containers },
    });
    return bindAndRun(cluster, { namespace: 'default', name }, { node: 'node-other', podIP });
  }

  it('has the default ServiceAccount, and serves its own kubectl and issuer', async () => {
    const account = await cluster.api.get(ServiceAccounts, { namespace: 'default', name: 'default' });
    assert.equal(account.metadata.name, 'default');
    const version = await cluster.kubectl(['version', '-o', 'json']);
    assert.equal(version.code, 0, version.stderr);
    const versions = JSON.parse(version.stdout) as Record<string, { gitVersion: string }>;
    assert.equal(versions['serverVersion']?.gitVersion, versions['clientVersion']?.gitVersion);
    const discovery = (await cluster.api.send({ method: 'GET', path: '/.well-known/openid-configuration' })) as object;
    assert.equal((discovery as { issuer: string }).issuer, cluster.issuer);
  });

  it('reports what kubectl failed at as a result', async () => {
    const result = await cluster.kubectl(['apply', '-f', '-'], { stdin: 'kind: Nonsense' });
    assert.notEqual(result.code, 0);
    assert.match(result.stderr, /apiVersion not set/);
  });

  it('lets a pod of a DaemonSet run on each selected node, and of none other', async () => {
    const labels = { app: 'agent' };
    await cluster.api.create(DaemonSets, {
      metadata: { namespace: 'default', name: 'agent' },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { nodeSelector: { pool: 'blue' }, hostNetwork: true, containers } },
      },
    });
    await eventually('the DaemonSet has two available pods', async () => {
      const { status } = await cluster.api.get(DaemonSets, { namespace: 'default', name: 'agent' });
      return status?.numberAvailable === 2 ? status : undefined;
    });
    const pods = await cluster.api.list(Pods, { namespace: 'default', labelSelector: 'app=agent' });
    assert.deepEqual(pods.map((pod) => pod.spec?.nodeName).sort(), ['node-a', 'node-b']);
    const onA = pods.find((pod) => pod.spec?.nodeName === 'node-a');
    assert.equal(onA?.status?.podIP, '198.18.0.1');
    assert.equal(onA.status.phase, 'Running');
  });

  it('keeps a pod unready until its readiness gate opens', async () => {
    const labels = { app: 'gated' };
    await cluster.api.create(Deployments, {
      metadata: { namespace: 'default', name: 'gated' },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: { nodeSelector: { pool: 'blue' }, readinessGates: [{ conditionType: 'example.com/open' }], containers },
        },
      },
    });
    const findPod = async () => (await cluster.api.list(Pods, { labelSelector: 'app=gated' }))[0];
    const closed = await eventually('the pod runs', async () => {
      const pod = await findPod();
      return pod?.status?.phase === 'Running' ? pod : undefined;
    });
    assert.equal(isReady(closed), false);
    assert.match(closed.status?.podIP ?? '', /^10\.\d+\.\d+\.\d+$/);
    const status = { conditions: [{ type: 'example.com/open', status: 'True' }] };
    await cluster.api.patch(Pods, closed.metadata, { status }, { type: 'strategic', subresource: 'status' });
    await eventually('the Deployment is available', async () => {
      const found = await cluster.api.get(Deployments, { namespace: 'default', name: 'gated' });
      return found.status?.availableReplicas === 1 ? true : undefined;
    });
  });

  it('collects what belonged to a deleted owner, and lets terminating pods go', async () => {
    const labels = { app: 'short-lived' };
    const ref = { namespace: 'default', name: 'short-lived' };
    const owner = await cluster.api.create(DaemonSets, {
      metadata: ref,
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { nodeSelector: { pool: 'blue' }, containers } },
      },
    });
    const { name, uid } = owner.metadata;
    const ownerReferences = [{ apiVersion: 'apps/v1', kind: 'DaemonSet', name, uid }];
    await cluster.api.create(ConfigMaps, { metadata: { ...ref, ownerReferences } });
    const podsOfIt = () => cluster.api.list(Pods, { labelSelector: 'app=short-lived' });
    await eventually('it has two running pods', async () => {
      const running = (await podsOfIt()).filter((pod) => pod.status?.phase === 'Running');
      return running.length === 2 ? true : undefined;
    });
    await cluster.api.delete(DaemonSets, ref);
    await eventually('its pods and its ConfigMap are gone', async () => {
      const left = [...(await podsOfIt()), await cluster.api.find(ConfigMaps, ref)];
      return left.every((object) => object === undefined) ? true : undefined;
    });
  });

  it('binds a token to a pod: its review names node and pod with their uids', async () => {
    const pod = await runningPod('bound', '10.9.9.1');
    const node = await cluster.api.get(Nodes, { name: 'node-other' });
    const account = { namespace: 'default', name: 'default' };
    const token = await cluster.token(account, { audiences: ['someone'], pod: pod.metadata });
    const review = await cluster.api.create(TokenReviews, { spec: { token, audiences: ['someone'] } });
    assert.equal(review.status?.authenticated, true);
    assert.deepEqual(review.status.audiences, ['someone']);
    const { 'authentication.kubernetes.io/credential-id': credential, ...extra } = review.status.user?.extra ?? {};
    assert.match(credential?.[0] ?? '', /^JTI=/);
    assert.deepEqual(extra, {
      'authentication.kubernetes.io/node-name': ['node-other'],
      'authentication.kubernetes.io/node-uid': [node.metadata.uid],
      'authentication.kubernetes.io/pod-name': ['bound'],
      'authentication.kubernetes.io/pod-uid': [pod.metadata.uid],
    });
    const elsewhere = await cluster.api.create(TokenReviews, { spec: { token, audiences: ['another'] } });
    assert.notEqual(elsewhere.status?.authenticated, true);
  });

  it('refuses to bind a pod to a second node', async () => {
    await runningPod('settled', '10.9.9.2');
    await assert.rejects(
      bindAndRun(cluster, { name: 'settled' }, { node: 'node-a', podIP: '10.9.9.2' }),
      /is bound to/,
    );
  });

  it('ends pods: a finished one keeps its address, a removed one is gone', async () => {
    await runningPod('finishing', '10.9.9.3');
    const finished = await finishPod(cluster, { name: 'finishing' });
    assert.equal(finished.status?.phase, 'Succeeded');
    assert.equal(finished.status.podIP, '10.9.9.3');
    assert.equal(isReady(finished), false);
    await removePod(cluster, { name: 'finishing' });
    assert.equal(await cluster.api.find(Pods, { namespace: 'default', name: 'finishing' }), undefined);
  });

  it('has nodes that are Ready without a taint, until a test says otherwise', async () => {
    const ready = async () => {
      const { status } = await cluster.api.get(Nodes, { name: 'node-other' });
      return status?.conditions?.map((condition) => `${condition.type}=${condition.status}`);
    };
    const node = await cluster.api.get(Nodes, { name: 'node-b' });
    assert.equal(node.spec?.taints, undefined);
    assert.equal(node.spec?.providerID, 'gce://project/zone-b/node-b');
    assert.deepEqual(await ready(), ['Ready=True']);
    await setNodeReady(cluster, 'node-other', 'Unknown');
    assert.deepEqual(await ready(), ['Ready=Unknown']);
  });

  it('gives a ServiceAccount a kubeconfig with its own rights and no more', async () => {
    const kubeconfig = await cluster.kubeconfigFor('default', 'default');
    const who = await cluster.kubectl(['auth', 'whoami', '-o', 'jsonpath={.status.userInfo.username}'], { kubeconfig });
    assert.equal(who.stdout, 'system:serviceaccount:default:default');
    const denied = await cluster.kubectl(['get', 'secrets', '-A'], { kubeconfig });
    assert.equal(denied.code, 1);
    assert.match(denied.stderr, /Forbidden/);
    const api = cluster.apiAs(await cluster.token({ namespace: 'default', name: 'default' }));
    await assert.rejects(api.list(Pods), (error) => isApiError(error, 403));
    await api.close();
  });

  it('applies on the server, and tells a conflict from a success', async () => {
    const object = (value: string) => ({ metadata: { namespace: 'default', name: 'applied' }, data: { key: value } });
    const first = await cluster.api.apply(ConfigMaps, object('one'), { fieldManager: 'first' });
    const again = await cluster.api.apply(ConfigMaps, object('one'), { fieldManager: 'first' });
    assert.equal(again.metadata.resourceVersion, first.metadata.resourceVersion);
    const other = cluster.api.apply(ConfigMaps, object('two'), { fieldManager: 'second' });
    await assert.rejects(other, (error) => isApiError(error, 409) && error.reason === 'Conflict');
    const forced = await cluster.api.apply(ConfigMaps, object('two'), { fieldManager: 'second', force: true });
    assert.equal(forced.data?.['key'], 'two');
  });

  it('terminates a namespace with all that is in it', async () => {
    await cluster.api.create(Namespaces, { metadata: { name: 'doomed' } });
    await cluster.api.create(ConfigMaps, { metadata: { namespace: 'doomed', name: 'inside' } });
    await cluster.api.delete(Namespaces, { name: 'doomed' });
    await eventually('the namespace is gone', async () =>
      (await cluster.api.find(Namespaces, { name: 'doomed' })) === undefined ? true : undefined,
    );
  });

  it('keeps its data through a restart of the API server, and goes on running pods', async () => {
    const ref = { namespace: 'default', name: 'kept' };
    const before = await cluster.api.create(ConfigMaps, { metadata: ref, data: { key: 'value' } });
    const token = await cluster.token({ namespace: 'default', name: 'default' });
    await cluster.stopApiServer();
    await assert.rejects(cluster.api.get(ConfigMaps, ref), /ECONNREFUSED|other side closed/);
    await cluster.startApiServer();
    const kept = await cluster.api.get(ConfigMaps, ref);
    assert.equal(kept.metadata.uid, before.metadata.uid);
    const review = await cluster.api.create(TokenReviews, { spec: { token } });
    assert.equal(review.status?.authenticated, true);
    await cluster.api.create(Pods, {
      metadata: { namespace: 'default', name: 'after-restart' },
      spec: { nodeSelector: { pool: 'blue' }, containers },
    });
    await eventually('a pod made after the restart is Ready', async () => {
      const pod = await cluster.api.get(Pods, { namespace: 'default', name: 'after-restart' });
      return isReady(pod) ? true : undefined;
    });
  });
});

describe('a control plane with the scheduler', () => {
  let cluster: Cluster;
  let daemonPods: DaemonPods;

  before(async () => {
    cluster = await startCluster({ scheduler: true });
    await createNode(cluster, 'tainted', { taints: [{ key: 'reserved', effect: 'NoSchedule' }] });
    await createNode(cluster, 'open');
    daemonPods = runDaemonPods(cluster, { nodes: ['tainted', 'open'] });
  });

  after(async () => {
    await daemonPods.stop();
    await cluster.stop();
  });

  it('leaves a second pod with the same host port Pending, and heeds taints', async () => {
    const labels = { app: 'web' };
    const ports = [{ containerPort: 8080, hostPort: 8080 }];
    await cluster.api.create(Deployments, {
      metadata: { namespace: 'default', name: 'web' },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: containers.map((each) => ({ ...each, ports })) } },
      },
    });
    const pods = await eventually('one pod runs and the other is unschedulable', async () => {
      const found = await cluster.api.list(Pods, { labelSelector: 'app=web' });
      const told = found.filter((pod) => isReady(pod) || isUnschedulable(pod));
      return told.length === 2 ? told : undefined;
    });
    assert.deepEqual(pods.map((pod) => pod.spec?.nodeName ?? 'none').sort(), ['none', 'open']);
  });
});

describe('a control plane with kinds installed before its controllers', () => {
  const widgets = namespacedKind<{ metadata: { namespace: string; name: string } }>(
    'example.com/v1',
    'Widget',
    'widgets',
  );
  let folder: string;
  let cluster: Cluster;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'metaveil-kinds-'));
    writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify({ resources: ['widgets.yaml'] }));
    writeFileSync(join(folder, 'widgets.yaml'), JSON.stringify(widgetDefinition));
    cluster = await startCluster({ install: [folder] });
  });

  after(async () => {
    await cluster.stop();
    rmSync(folder, { recursive: true });
  });

  it('collects what a custom resource owned as fast as for any kind', async () => {
    const ref = { namespace: 'default', name: 'owner' };
    const { metadata } = await cluster.api.create(widgets, { metadata: ref });
    const ownerReferences = [{ apiVersion: 'example.com/v1', kind: 'Widget', name: 'owner', uid: metadata.uid }];
    await cluster.api.create(ConfigMaps, { metadata: { ...ref, ownerReferences } });
    await cluster.api.delete(widgets, ref);
    const gone = async () => ((await cluster.api.find(ConfigMaps, ref)) === undefined ? true : undefined);
    await eventually('the ConfigMap is gone', gone, 10_000);
  });

  it('fails to start, and leaves nothing behind, when they cannot be installed', async () => {
    const own = mkdtempSync(join(folder, 'own-'));
    const temporary = process.env['TMPDIR'];
    process.env['TMPDIR'] = own;
    const failed = startCluster({ install: [join(folder, 'absent')] });
    await assert.rejects(failed, /kubectl apply -k .*absent failed: /);
    if (temporary === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = temporary;
    assert.deepEqual(readdirSync(own), []);
    await eventually('no process of it is left', async () =>
      (await processesMentioning(own)).length === 0 ? true : undefined,
    );
  });
});

describe('a served cluster', () => {
  const serve = join(import.meta.dirname, '..', 'cluster', 'serve.ts');

  /** Starts a cluster in another process, and hands over its description once it is ready. */
  async function serveElsewhere(): Promise<{ owner: ChildProcess; description: ClusterDescription }> {
    const owner = spawn(process.execPath, [serve], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string];
    return { owner, description: JSON.parse(readFileSync(line, 'utf8')) as ClusterDescription };
  }

  async function assertNothingLeft(description: ClusterDescription): Promise<void> {
    await eventually('its processes and its folder are gone', async () => {
      const processes = await processesMentioning(description.folder);
      return processes.length === 0 && !existsSync(description.folder) ? true : undefined;
    });
  }

  it('is used by other processes, and leaves nothing behind when its owner is killed with SIGKILL', async () => {
    const { owner, description } = await serveElsewhere();
    try {
      const access = openAccess(description);
      const account = await access.api.get(ServiceAccounts, { namespace: 'default', name: 'default' });
      assert.equal(account.metadata.namespace, 'default');
      await access.api.close();
      assert.equal((await processesMentioning(description.folder)).length, 4, 'three components and the watchdog');
    } finally {
      owner.kill('SIGKILL');
    }
    await assertNothingLeft(description);
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`dies of ${signal} as any process would, its cluster with it`, async () => {
      const { owner, description } = await serveElsewhere();
      owner.kill(signal);
      assert.deepEqual(await once(owner, 'exit'), [null, signal]);
      await assertNothingLeft(description);
    });
  }

  it('stops when its standard input closes', async () => {
    const { owner, description } = await serveElsewhere();
    owner.stdin?.end();
    assert.deepEqual(await once(owner, 'exit'), [0, null]);
    await assertNothingLeft(description);
  });
});

async function processesMentioning(text: string): Promise<string[]> {
  const ps = spawn('ps', ['-A', '-ww', '-o', 'args='], { stdio: ['ignore', 'pipe', 'inherit'] });
  const output = (await ps.stdout.toArray()).map(String).join('');
  return output.split('\n').filter((line) => line.includes(text));
}
