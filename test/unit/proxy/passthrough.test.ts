/** A node on GCE: what pods get of its real metadata server, and what that server is asked. Loopback only. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { HttpUpstream } from '../../../operator/adapters/http/upstream.ts';
import type { CompiledPolicy } from '../../../operator/core/snapshot/types.ts';
import { startGceEmulator, type GceEmulator } from '../../../operator/local/gce/emulator.ts';
import { defaultInstance, leakCanary } from '../../../operator/local/gce/instance.ts';
import { settle } from '../../fakes/timers.ts';
import { cmdp, mdp } from '../core/policy/subjects.ts';
import { Harness } from './harness.ts';
import { binding, issued, nodeSettings, workload } from './support.ts';

const v1 = '/computeMetadata/v1';
const bound = '127.0.0.2';
const unbound = '127.0.0.3';
const privileged = '127.0.0.4';
/** Sees the listing of attributes because one of them is revealed, and no other value there. */
const tuned = '127.0.0.5';
const account = `${v1}/instance/service-accounts/default`;
const open = cmdp('open', { profile: 'Privileged' });
const reveal = cmdp('reveal', { profile: 'Restricted', reveal: ['instance/attributes/cluster-name'] });

let gce: GceEmulator;
let upstream: HttpUpstream;
let node: Harness;

function pod(name: string, ip: string, policies: readonly CompiledPolicy[], isBound = false) {
  return { ...workload(name, ip, isBound ? binding(name) : undefined), policies: policies.map(({ uid }) => uid) };
}

function place(...more: readonly CompiledPolicy[]): void {
  node.snapshots.set({
    settings: nodeSettings({ platform: 'GCE' }),
    policies: [open, reveal, ...more],
    workloads: [
      pod('bound', bound, more, true),
      pod('unbound', unbound, more),
      pod('privileged', privileged, [open, ...more]),
      pod('tuned', tuned, [reveal, ...more]),
    ],
  });
}

beforeEach(async () => {
  gce = await startGceEmulator();
  const [host = '', port = ''] = gce.host.split(':');
  upstream = new HttpUpstream({ host, port: Number(port) });
  node = new Harness();
  node.tokens.policy = () => issued('own-token', node.timers.now() + 3_600_000);
  place();
  await node.start({ upstream });
  await settle();
});

afterEach(async () => {
  await node.stop();
  upstream.close();
  await gce.close();
});

const get = (path: string, from: string, headers?: Record<string, string>) =>
  node.get(path.startsWith('/') ? path : `${v1}/${path}`, { from, ...(headers !== undefined && { headers }) });
const asked = () => gce.requests().map(({ target }) => target);

describe('values of the real server', () => {
  it('arrive as text with its ETag and our headers', async () => {
    const answer = await get('project/project-id', bound);
    assert.deepEqual([answer.status, answer.body], [200, 'my-project']);
    const direct = await fetch(`http://${gce.host}${v1}/project/project-id?alt=json`, {
      headers: { 'Metadata-Flavor': 'Google' },
    });
    const { date, ...headers } = answer.headers;
    assert.ok(date !== undefined);
    assert.deepEqual(headers, {
      'content-type': 'application/text',
      'metadata-flavor': 'Google',
      server: 'Metadata Server for VM',
      etag: direct.headers.get('etag'),
      'content-length': '10',
      connection: 'close',
    });
  });

  const rows = [
    ['instance/id', 200, '4520031799277581759'],
    ['instance/id?alt=json', 200, '4520031799277581759'],
    ['instance/tags', 200, 'node\n'],
    ['instance/tags?alt=json', 200, '["node"]'],
    ['instance/zone?alt=json', 200, '"projects/123456789012/zones/europe-west4-a"'],
    ['instance/description', 200, ''],
    ['instance/attributes/', 200, 'cluster-name\ncluster-location\ncluster-uid\n'],
    ['instance/attributes/?alt=json', 200, '["cluster-name","cluster-location","cluster-uid"]'],
    ['instance/zone/', 404, 'Not Found\n'],
    ['instance/nothing', 404, 'Not Found\n'],
    ['universe/universe-domain?recursive=true&unknown=1', 200, 'googleapis.com'],
  ] as const;
  for (const [path, status, body] of rows) {
    it(`${path}: ${status}`, async () => {
      const answer = await get(path, bound);
      assert.deepEqual([answer.status, answer.body], [status, body]);
    });
  }

  it('redirect to a directory at the host that was asked, with the query', async () => {
    for (const [path, count] of [
      ['instance?recursive=true', 1],
      ['', 0],
    ] as const) {
      const before = asked().length;
      const answer = await get(`${v1}${path === '' ? '' : '/'}${path}`, bound);
      const [place = '', query] = path.split('?');
      assert.equal(answer.status, 301);
      const slash = place === '' ? '/' : `/${place}/`;
      const location = `http://127.0.0.1:${node.port}${v1}${slash}${query === undefined ? '' : `?${query}`}`;
      assert.equal(answer.headers.location, location);
      assert.equal(asked().length - before, count);
    }
  });

  it('for HEAD are only announced', async () => {
    const answer = await node.get(`${v1}/project/project-id`, { from: bound, method: 'HEAD' });
    assert.deepEqual([answer.status, answer.body, answer.headers['content-length']], [200, '', '10']);
  });
});

describe('what the real server is asked', () => {
  it('is rebuilt: nothing a pod sent but path and known keys, and no header of its own', async () => {
    await get('instance/tags?alt=text&x=1&last_etag=abc&scopes=a&audience=b', bound, {
      'metadata-flavor': 'Google',
      Cookie: 'c',
      Authorization: 'Bearer x',
      'X-Goog-Request-Params': 'y',
      'User-Agent': 'pod',
      'Accept-Encoding': 'gzip',
      Connection: 'close, X-Goog-Request-Params',
    });
    const [{ method, target, rawHeaders } = { method: '', target: '', rawHeaders: [] }, ...more] = gce.requests();
    assert.deepEqual([method, target, more.length], ['GET', `${v1}/instance/tags?alt=json`, 0]);
    const names = rawHeaders.filter((_, index) => index % 2 === 0);
    assert.deepEqual(names, ['Host', 'Metadata-Flavor', 'User-Agent', 'Connection']);
    assert.deepEqual(rawHeaders.slice(0, 6), [
      ...['Host', 'metadata.google.internal', 'Metadata-Flavor', 'Google', 'User-Agent', 'metaveil'],
    ]);
  });

  it('is a v1 path for a legacy one', async () => {
    const answer = await get('/0.1/meta-data/project-id', privileged);
    assert.deepEqual([answer.status, answer.body], [200, 'my-project']);
    assert.deepEqual(asked(), [`${v1}/project/project-id?alt=json`]);
  });

  const missing = { 'Metadata-Flavor': 'Google', 'X-Forwarded-For': '10.0.0.1' };
  const denied: readonly (readonly [what: string, path: string, from: string, status: number, send?: object])[] = [
    ['a path that the profile conceals', 'instance/attributes/kube-env', bound, 403],
    ['the same in another case', 'instance/attributes/KUBE-ENV', bound, 403],
    ["the node's token", 'instance/gce-workload-certificates/workload-identities', bound, 403],
    ['a directory that is concealed', 'instance/guest-attributes/?recursive=true', bound, 403],
    ['a value where only a listing is revealed', 'instance/attributes', tuned, 301],
    ['a legacy path', '/0.1/meta-data/instance-id', bound, 403],
    ['a legacy path in another case', '/computeMetadata/V1BETA1/instance/id', bound, 403],
    ['another case of the API', '/ComputeMetadata/v1/instance/id', bound, 404],
    ['an unknown API', '/latest/meta-data/', bound, 404],
    ['an escape', 'instance/attributes/kube%2Denv', bound, 400],
    ['a second escape', 'instance/attributes/kube%252Denv', bound, 400],
    ['a dot segment', 'instance/attributes/../attributes/kube-env', bound, 400],
    ['an escaped dot segment', 'instance/%2e%2e/project/', bound, 400],
    ['an empty segment', 'instance//attributes/kube-env', bound, 400],
    ['a path parameter', 'instance/attributes;x/kube-env', bound, 400],
    ['a backslash', 'instance\\attributes\\kube-env', bound, 400],
    ['a doubled key', 'instance/?recursive=false&recursive=true', bound, 400],
    ['an escaped doubled key', 'instance/?recursive=false&%72ecursive=true', bound, 400],
    ['a request without the header', 'instance/id', bound, 403, { headers: {} }],
    ['a forwarded request', 'instance/id', bound, 403, { headers: missing }],
    ['another host', 'instance/id', bound, 403, { headers: { 'Metadata-Flavor': 'Google', Host: 'evil.example' } }],
    ['a method that writes', 'instance/attributes/x', privileged, 405, { method: 'PUT' }],
    ["a bound pod's token", 'instance/service-accounts/default/token', bound, 200],
    ["a bound pod's account", 'instance/service-accounts/?recursive=true', bound, 200],
    ["an unbound pod's token", 'instance/service-accounts/default/token', unbound, 404],
    ["the node's e-mail, asked by a bound pod", `instance/service-accounts/${defaultInstance.email}/token`, bound, 404],
    [
      "the node's e-mail, asked by an unbound pod",
      `instance/service-accounts/${defaultInstance.email}/email`,
      unbound,
      404,
    ],
    ['an identity token without audience', 'instance/service-accounts/default/identity', privileged, 400],
    ['the root', '/', bound, 200],
  ];
  for (const [what, path, from, status, send] of denied) {
    it(`is nothing for ${what}`, async () => {
      const target = path.startsWith('/') ? path : `${v1}/${path}`;
      const answer = await node.get(target, { from, ...send });
      assert.equal(answer.status, status, answer.body);
      assert.deepEqual(asked(), []);
      assert.ok(!answer.body.includes(leakCanary));
    });
  }

  it('is nothing for a pod that nobody knows', async () => {
    const waiting = get('project/project-id', '127.0.0.99');
    await node.held();
    await node.timers.advance(2_000);
    assert.equal((await waiting).status, 503);
    assert.deepEqual(asked(), []);
  });

  it('is nothing on any other platform', async () => {
    for (const platform of ['None', 'AWS', 'Azure'] as const) {
      node.snapshots.set({ settings: nodeSettings({ platform }), workloads: [pod('bound', bound, [], true)] });
      assert.equal((await get('project/project-id', bound)).body, 'test-project');
    }
    assert.deepEqual(asked(), []);
  });
});

describe('documents of the real server', () => {
  const directories = ['', 'instance/', 'instance/attributes/', 'project/', 'project/attributes/', 'universe/'];
  const forms = ['', '?alt=json', '?recursive=true', '?recursive=true&alt=text', '?recursive=true&alt=json'];

  it('hold no canary in any form, and neither does the log', async () => {
    let served = 0;
    for (const from of [bound, unbound, tuned]) {
      for (const path of directories.flatMap((directory) => forms.map((form) => `${directory}${form}`))) {
        const answer = await get(path, from);
        assert.ok(!answer.body.includes(leakCanary), `${path}: ${answer.body}`);
        if (answer.status === 200) served += 1;
      }
    }
    assert.ok(served > 60);
    assert.ok(asked().length > 60);
    assert.ok(!node.lines.join('\n').includes(leakCanary));
  });

  it("have the pod's own account where the node's was", async () => {
    const own = JSON.parse((await get('instance/?recursive=true', bound)).body) as Record<string, unknown>;
    const { email } = binding('bound');
    assert.deepEqual(Object.keys(own['serviceAccounts'] as object), [email, 'default']);
    assert.ok(!JSON.stringify(own).includes(defaultInstance.email));
    const none = JSON.parse((await get('instance/?recursive=true', unbound)).body) as Record<string, unknown>;
    assert.deepEqual(none['serviceAccounts'], {});
    assert.deepEqual(none['attributes'], {
      'cluster-name': 'prod',
      'cluster-location': 'europe-west4',
      'cluster-uid': 'c7f2d6b0a1e94d15',
    });
  });

  it('are whole for Privileged', async () => {
    const answer = await get('?recursive=true', privileged);
    for (const secret of ['kubelet-key', 'instance-ssh-key', 'project-ssh-key', 'workload-certificate']) {
      assert.ok(answer.body.includes(`${leakCanary}-${secret}`), secret);
    }
    assert.ok(answer.body.includes(defaultInstance.email));
  });

  it('have an ETag that says nothing about what is concealed', async () => {
    const before = await get('instance/?recursive=true', bound);
    gce.update({ attributes: { ...defaultInstance.attributes, 'kube-env': 'another' } });
    assert.equal((await get('instance/?recursive=true', bound)).headers.etag, before.headers.etag);
    gce.update({ scopes: ['x'], name: 'renamed' });
    assert.notEqual((await get('instance/?recursive=true', bound)).headers.etag, before.headers.etag);
  });
});

describe("the node's own account, for an unbound Privileged pod", () => {
  it('has its token and identity token, asked with known keys only', async () => {
    const token = await get(`${account}/token?scopes=b,a&alt=text&x=y`, privileged);
    assert.deepEqual(JSON.parse(token.body), {
      access_token: defaultInstance.accessToken,
      expires_in: 3387,
      token_type: 'Bearer',
    });
    assert.equal(token.headers['content-type'], 'application/json');
    const query = 'audience=https://a.example&format=full&licenses=TRUE';
    const identity = await get(`${account}/identity?${query}&bindCertificateFingerprint=z`, privileged);
    assert.equal(identity.body, defaultInstance.identityToken);
    assert.equal((await get(`${account}/email`, privileged)).body, defaultInstance.email);
    assert.deepEqual(asked(), [
      `${account}/token?scopes=a%2Cb`,
      `${account}/identity?audience=https%3A%2F%2Fa.example&format=full&licenses=true`,
      `${account}/email?alt=json`,
    ]);
    assert.ok(!node.lines.join('\n').includes(leakCanary));
  });

  it('is hidden by a policy, under every name', async () => {
    place(
      mdp('hide', { conceal: ['instance/service-accounts/*/identity', 'instance/service-accounts/default/token'] }),
    );
    for (const name of ['default', defaultInstance.email]) {
      for (const leaf of ['token', 'identity?audience=a']) {
        const answer = await get(`instance/service-accounts/${name}/${leaf}`, privileged);
        assert.equal(answer.status, 403);
      }
    }
    assert.deepEqual(asked(), []);
  });
});

describe('wait_for_change', () => {
  const waitFor = (path: string, etag: string | undefined, from = bound) =>
    get(`${path}${path.includes('?') ? '&' : '?'}wait_for_change=true&timeout_sec=60&last_etag=${etag ?? ''}`, from);
  const waits = () => asked().filter((target) => target.includes('wait_for_change'));

  /** Resolves when the real server holds `count` waits. */
  async function waiting(count: number): Promise<void> {
    for (let round = 0; round < 20_000 && waits().length < count; round += 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(waits().length, count);
  }

  it('answers when the value is another one', async () => {
    const { etag } = (await get('instance/name', bound)).headers;
    const late = waitFor('instance/name', etag);
    await waiting(1);
    assert.deepEqual(waits(), [
      `${v1}/instance/name?alt=json&wait_for_change=true&last_etag=${etag ?? ''}&timeout_sec=60`,
    ]);
    gce.update({ name: 'renamed' });
    const answer = await late;
    assert.deepEqual([answer.status, answer.body], [200, 'renamed']);
  });

  it('answers at once where it already is', async () => {
    assert.equal((await waitFor('instance/name', 'NONE')).body, defaultInstance.name);
    assert.deepEqual(waits(), []);
  });

  it('is not answered by a change of what is concealed', async () => {
    const { etag } = (await get('instance/?recursive=true', bound)).headers;
    const late = waitFor('instance/?recursive=true', etag);
    await waiting(1);
    gce.update({ attributes: { ...defaultInstance.attributes, 'kube-env': 'another' } });
    await waiting(2);
    gce.update({ name: 'renamed' });
    assert.match((await late).body, /"name":"renamed"/);
  });

  it('ends with the time it asked for', async () => {
    const { etag } = (await get('instance/name', bound)).headers;
    const late = waitFor('instance/name', etag);
    await waiting(1);
    await node.timers.advance(60_000);
    assert.deepEqual([(await late).body, (await late).headers.etag], [defaultInstance.name, etag]);
  });

  it('is refused as soon as the value gets concealed', async () => {
    const { etag } = (await get('instance/name', bound)).headers;
    const late = waitFor('instance/name', etag);
    await waiting(1);
    place(mdp('hide', { conceal: ['instance/name'] }));
    assert.equal((await late).status, 403);
  });

  it('never waits for what is concealed', async () => {
    assert.equal((await waitFor('instance/attributes/kube-env', 'NONE')).status, 403);
    assert.deepEqual(asked(), []);
  });
});
