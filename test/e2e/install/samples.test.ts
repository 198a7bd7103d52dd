/** `samples/` on an installed product: applied, applied again, survived by a restart, deleted with and without a controller. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runDaemonPods } from '../../cluster/daemonpods.ts';
import { eventually } from '../../cluster/eventually.ts';
import { ConfigMaps, DaemonSets, Deployments, NetworkPolicies, Pods, ServiceAccounts } from '../../cluster/kinds.ts';
import type { Kind } from '../../cluster/kinds.ts';
import { createNode } from '../../cluster/nodes.ts';
import { kubectlOk, principalOf } from '../installation.ts';
import type { ControllerProcess } from '../installation.ts';
import { auditFlags, auditPolicy, readAudit, rightsOf, unusedHere, usesOf } from './audit.ts';
import { conditionOf, ownKinds, Product, Proxies, systemNamespace, verdictOf } from './product.ts';
import { changesBetween, quietVersions } from './versions.ts';

const samples = fileURLToPath(new URL('../../../samples/', import.meta.url));
const namespace = 'metaveil-samples';
const proxyPods = 'app.kubernetes.io/component=proxy';
const ours = 'app.kubernetes.io/managed-by=metaveil-controller';

/** What is not simply Ready: nodes of these pools wait for proxies that connect, and none does here. */
const documented: Readonly<Record<string, string>> = {
  'MetadataProxy/web': 'Unknown NodesNotConnected',
  'MetadataProxy/batch': 'Unknown NodesNotConnected',
};

/** In the order of their beginning; ended the other way round, also when `before` got only half way. */
const endings: (() => Promise<unknown>)[] = [];
let product: Product;
let controller: ControllerProcess;
let auditFolder: string;

before(async () => {
  auditFolder = await mkdtemp(join(tmpdir(), 'metaveil-audit-'));
  endings.push(() => rm(auditFolder, { recursive: true, force: true }));
  await writeFile(join(auditFolder, 'policy.json'), auditPolicy);
  product = await Product.install({ apiServerArgs: auditFlags(auditFolder) });
  endings.push(() => product.stop());
  const { cluster, google } = product;
  for (const [name, pool] of [
    ['web-1', 'web'],
    ['batch-1', 'batch'],
    ['batch-2', 'batch'],
  ] as const) {
    await createNode(cluster, name, { labels: { pool } });
  }
  const nodes = ['web-1', 'batch-1', 'batch-2'];
  const pods = runDaemonPods(cluster, { nodes, namespace: systemNamespace, labelSelector: proxyPods });
  endings.push(() => pods.stop());
  for (const account of ['reports', 'pipeline']) {
    const email = `${account}@my-project.iam.gserviceaccount.com`;
    google.grant(email, 'roles/iam.workloadIdentityUser', principalOf(account));
  }
  controller = await product.startLeader();
});

after(async () => {
  for (const end of endings.reverse()) await end();
});

async function verdicts(): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  for (const kind of ownKinds) {
    for (const object of await product.cluster.api.list(kind)) {
      found[`${kind.kind}/${object.metadata.name}`] = verdictOf(object);
    }
  }
  return found;
}

/** As a person would. Fields that somebody else applied, such as the emulator's endpoints, stay as they are. */
async function applySamples(): Promise<void> {
  await kubectlOk(product.cluster, ['apply', '-f', samples]);
}

describe('samples/ applied for the first time', () => {
  it('are all Ready, or in their documented condition, within 10 s', async () => {
    const startedAt = performance.now();
    await applySamples();
    const waiting = ['wait', '--for=condition=Ready', 'wib,wip,mdp,cmdp', '--all', '-n', namespace, '--timeout=10s'];
    await kubectlOk(product.cluster, waiting);
    const expected = await eventually(
      'every object has come to its condition',
      async () => {
        const found = await verdicts();
        const isDone = Object.entries(found).every(([key, verdict]) => verdict === (documented[key] ?? 'True Ready'));
        return isDone ? found : undefined;
      },
      10_000,
    ).catch(async () => verdicts());
    const tookMs = performance.now() - startedAt;
    assert.deepEqual(
      Object.entries(expected).filter(([key, verdict]) => verdict !== (documented[key] ?? 'True Ready')),
      [],
    );
    assert.equal(Object.keys(expected).length, 16);
    assert.ok(tookMs <= 10_000, `took ${Math.round(tookMs)} ms`);
  });

  it('are accepted where they wait for proxies', async () => {
    for (const name of ['web', 'batch', 'lab']) {
      const proxy = await product.cluster.api.get(Proxies, { name });
      assert.equal(verdictOf(proxy, 'Accepted'), 'True Accepted');
      const since = Date.parse(conditionOf(proxy, 'Ready')?.lastTransitionTime ?? '');
      assert.ok(since >= Date.parse(proxy.metadata.creationTimestamp), 'since before it existed');
    }
  });

  it('were verified against Google, each with its own account', () => {
    const asked = product.google.requests().map(({ path }) => path);
    assert.ok(
      asked.some((path) => path.includes('reports@my-project.iam.gserviceaccount.com')),
      asked.join('\n'),
    );
    assert.ok(
      asked.some((path) => path.includes('pipeline@my-project.iam.gserviceaccount.com')),
      asked.join('\n'),
    );
    assert.ok(asked.filter((path) => path.startsWith('/v1/token')).length >= 3, asked.join('\n'));
  });

  it('show their columns in kubectl get', async () => {
    const table = await kubectlOk(product.cluster, ['get', 'wib', '-n', namespace]);
    const [header = '', ...rows] = table.trim().split('\n');
    assert.deepEqual(header.split(/\s+/), ['NAME', 'READY', 'REASON', 'GOOGLE-SERVICE-ACCOUNT', 'NODES', 'AGE']);
    const reports = rows.find((row) => row.startsWith('reports ')) ?? '';
    assert.deepEqual(reports.split(/\s+/).slice(0, 5), [
      ...['reports', 'True', 'Ready', 'reports@my-project.iam.gserviceaccount.com'],
      '0/0',
    ]);
    assert.equal(rows.length, 3);
  });
});

describe('what the controller makes for samples/', () => {
  it('is a DaemonSet per pool, a Deployment per node, and the ServiceAccount of the proxies', async () => {
    const names = async (kind: Kind<object>) =>
      (await product.cluster.api.list(kind, { namespace: systemNamespace, labelSelector: ours })).map(
        ({ metadata }) => metadata.name,
      );
    assert.deepEqual(await names(DaemonSets), ['metaveil-proxy-lab', 'metaveil-proxy-web']);
    const deployments = await names(Deployments);
    assert.equal(deployments.length, 2);
    for (const name of deployments) assert.match(name, /^metaveil-proxy-batch-[0-9a-f]{10}$/);
    assert.deepEqual(await names(ServiceAccounts), ['metaveil-proxy']);
    assert.deepEqual(await names(ConfigMaps), ['metaveil-node-api-ca']);
  });

  it('is a NetworkPolicy for every policy that denies direct egress, in each namespace it selects', async () => {
    const inSamples = await product.cluster.api.list(NetworkPolicies, { namespace, labelSelector: ours });
    assert.deepEqual(
      inSamples.map(({ metadata }) => metadata.name.replace(/-[0-9a-f]{10}$/, '')),
      [
        ...['metaveil-gke-exposed', 'metaveil-gke-secure', 'metaveil-hide-secrets', 'metaveil-hide-ssh-keys'],
        'metaveil-restrict-pipeline',
      ],
    );
    const own = await product.cluster.api.list(NetworkPolicies, { namespace: systemNamespace });
    assert.deepEqual(own, []);
  });

  it('is applied by the field manager metaveil-controller', async () => {
    for (const kind of [DaemonSets, Deployments, ServiceAccounts, ConfigMaps, NetworkPolicies]) {
      for (const { metadata } of await product.cluster.api.list<object>(kind, { labelSelector: ours })) {
        const applied = metadata.managedFields?.filter(({ operation }) => operation === 'Apply');
        assert.deepEqual(
          applied?.map(({ manager }) => manager),
          ['metaveil-controller'],
          metadata.name,
        );
      }
    }
  });

  it('runs: every node of the pools has its proxy pod', async () => {
    await eventually('the DaemonSet and the Deployments have pods', async () => {
      const found = await product.cluster.api.list(Pods, { namespace: systemNamespace, labelSelector: proxyPods });
      assert.deepEqual(found.map(({ spec }) => spec?.nodeName).sort(), ['batch-1', 'batch-2', 'web-1']);
      return found;
    });
  });
});

describe('nothing is written when nothing changes', () => {
  it('not by a second apply, and not by a restart of the controller', async () => {
    const settled = await quietVersions(product.cluster);
    assert.ok(settled.size > 40, `only ${settled.size} objects`);
    await applySamples();
    assert.equal(await controller.stop(), 0);
    controller = await product.startLeader({ podName: 'metaveil-controller-1' });
    assert.deepEqual(changesBetween(settled, await quietVersions(product.cluster)), []);
  });
});

/** The namespace goes first; its pods may be gone before kubectl comes to them. */
const deleteSamples = ['delete', '-f', samples, '--ignore-not-found'];

describe('samples/ deleted', () => {
  it('leave nothing of ours behind', async () => {
    await kubectlOk(product.cluster, [...deleteSamples, '--timeout=40s']);
    await nothingLeft();
  });

  it('leave nothing behind either when no controller ran, and somebody took a finalizer away', async () => {
    await product.useEmulator();
    await applySamples();
    await eventually('the samples are in effect again', async () => {
      const found = Object.entries(await verdicts());
      return found.length === 16 && found.every(([key, verdict]) => verdict === (documented[key] ?? 'True Ready'))
        ? true
        : undefined;
    });
    assert.equal(await controller.stop(), 0);
    await kubectlOk(product.cluster, [...deleteSamples, '--wait=false']);
    await product.cluster.api.patch(Proxies, { name: 'lab' }, { metadata: { finalizers: null } });
    assert.ok((await leftBehind()).length > 0, 'the test would show nothing');
    controller = await product.startLeader();
    await nothingLeft();
    assert.deepEqual(await verdicts(), {});
  });
});

async function leftBehind(): Promise<readonly string[]> {
  const kinds = 'daemonsets,deployments,networkpolicies,serviceaccounts,metadataproxies';
  const all = await kubectlOk(product.cluster, ['get', kinds, '-A', '-o', 'name', '-l', ours]);
  const proxies = await kubectlOk(product.cluster, ['get', 'metadataproxies', '-o', 'name']);
  return `${all}${proxies}`.split('\n').filter((line) => line !== '');
}

async function nothingLeft(): Promise<void> {
  await eventually('nothing of ours is left', async () => {
    const left = await leftBehind();
    assert.deepEqual(left, []);
    return left;
  });
}

/** Last: it looks at all that the controllers of this file have done. */
describe("the controller's rights", () => {
  it('were enough: no request was refused for lack of permission', async () => {
    const refused = (await readAudit(auditFolder)).filter(({ code }) => code === 401 || code === 403);
    // Events about objects that go together with their namespace; no right would help.
    assert.deepEqual(
      refused.filter(({ message }) => !message.endsWith('because it is being terminated')),
      [],
    );
  });

  it('are each used here, or have their reason', async () => {
    const used = usesOf(await readAudit(auditFolder));
    const unused = (await rightsOf(product.cluster)).filter((right) => !used.has(right));
    assert.deepEqual(unused, Object.keys(unusedHere).sort());
  });
});

describe('Google', () => {
  it('was asked by nobody but the controllers of this file, at the emulator', () => {
    assert.ok(product.google.requests().length >= 5);
    assert.deepEqual(controller.complaints, []);
  });
});
