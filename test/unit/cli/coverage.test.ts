/** Which pods a proxy answers, asked of manifests; test/e2e/explain asks the same of a cluster. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { explain } from '../../../operator/cli/explain.ts';
import { clusterFromFiles } from '../../../operator/cmd/explained-cluster.ts';

const folder = await mkdtemp(join(tmpdir(), 'metaveil-coverage-'));
after(() => rm(folder, { recursive: true }));

interface Manifest {
  readonly kind: string;
  readonly name: string;
  readonly spec: object;
  readonly labels?: object;
}

const proxy = (name: string, spec: object = {}): Manifest => ({ kind: 'MetadataProxy', name, spec });
const pod = (spec: object = {}, name = 'web'): Manifest => ({ kind: 'Pod', name, spec });
const node = (name: string, labels: object): Manifest => ({ kind: 'Node', name, labels, spec: {} });

function text({ kind, name, spec, labels = {} }: Manifest): string {
  const apiVersion = kind === 'MetadataProxy' ? 'metaveil.dev/v1' : 'v1';
  const metadata = { name, labels, ...(kind === 'Pod' && { namespace: 'shop' }) };
  return JSON.stringify({ apiVersion, kind, metadata, spec });
}

let files = 0;

async function verdictOf(...manifests: readonly Manifest[]) {
  files += 1;
  const path = join(folder, `${files}.yaml`);
  await writeFile(path, manifests.map(text).join('\n---\n'));
  const loaded = await clusterFromFiles(path, { allowInsecureEndpoints: false, namespace: undefined });
  assert.equal(loaded.kind, 'loaded', JSON.stringify(loaded));
  const explanation = explain(loaded.cluster, { pod: 'web', path: 'instance/attributes/kube-env' }, undefined);
  assert.equal(explanation.kind, 'explained', JSON.stringify(explanation));
  return explanation.verdict;
}

describe('a pod of the files runs', () => {
  const pools = [proxy('general'), proxy('web', { nodeSelector: { pool: 'web' } })];
  const narrow = [proxy('web', { nodeSelector: { pool: 'web' } }), proxy('batch', { nodeSelector: { pool: 'batch' } })];
  const linux = { 'kubernetes.io/os': 'linux' };
  const affinity = (...matchExpressions: readonly object[]) => ({
    affinity: {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] } },
    },
  });
  const rows: readonly (readonly [where: string, manifests: readonly Manifest[], node: string, proxy: string])[] = [
    ['on the first pool, if it says nothing', [...narrow, pod()], 'node-web', 'web'],
    [
      'on the pool that its nodeSelector names',
      [...narrow, pod({ nodeSelector: { pool: 'batch', disk: 'ssd' } })],
      'node-batch',
      'batch',
    ],
    [
      'on the pool that its affinity names',
      [...narrow, pod(affinity({ key: 'pool', operator: 'In', values: ['batch'] }))],
      'node-batch',
      'batch',
    ],
    [
      'on a pool that its affinity allows',
      [...narrow, pod(affinity({ key: 'pool', operator: 'In', values: ['gpu', 'batch'] }))],
      'node-batch',
      'batch',
    ],
    ['on no pool that its nodeSelector rules out', [...narrow, pod({ nodeSelector: { pool: 'gpu' } })], 'local', ''],
    [
      'on no pool, if it needs Windows',
      [...pools, pod({ nodeSelector: { 'kubernetes.io/os': 'windows' } })],
      'local',
      '',
    ],
    [
      'on the Node that it names, if the files have it',
      [...narrow, node('n1', { ...linux, pool: 'batch' }), pod({ nodeName: 'n1', nodeSelector: { pool: 'web' } })],
      'n1',
      'batch',
    ],
    ['on its Node, whoever selects that or not', [...narrow, node('n1', linux), pod({ nodeName: 'n1' })], 'n1', ''],
    ['on a pool, if its Node is not in the files', [...narrow, pod({ nodeName: 'n1' })], 'node-web', 'web'],
  ];
  for (const [where, manifests, nodeName, proxyName] of rows) {
    it(where, async () => {
      const verdict = await verdictOf(...manifests);
      assert.deepEqual([verdict.node, verdict.metadataProxy], [nodeName, proxyName]);
      assert.equal(verdict.decision, proxyName === '' ? 'NotIntercepted' : 'Conceal');
    });
  }
});

describe('nobody of ours answers, and it is said,', () => {
  const refused = 'which is not in this version: requests are not intercepted';
  const rows: readonly (readonly [what: string, manifests: readonly Manifest[], meaning: string])[] = [
    ['without any MetadataProxy', [pod()], 'no MetadataProxy selects node local: requests are not intercepted'],
    [
      'on the network of the node',
      [proxy('default'), pod({ hostNetwork: true })],
      "the pod is on its node's network: requests are not intercepted",
    ],
    [
      'where a mode is asked for that does not exist yet',
      [proxy('default', { interception: 'Env' }), pod()],
      `MetadataProxy default asks for interception: Env, ${refused}`,
    ],
    [
      'where an older MetadataProxy has one of the nodes: then the younger runs nowhere',
      [
        proxy('older', { nodeSelector: { pool: 'web' } }),
        proxy('younger'),
        node('n1', { 'kubernetes.io/os': 'linux' }),
        pod({ nodeName: 'n1' }),
      ],
      'MetadataProxy younger is not accepted: an older one owns node node-older, which it selects: requests are not intercepted',
    ],
  ];
  for (const [what, manifests, meaning] of rows) {
    it(what, async () => {
      const { decision, meaning: said, trace } = await verdictOf(...manifests);
      assert.deepEqual([decision, said, trace], ['NotIntercepted', meaning, []]);
    });
  }
});

describe('what is worth knowing is a note', () => {
  it('an Audit MetadataProxy conceals nothing', async () => {
    const verdict = await verdictOf(proxy('default', { mode: 'Audit' }), pod());
    assert.equal(verdict.decision, 'Reveal');
    assert.equal(verdict.audit.length, 1);
    assert.deepEqual(verdict.notes, [
      'MetadataProxy default is in mode Audit: it conceals nothing and records what it would.',
    ]);
  });

  it('another MetadataProxy selects the node too', async () => {
    const labels = { 'kubernetes.io/os': 'linux', pool: 'web' };
    const manifests = [proxy('older'), proxy('younger', { nodeSelector: { pool: 'web' } }), node('n1', labels)];
    const verdict = await verdictOf(...manifests, pod({ nodeName: 'n1' }));
    assert.deepEqual(
      [verdict.metadataProxy, verdict.notes],
      ['older', ['MetadataProxy younger selects node n1 too; the older owns it.']],
    );
  });

  it('without interception only who asks the proxy is served', async () => {
    const verdict = await verdictOf(proxy('default', { interception: 'None' }), pod());
    assert.equal(verdict.decision, 'Conceal');
    assert.match(verdict.notes.join(), /interception: None: only requests sent to the proxy itself reach it/);
  });
});
