/** `metaveil explain` and `metaveil test` of a running cluster: as from the same files, and as the real proxy answers. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import type { Verdict } from '../../../operator/cli/verdict.ts';
import { eventually } from '../../cluster/eventually.ts';
import { Nodes, Pods, ServiceAccounts } from '../../cluster/kinds.ts';
import { createNode } from '../../cluster/nodes.ts';
import { bindAndRun, finishPod } from '../../cluster/pods.ts';
import { kubectlOk } from '../installation.ts';
import { Proxies } from '../install/product.ts';
import { metaveil, namespace, nodeName, podManifest, podNames, Stage } from './stage.ts';
import type { Output } from './stage.ts';

let stage: Stage;

before(async () => (stage = await Stage.open()));
after(() => stage[Symbol.asyncDispose]());

const admin = () => ['--kubeconfig', stage.site.cluster.kubeconfigPath];
const kubeEnv = 'instance/attributes/kube-env';
const token = 'instance/service-accounts/default/token';

/** All forms of a path and, with machine-type, one that an Audit policy would conceal and that has no value here. */
const paths = [
  'instance/machine-type',
  'instance/id',
  'instance/hostname',
  'instance/attributes/',
  'instance/attributes/cluster-uid',
  kubeEnv,
  'instance/attributes/secret-database',
  'project/attributes/ssh-keys',
  'instance/service-accounts/',
  'instance/service-accounts/default/email',
  'instance/service-accounts/default/identity?audience=https://pipeline.example.com',
  token,
  'instance/guest-attributes/x',
  'universe/universe-domain',
  '/computeMetadata/v1beta1/instance/id',
  '/0.1/meta-data/hostname',
  '/0.1/meta-data/service-accounts/default/acquire',
];

interface Results {
  readonly results: readonly { readonly verdict: Verdict }[];
}

/** The verdicts on all pods and paths in one run. Every case expects the same, so most fail: what counts is the data. */
async function verdicts(source: readonly string[], pods: readonly string[]): Promise<readonly Verdict[]> {
  const cases = pods.flatMap((pod) => paths.map((path) => ({ pod: `${namespace}/${pod}`, path, decision: 'Conceal' })));
  const file = await stage.file(
    'cases.yaml',
    JSON.stringify({ apiVersion: 'cli.metaveil.dev/v1', kind: 'Test', cases }),
  );
  const { stdout, stderr } = await metaveil(['test', file, '-o', 'json', ...source]);
  assert.equal(stderr, '');
  const { results } = JSON.parse(stdout) as Results;
  assert.equal(results.length, cases.length);
  return results.map(({ verdict }) => verdict);
}

async function explain(pod: string, path: string, ...more: readonly string[]): Promise<Output> {
  return metaveil(['explain', pod, path, ...admin(), ...more]);
}

async function verdictOf(pod: string, path: string): Promise<Verdict> {
  const { code, stdout, stderr } = await explain(pod, path, '-o', 'json');
  assert.deepEqual([code, stderr], [0, '']);
  return JSON.parse(stdout) as Verdict;
}

describe('of a cluster', () => {
  it('the cases of the samples hold, by the names that they have in the files', async () => {
    const { code, stdout, stderr } = await metaveil(['test', 'samples/tests', ...admin()]);
    assert.deepEqual([code, stderr], [0, ''], stdout);
    assert.match(stdout, /\n9 passed, 0 failed\n$/);
    assert.match(stdout, /^PASS +metaveil-samples\/whoami-[a-z0-9]{5} /m);
  });

  it('every pod and path gets the verdict that the same files give, down to the trace', async () => {
    const comparable = (found: readonly Verdict[]) =>
      found.map(({ node, notes, pod, ...verdict }) => {
        assert.ok([nodeName, 'node-web'].includes(node), node);
        assert.ok(notes.length <= 1);
        return { ...verdict, pod: pod.replace(/whoami-.*$/, 'whoami') };
      });
    const pods = [...podNames, 'whoami'];
    const live = comparable(await verdicts(admin(), pods));
    assert.deepEqual(live, comparable(await verdicts(['-f', stage.manifests], pods)));
    const decisions = new Set(live.map(({ decision, reason }) => `${decision} ${reason ?? ''}`.trim()));
    const all = ['Conceal Legacy', 'Conceal Policy', 'Conceal Profile', 'NoServiceAccount', 'Reveal'];
    assert.deepEqual([...decisions].sort(), all);
    assert.ok(live.some(({ audit }) => audit.length > 0));
  });

  it('every verdict is what the real proxy answers', async () => {
    for (const { pod, path, version, decision, meaning } of await verdicts(admin(), podNames)) {
      assert.notEqual(meaning, '');
      const tenant = stage.pods.get(pod.slice(namespace.length + 1)) ?? assert.fail(pod);
      const sent = paths.filter((each) => (version === 'legacy' ? each.startsWith('/') : !each.startsWith('/')));
      for (const each of sent.filter((candidate) => canonical(candidate) === path)) {
        const answer = await tenant.get(each, each.startsWith('/') ? { path: each } : {});
        assert.ok(answer.kind === 'reply', `${pod} ${each}: ${JSON.stringify(answer)}`);
        assert.equal(
          answerWord(answer.status, answer.body),
          decision,
          `${pod} ${each}: ${answer.status} ${answer.body}`,
        );
      }
    }
  });

  it('kubectl metaveil asks the cluster and the namespace of the current context', async () => {
    const { cluster } = stage.site;
    const arguments_ = ['metaveil', 'explain', 'reports', kubeEnv, '-n', namespace];
    const { code, stdout, stderr } = await cluster.kubectl(arguments_, {
      env: { PATH: `${await stage.plugin()}:${process.env['PATH'] ?? ''}` },
    });
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^Decision +Conceal \(Profile\): the request is answered with 403$/m);
    const elsewhere = await metaveil(['explain', 'reports', kubeEnv], { KUBECONFIG: cluster.kubeconfigPath });
    assert.deepEqual([elsewhere.code, elsewhere.stdout], [1, '']);
    assert.match(elsewhere.stderr, /^there is no pod "reports" in namespace "default"; /);
  });
});

/** The path that a verdict names for what was asked. */
function canonical(asked: string): string {
  const path = asked.split('?')[0]?.replace(/\/$/, '') ?? '';
  const known: Readonly<Record<string, string>> = {
    '/computeMetadata/v1beta1/instance/id': 'instance/id',
    '/0.1/meta-data/hostname': 'instance/hostname',
    '/0.1/meta-data/service-accounts/default/acquire': token,
  };
  return known[path] ?? path;
}

function answerWord(status: number, body: string): string {
  if (status === 403) return 'Conceal';
  if (status === 404 && body.includes('has no Google identity')) return 'NoServiceAccount';
  // A Direct binding has no identity tokens, and a revealed attribute that nobody set does not exist.
  return status === 200 || status === 404 ? 'Reveal' : `${status} ${body}`;
}

describe('a pod that no proxy answers', () => {
  const created = async (manifest: object) =>
    kubectlOk(stage.site.cluster, ['apply', '-f', '-'], JSON.stringify(manifest));
  const said = (verdict: Verdict) => `${verdict.decision}: ${verdict.meaning}`;

  before(async () => {
    const { cluster } = stage.site;
    await createNode(cluster, 'node-b');
    for (const name of ['elsewhere', 'finished', 'waiting']) await created(podManifest(name));
    for (const [index, name] of ['elsewhere', 'finished'].entries()) {
      await bindAndRun(cluster, { name, namespace }, { node: 'node-b', podIP: `10.9.9.${index + 1}` });
    }
    await finishPod(cluster, { name: 'finished', namespace });
  });

  it('is on a node that no MetadataProxy selects', async () => {
    const verdict = await verdictOf(`${namespace}/elsewhere`, kubeEnv);
    assert.equal(said(verdict), 'NotIntercepted: no MetadataProxy selects node node-b: requests are not intercepted');
    assert.deepEqual([verdict.metadataProxy, verdict.trace], ['', []]);
    const { stdout } = await explain(`${namespace}/elsewhere`, kubeEnv);
    assert.match(stdout, /^Node +node-b \(no MetadataProxy\)$/m);
  });

  it('is on a node of a MetadataProxy that overlaps with an older one; the older one goes on', async () => {
    await created({ apiVersion: 'metaveil.dev/v1', kind: 'MetadataProxy', metadata: { name: 'younger' }, spec: {} });
    await eventually('it is refused', async () => {
      const { status } = await stage.site.cluster.api.get(Proxies, { name: 'younger' });
      return status?.conditions?.find(({ type, reason }) => type === 'Accepted' && reason === 'Overlap');
    });
    assert.match(
      said(await verdictOf(`${namespace}/elsewhere`, kubeEnv)),
      /^NotIntercepted: MetadataProxy younger is not accepted \(Overlap: .+\): requests are not intercepted$/,
    );
    const owned = await verdictOf(`${namespace}/reports`, kubeEnv);
    assert.deepEqual([owned.metadataProxy, owned.decision], ['web', 'Conceal']);
    assert.ok(owned.notes.includes('MetadataProxy younger selects node node-a too; the older owns it.'));
    await kubectlOk(stage.site.cluster, ['delete', 'mdproxy', 'younger']);
  });

  it("is on its node's network", async () => {
    const { cluster } = stage.site;
    // kube-system, because the samples' namespace forbids it.
    const manifest = {
      ...podManifest('host', { hostNetwork: true }),
      metadata: { name: 'host', namespace: 'kube-system' },
    };
    await created(manifest);
    await bindAndRun(cluster, { name: 'host', namespace: 'kube-system' }, { node: nodeName });
    const verdict = await verdictOf('kube-system/host', kubeEnv);
    assert.equal(said(verdict), "NotIntercepted: the pod is on its node's network: requests are not intercepted");
  });

  for (const [name, sentence] of [
    ['finished', /^pod "metaveil-samples\/finished" has finished \(Succeeded\); ask about one that runs\n$/],
    ['waiting', /^pod "metaveil-samples\/waiting" is not scheduled yet; ask again when it is/],
    ['nobody', /^there is no pod "metaveil-samples\/nobody"; use for example "metaveil-samples\//],
    ['../secrets', /^there is no pod "metaveil-samples\/\.\.\/secrets"; /],
  ] as const) {
    it(`is nobody: ${name}`, async () => {
      const { code, stdout, stderr } = await explain(`${namespace}/${name}`, kubeEnv);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, sentence);
    });
  }
});

describe("with a person's own rights", () => {
  const asked = ['explain', `${namespace}/reports`, kubeEnv];

  async function person(name: string): Promise<string> {
    await stage.site.cluster.api.apply(ServiceAccounts, { metadata: { name, namespace: 'default' } });
    return stage.site.cluster.kubeconfigFor('default', name);
  }

  async function bind(name: string, role: string, where: 'cluster' | 'namespace'): Promise<void> {
    const kind = where === 'cluster' ? 'clusterrolebinding' : 'rolebinding';
    const place = where === 'cluster' ? [] : ['-n', namespace];
    const flags = [`--clusterrole=${role}`, `--serviceaccount=default:${name}`, ...place];
    await kubectlOk(stage.site.cluster, ['create', kind, `${name}-${role}`, ...flags]);
  }

  it('the shipped ClusterRole and view in the namespace are enough', async () => {
    const kubeconfig = await person('viewer');
    await bind('viewer', 'metaveil-cluster-view', 'cluster');
    await bind('viewer', 'view', 'namespace');
    const { stdout } = await eventually('the rights have arrived', async () => {
      const output = await metaveil([...asked, '--kubeconfig', kubeconfig]);
      return output.code === 0 ? output : undefined;
    });
    assert.match(stdout, /^Decision +Conceal \(Profile\)/m);
    const tests = await metaveil(['test', 'samples/tests', '--kubeconfig', kubeconfig]);
    assert.deepEqual([tests.code, tests.stderr], [0, '']);
  });

  it('whoever has only view is told what lies outside the namespace', async () => {
    const kubeconfig = await person('tenant');
    await bind('tenant', 'view', 'namespace');
    const refusal = await eventually('the rights have arrived', async () => {
      const { stderr } = await metaveil([...asked, '--kubeconfig', kubeconfig]);
      return stderr.includes(' pods') ? undefined : stderr;
    });
    assert.equal(
      refusal,
      `your credentials lack rights that an answer takes:
  get nodes
  list clustermetadatapolicies.metaveil.dev
  list metadataproxies.metaveil.dev
  list workloadidentityproviders.metaveil.dev
ask for the ClusterRole metaveil-cluster-view in the whole cluster, which has these rules:
  - apiGroups: ['']
    resources: [nodes]
    verbs: [get]
  - apiGroups: [metaveil.dev]
    resources: [clustermetadatapolicies]
    verbs: [list]
  - apiGroups: [metaveil.dev]
    resources: [metadataproxies]
    verbs: [list]
  - apiGroups: [metaveil.dev]
    resources: [workloadidentityproviders]
    verbs: [list]
`,
    );
  });

  it('the rules that are printed are enough, and name nothing but get and list', async () => {
    const kubeconfig = await person('stranger');
    let refusals = 0;
    await eventually('it answers', async () => {
      const { code, stdout, stderr } = await metaveil([...asked, '--kubeconfig', kubeconfig]);
      if (code === 0) return stdout;
      refusals += 1;
      assert.equal(stdout, '');
      await grant('stranger', stderr);
      return undefined;
    });
    // What the pod refers to is known when the pod is: it takes two refusals, and time until a rule is in force.
    assert.ok(refusals >= 2);
  });

  /** Makes and binds roles of exactly the rules in the refusal. */
  async function grant(name: string, refusal: string): Promise<void> {
    const [, ...parts] = refusal.split(/^ask for the ClusterRole /m);
    assert.ok(parts.length > 0, refusal);
    for (const part of parts) {
      const where = /^view in namespace (\S+),/.exec(part)?.[1];
      const rules = parse(part.slice(part.indexOf('\n'))) as readonly { readonly verbs: readonly string[] }[];
      assert.ok(rules.every(({ verbs }) => verbs.every((verb) => verb === 'get' || verb === 'list')));
      const kind = where === undefined ? 'ClusterRole' : 'Role';
      const role = `${name}-${kind}-${rules.length}`.toLowerCase();
      const rbac = 'rbac.authorization.k8s.io';
      const metadata = { name: role, ...(where !== undefined && { namespace: where }) };
      const binding = {
        apiVersion: `${rbac}/v1`,
        kind: `${kind}Binding`,
        metadata,
        roleRef: { apiGroup: rbac, kind, name: role },
        subjects: [{ kind: 'ServiceAccount', name, namespace: 'default' }],
      };
      const documents = [{ apiVersion: `${rbac}/v1`, kind, metadata, rules }, binding];
      const text = documents.map((document) => JSON.stringify(document)).join('\n---\n');
      await kubectlOk(stage.site.cluster, ['apply', '-f', '-'], text);
    }
  }

  it('credentials that nobody knows are refused in one line, without them', async () => {
    const config = JSON.parse(await kubectlOk(stage.site.cluster, ['config', 'view', '--raw', '-o', 'json'])) as {
      users: { user: { token: string } }[];
    };
    for (const { user } of config.users) user.token = 'canary-token';
    const kubeconfig = await stage.file('stranger.kubeconfig', JSON.stringify(config));
    const { code, stdout, stderr } = await metaveil([...asked, '--kubeconfig', kubeconfig]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^GET \/[\w/.-]+: 401 Unauthorized[^\n]*\n$/);
    assert.doesNotMatch(stderr, /canary/);
  });
});

describe('hostile text in objects', () => {
  const hostile = '\u001b]0;owned\u0007\u001b[2J\u202e\u009b31m\r\n';

  it('cannot reach the terminal, from annotations or from a status that somebody forged', async () => {
    const { cluster, controllers } = stage.site;
    // It would put the status right.
    for (const controller of controllers) await controller.stop('SIGKILL');
    const annotations = { metadata: { annotations: { 'iam.gke.io/gcp-service-account': hostile, note: hostile } } };
    await cluster.api.patch(Pods, { namespace, name: 'visitor' }, annotations);
    await cluster.api.patch(ServiceAccounts, { namespace, name: 'visitor' }, annotations);
    await cluster.api.patch(Nodes, { name: nodeName }, annotations);
    const condition = { type: 'Ready', status: 'False', reason: 'Forged', message: hostile };
    const conditions = [{ ...condition, lastTransitionTime: new Date().toISOString(), observedGeneration: 1 }];
    await cluster.api.patch(
      Proxies,
      { name: 'web' },
      { status: { conditions } },
      { type: 'merge', subresource: 'status' },
    );
    const { code, stdout } = await explain(`${namespace}/visitor`, kubeEnv);
    assert.equal(code, 0);
    assert.match(stdout, /^[\n\x20-\x7e]+$/);
    assert.match(stdout, /^Note +MetadataProxy web is not Ready: Forged: \\u\{1b\}\]0;owned\\u\{7\}/m);
    const json = await explain(`${namespace}/visitor`, kubeEnv, '-o', 'json');
    assert.match(json.stdout, /^[\n\x20-\x7e]+$/);
    assert.ok((JSON.parse(json.stdout) as Verdict).notes.join().endsWith(hostile));
  });

  it('nor from what is asked', async () => {
    const { code, stdout, stderr } = await explain(`${hostile}/x`, kubeEnv);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^[\n\x20-\x7e]+$/);
  });
});
