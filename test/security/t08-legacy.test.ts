/**
 * T08: the APIs from before the header was asked for, in every spelling, and versions that do not exist. What a legacy
 * path would show is the same as what its v1 path shows.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { defaultInstance } from '../../operator/local/gce/instance.ts';
import { cmdp } from '../unit/core/policy/subjects.ts';
import { denied, served } from './assertions.ts';
import { pods, Stage, v1 } from './harness.ts';
import { get, hostLine, lines } from './requests.ts';

const bare = (target: string) => lines(`GET ${target} HTTP/1.1`, hostLine);

const accounts = 'instance/service-accounts';
/** Path as sent, and the v1 path below /computeMetadata/v1/ that the log names. */
const legacy: readonly (readonly [target: string, v1Path: string])[] = [
  ['/0.1', 'instance'],
  ['/0.1/', 'instance'],
  ['/0.1/meta-data', 'instance'],
  ['/0.1/meta-data/', 'instance'],
  ['/0.1/meta-data/attributes/kube-env', 'instance/attributes/kube-env'],
  ['/0.1/META-DATA/attributes/kube-env', 'instance/attributes/kube-env'],
  ['/0.1/Meta-Data/Attributes/kube-env', 'instance/attributes/kube-env'],
  ['/0.1/attributes/kube-env', 'instance/attributes/kube-env'],
  ['/0.1/instance/attributes/kube-env', 'instance/attributes/kube-env'],
  ['/0.1/meta-data/project-id', 'project/project-id'],
  ['/0.1/meta-data/numeric-project-id', 'project/numeric-project-id'],
  ['/0.1/meta-data/instance-id', 'instance/id'],
  ['/0.1/meta-data/hostname', 'instance/hostname'],
  ['/0.1/meta-data/network', 'instance/network-interfaces'],
  ['/0.1/meta-data/auth-token', `${accounts}/default/token`],
  ['/0.1/meta-data/service-accounts/default/acquire', `${accounts}/default/token`],
  ['/0.1/meta-data/service-accounts/default/ACQUIRE', `${accounts}/default/token`],
  ['/computeMetadata/v1beta1', ''],
  ['/computeMetadata/v1beta1/', ''],
  ['/computeMetadata/v1beta1/instance/', 'instance'],
  ['/computeMetadata/v1beta1/instance/attributes/kube-env', 'instance/attributes/kube-env'],
  ['/computeMetadata/v1beta1/Instance/ATTRIBUTES/kube-env', 'instance/attributes/kube-env'],
  ['/computeMetadata/V1BETA1/instance/attributes/kube-env', 'instance/attributes/kube-env'],
  ['/computeMetadata/v1Beta1/instance/attributes/kube-env', 'instance/attributes/kube-env'],
  ['/computemetadata/v1beta1/instance/attributes/kube-env', 'instance/attributes/kube-env'],
  ['/COMPUTEMETADATA/V1BETA1/instance/attributes/kube-env', 'instance/attributes/kube-env'],
  [`/computeMetadata/v1beta1/${accounts}/default/token`, `${accounts}/default/token`],
  [`/computeMetadata/v1beta1/${accounts}/default/identity`, `${accounts}/default/identity`],
  ['/computeMetadata/v1beta1/project/project-id', 'project/project-id'],
  ['/computeMetadata/v1beta1/nothing', 'nothing'],
];

const unknown: readonly string[] = [
  ...[
    '/computeMetadata/v2/',
    '/computeMetadata/v2/instance/id',
    '/computeMetadata/v1beta2/',
    '/computeMetadata/v1beta/',
  ],
  ...[
    '/computeMetadata/v1alpha1/',
    '/computeMetadata/v1beta10/instance/id',
    '/computeMetadata/v1.0/',
    '/computeMetadata/v10/',
  ],
  ...[
    '/computeMetadata/V1/instance/attributes/kube-env',
    '/computeMetadata/latest/',
    '/computeMetadata/0.1/meta-data/',
  ],
  ...[
    '/computemetadata/v1/instance/attributes/kube-env',
    '/COMPUTEMETADATA/v1/',
    '/computemetadata/',
    '/computeMetadata2/v1/',
  ],
  ...['/latest/', '/latest/meta-data/', '/latest/user-data', '/latest/api/token', '/2009-04-04/meta-data/'],
  ...['/metadata/instance?api-version=2021-02-01', '/metadata/identity/oauth2/token', '/opc/v1/instance/'],
  ...[
    '/openstack/latest/',
    '/0.2/meta-data/',
    '/00.1/meta-data/',
    '/0.10/meta-data/',
    '/0/',
    '/1.0/',
    '/v1/instance/id',
  ],
  ...['/instance/attributes/kube-env', '/meta-data/', '/healthz', '/metrics', '/favicon.ico', '/robots.txt'],
];

describe('T08 legacy APIs', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage.stop());

  for (const [target, v1Path] of legacy) {
    it(`${target}: legacy, with or without the header and whatever the query`, async () => {
      const body = `Legacy metadata endpoint accessed: ${target}\nLegacy metadata endpoints are disabled. Please use the /v1/ endpoint.`;
      const line = { pod: 'bound', path: target, v1Path: `${v1}/${v1Path}` };
      for (const bytes of [bare(target), get(target), get(`${target}?recursive=true&alt=json`)]) {
        denied(await stage.send(bytes), { status: 403, code: 'legacy', body, line });
      }
    });
  }

  for (const pod of ['unbound', 'federated'] as const) {
    it(`is denied to the ${pod} pod as well`, async () => {
      const target = '/computeMetadata/v1beta1/instance/attributes/kube-env';
      const seen = await stage.send(bare(target), { from: pods[pod] });
      denied(seen, { status: 403, code: 'legacy', body: /^Legacy metadata endpoint accessed: /, line: { pod } });
    });
  }

  const malformed = { status: 400, code: 'malformed-path' } as const;
  for (const target of [
    '/0%2e1/meta-data/',
    '/0.1//meta-data/',
    '/0.1./meta-data/',
    '/0.1/../0.1/',
    '/%30.1/',
    '/0.1;/x',
  ]) {
    it(`${target}: malformed-path`, async () => {
      denied(await stage.send(bare(target), { from: pods.privileged }), malformed);
    });
  }

  it('a spelling that holds a terminal’s codes is in no body and no line as such', async () => {
    const seen = await stage.send(bare('/0.1/\u001b[2J'));
    denied(seen, malformed);
    assert.ok(!JSON.stringify(seen.lines).includes('\u001b'));
  });
});

describe('T08 unknown versions', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage.stop());

  for (const target of unknown) {
    it(`${target}: not-found, and without the header not even that`, async () => {
      const from = { from: pods.privileged };
      denied(await stage.send(get(target), from), { status: 404, code: 'not-found' });
      denied(await stage.send(bare(target), from), { status: 403, code: 'missing-metadata-flavor' });
    });
  }

  it('the listing of versions names v1 only', async () => {
    served(await stage.send(get('/computeMetadata/')), { body: 'v1/\n' });
    served(await stage.send(get('/')), { body: 'computeMetadata/\n' });
    served(await stage.send(get('/computeMetadata/'), { from: pods.privileged }), { body: 'v1/\n' });
  });
});

describe('T08 legacy APIs that a policy allows', () => {
  const allowed = cmdp('legacy', { legacyEndpoints: 'Allow' });
  let stage: Stage;
  before(async () => (stage = await Stage.start({ policies: [allowed] })));
  after(() => stage.stop());

  const concealed = { status: 403, code: 'concealed' } as const;
  for (const target of [
    '/0.1/meta-data/attributes/kube-env',
    '/0.1/instance/attributes/kube-env',
    '/0.1/META-DATA/Attributes/KUBE-ENV',
    '/computeMetadata/v1beta1/instance/attributes/kube-env',
    '/computeMetadata/V1BETA1/Instance/Attributes/Kube-Env',
  ]) {
    it(`${target}: concealed like its v1 path`, async () => {
      for (const bytes of [bare(target), get(target)]) {
        denied(await stage.send(bytes), concealed);
        denied(await stage.send(bytes, { from: pods.secure }), concealed);
      }
    });
  }

  it("a token is the pod's own, never the node's, and there is none without a binding", async () => {
    for (const target of ['/0.1/meta-data/auth-token', `/computeMetadata/v1beta1/${accounts}/default/token`]) {
      const own = await stage.send(bare(target));
      assert.match(own.replies[0]?.body ?? '', /"access_token":"pod-token-canary-access/);
      assert.deepEqual([own.upstream, own.lines.map(({ event }) => event)], [[], ['legacy-allowed']]);
      const none = {
        status: 404,
        code: 'no-service-account',
        body: /is concealed\.\nServiceAccount team\/unbound/,
      } as const;
      const seen = await stage.send(bare(target), { from: pods.unbound });
      const lineOfDenial = seen.lines.filter(({ event }) => event !== 'legacy-allowed');
      denied({ ...seen, lines: lineOfDenial }, none);
    }
  });

  it('a value is asked for at its v1 path', async () => {
    for (const target of ['/0.1/meta-data/project-id', '/computeMetadata/V1BETA1/Project/project-id']) {
      const seen = await stage.send(bare(target));
      const [line] = seen.lines;
      assert.deepEqual(
        [seen.lines.length, line?.['event'], line?.['v1Path']],
        [1, 'legacy-allowed', `${v1}/project/project-id`],
      );
      served(
        { ...seen, lines: [] },
        { body: defaultInstance.projectId, upstream: [`${v1}/project/project-id?alt=json`] },
      );
    }
  });
});
