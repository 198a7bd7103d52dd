/**
 * T07: concealed leaves in the documents and listings of their ancestors. The upstream here answers every recursive
 * question in full, so what a pod does not get was taken out by the proxy.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { DenialCode } from '../../operator/core/request/denials.ts';
import { defaultInstance, leakCanary } from '../../operator/local/gce/instance.ts';
import { denied, served } from './assertions.ts';
import { harmless, kubeEnv, podCanary, pods, Stage, v1, type Observed } from './harness.ts';
import { canonicalRequest } from './recorder.ts';
import { get } from './requests.ts';

const bound = 'bound@test-project.iam.gserviceaccount.com';
const node = defaultInstance.email;

/** Every directory above a leaf that some pod here is not to see. */
const directories = [
  '',
  'instance/',
  'instance/attributes/',
  'instance/gce-workload-certificates/',
  'instance/service-accounts/',
  'instance/service-accounts/default/',
  `instance/service-accounts/${bound}/`,
  `instance/service-accounts/${bound.replace('@', '%40')}/`,
  `instance/service-accounts/${node}/`,
  'project/',
  'project/attributes/',
  'universe/',
];

/** Every way to ask for more than one value, and some that only look like it. */
const queries = [
  '',
  '?alt=text',
  '?alt=json',
  '?recursive=true',
  '?recursive=TRUE',
  '?recursive=True&alt=text',
  '?recursive=true&alt=json',
  '?alt=json&recursive=true',
  '?%72ecursive=true',
  '?recursive=%74rue',
  '?%72%65%63%75%72%73%69%76%65=%74%72%75%65',
  '?Recursive=true',
  '?recursive=false',
  '?recursive=true&x=recursive=false',
  '?recursive=true&&alt=text&',
  '?recursive=true&wait_for_change=true&last_etag=NONE',
  '?recursive=true&wait_for_change=true&last_etag=NONE&alt=text&timeout_sec=1',
  '?wait_for_change=true&last_etag=0',
  '?recursive=true&scopes=a&audience=b&format=full',
];

/** That there is something is not said either. */
const names = ['kube-env', 'user-data', 'startup-script', 'ssh-keys', 'workload-identities'];

const secretsOf = {
  bound: [leakCanary, podCanary, node, ...names],
  unbound: [leakCanary, podCanary, node, bound, ...names],
  federated: [leakCanary, podCanary, node, bound, ...names],
  // Sees attributes of the node, but kube-env; a token is in no document of anybody.
  secure: ['kubelet-cert', 'kubelet-key', 'kube-env', `${leakCanary}-access`, `${leakCanary}-identity`, podCanary],
  privileged: [`${leakCanary}-access`, `${leakCanary}-identity`, podCanary],
} as const;

function assertHolds(seen: Observed, secrets: readonly string[], what: string): void {
  const [reply] = seen.replies;
  assert.ok(reply !== undefined && seen.replies.length === 1, what);
  const shown = `${reply.body} ${[...reply.headers.values()].join(' ')} ${JSON.stringify(seen.lines)}`;
  for (const secret of secrets) assert.ok(!shown.includes(secret), `${secret} in ${what}: ${shown}`);
  assert.deepEqual(seen.tokens, [], what);
}

/** `{}` of JSON that may hold directories. */
const read = (text: string) => JSON.parse(text) as Record<string, Record<string, unknown>>;

describe('T07 recursion and aggregation, passed through', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage.stop());

  for (const pod of ['bound', 'unbound', 'federated', 'secure', 'privileged'] as const) {
    for (const directory of directories) {
      it(`${pod}: nothing concealed below /${directory}, in any form`, async () => {
        for (const query of queries) {
          const target = `${v1}/${directory}${query}`;
          const seen = await stage.send(get(target), { from: pods[pod] });
          // Naming a concealed path in the request puts it into the log line of its own denial, as it should.
          const own = directory === `instance/service-accounts/${node}/` ? [node] : [];
          const secrets = secretsOf[pod].filter((secret) => !own.includes(secret));
          assertHolds(
            seen,
            secrets.filter((secret) => !target.includes(secret)),
            target,
          );
          // One question at the most, rebuilt by us: known keys, decoded, in our order.
          assert.ok(seen.upstream.length <= 1, target);
          const forms = ['', '?recursive=true&alt=json', '?alt=json'];
          const allowed = forms.map((form) => canonicalRequest(`${v1}/${directory.replace('%40', '@')}${form}`));
          for (const request of seen.upstream) assert.ok(allowed.includes(request), request);
        }
      });
    }
  }

  it('what is harmless is in the same documents', async () => {
    const document = `${v1}/?recursive=true`;
    const whole = served(await stage.send(get(document)), { upstream: [`${document}&alt=json`] });
    const { instance = {}, project = {} } = read(whole.body);
    assert.deepEqual(instance['attributes'], {
      'cluster-name': 'prod',
      'cluster-location': 'europe-west4',
      'cluster-uid': 'c7f2d6b0a1e94d15',
    });
    assert.deepEqual(Object.keys(instance['serviceAccounts'] as object), [bound, 'default']);
    assert.equal(project['projectId'], 'my-project');
    const open = served(await stage.send(get(document), { from: pods.privileged }), {
      upstream: [`${document}&alt=json`],
    });
    for (const secret of ['kubelet-key', 'user-data', 'instance-ssh-key', 'project-ssh-key', 'workload-certificate']) {
      assert.ok(open.body.includes(`${leakCanary}-${secret}`), secret);
    }
    const secure = served(await stage.send(get(document), { from: pods.secure }), {
      upstream: [`${document}&alt=json`],
    });
    assert.ok(secure.body.includes(`${leakCanary}-user-data`));
  });

  it('text and JSON are filtered the same', async () => {
    const text = await stage.send(get(`${v1}/instance/?recursive=true&alt=text`));
    const [reply] = text.replies;
    assert.match(reply?.body ?? '', /^attributes\/cluster-name prod$/m);
    assert.doesNotMatch(reply?.body ?? '', /kube-env|user-data|ssh-keys/);
    served(text, { upstream: [`${v1}/instance/?recursive=true&alt=json`] });
  });

  const concealed = { status: 403, code: 'concealed' } as const;
  const denials: readonly (readonly [query: string, { readonly status: number; readonly code: DenialCode }])[] = [
    ['?recursive=true', concealed],
    ['?alt=json', concealed],
    ['?alt=text', concealed],
    ['?wait_for_change=true', concealed],
    ['?wait_for_change=true&last_etag=NONE', concealed],
    ['?recursive=true&wait_for_change=true&timeout_sec=1', concealed],
  ];
  for (const [query, expected] of denials) {
    it(`a concealed node ${query}: ${expected.code}, at once`, async () => {
      for (const target of [kubeEnv, `${kubeEnv}/`, `${v1}/instance/gce-workload-certificates/`]) {
        denied(await stage.send(get(`${target}${query}`)), expected);
      }
    });
  }

  const twice = { status: 400, code: 'duplicate-parameter' } as const;
  const invalid = { status: 400, code: 'invalid-parameter' } as const;
  const malformed = { status: 400, code: 'malformed-query' } as const;
  for (const [query, expected] of [
    ['recursive=false&recursive=true', twice],
    ['recursive=true&recursive=true', twice],
    ['recursive=true&%72ecursive=false', twice],
    ['alt=text&alt=json', twice],
    ['alt=text&a%6ct=json', twice],
    ['wait_for_change=false&wait_for_change=true', twice],
    ['last_etag=a&last_etag=b', twice],
    ['recursive=', invalid],
    ['recursive', invalid],
    ['recursive=1', invalid],
    ['recursive=yes', invalid],
    ['recursive=true%20', invalid],
    ['recursive=+true', invalid],
    ['recursive=%2574rue', invalid],
    ['alt=JSON', invalid],
    ['alt=xml', invalid],
    ['alt=', invalid],
    ['alt=json%00', malformed],
    ['wait_for_change=2', invalid],
    ['timeout_sec=-1', invalid],
    ['timeout_sec=1e3', invalid],
    ['timeout_sec=9999999999', invalid],
    [`last_etag=${'a'.repeat(200)}`, invalid],
    ['recursive=true;alt=text', malformed],
    ['alt=json;recursive=true', malformed],
    ['recursive=%', malformed],
    ['recursive=tru%e', malformed],
    ['%zzrecursive=true', malformed],
    ['recursive%00=true', malformed],
    ['recursive=%e2%80%8btrue', malformed],
    ['x&'.repeat(65), malformed],
  ] as const) {
    it(`${query.slice(0, 50)}: ${expected.code}`, async () => {
      for (const target of [`${v1}/instance/`, harmless]) {
        denied(await stage.send(get(`${target}?${query}`), { from: pods.secure }), expected);
      }
    });
  }

  it('a change below that is concealed wakes nobody', async () => {
    const target = `${v1}/instance/?recursive=true`;
    const first = served(await stage.send(get(target)), { upstream: [`${target}&alt=json`] });
    const etag = first.headers.get('etag') ?? '';
    stage.gce.update({ attributes: { ...defaultInstance.attributes, 'kube-env': `${leakCanary}-new` } });
    const again = served(await stage.send(get(target)), { upstream: [`${target}&alt=json`] });
    assert.equal(again.headers.get('etag'), etag);
    assert.notEqual(etag, '');
  });
});

describe('T07 recursion and aggregation, emulated', () => {
  let stage: Stage;
  before(async () => {
    const attributes = { 'kube-env': `${leakCanary}-emulated`, 'user-data': `${leakCanary}-emulated` };
    const emulated = {
      instanceId: '1',
      instanceName: 'node-1',
      hostname: 'node-1',
      projectId: 'my-project',
      clusterName: 'prod',
      universeDomain: 'googleapis.com',
      attributes,
    };
    stage = await Stage.start({ settings: { platform: 'None', emulated } });
  });
  after(() => stage.stop());

  for (const pod of ['bound', 'unbound', 'federated'] as const) {
    it(`${pod}: nothing concealed in any directory and form, and no upstream is asked`, async () => {
      for (const directory of directories) {
        for (const query of queries) {
          const target = `${v1}/${directory}${query}`;
          const seen = await stage.send(get(target), { from: pods[pod] });
          assertHolds(seen, [leakCanary, podCanary, ...names], target);
          assert.deepEqual(seen.upstream, []);
        }
      }
    });
  }

  it('what is harmless is in the same documents', async () => {
    const whole = served(await stage.send(get(`${v1}/?recursive=true`)));
    assert.deepEqual(read(whole.body)['instance']?.['attributes'], { 'cluster-name': 'prod' });
    const open = served(await stage.send(get(`${v1}/?recursive=true`), { from: pods.privileged }));
    assert.ok(open.body.includes(`${leakCanary}-emulated`));
    const secure = served(await stage.send(get(`${v1}/instance/attributes/`), { from: pods.secure }));
    assert.match(secure.body, /user-data/);
    assert.doesNotMatch(secure.body, /kube-env/);
  });
});
