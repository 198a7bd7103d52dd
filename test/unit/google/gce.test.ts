import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startGceEmulator, type GceEmulator } from '../../../operator/local/gce/emulator.ts';
import { defaultInstance, leakCanary } from '../../../operator/local/gce/instance.ts';

const flavor = { 'Metadata-Flavor': 'Google' };

describe('the emulated metadata server of a VM', () => {
  let gce: GceEmulator;

  before(async () => {
    gce = await startGceEmulator();
  });
  after(() => gce.close());

  const ask = (path: string, headers: Record<string, string> = flavor, method = 'GET'): Promise<Response> =>
    fetch(`http://${gce.host}${path}`, { method, headers, redirect: 'manual' });
  const value = async (path: string): Promise<string> => (await ask(`/computeMetadata/v1/${path}`)).text();

  it('lists the root without the header', async () => {
    const reply = await ask('/', {});
    assert.equal(reply.status, 200);
    assert.equal(reply.headers.get('metadata-flavor'), 'Google');
    assert.equal(reply.headers.get('server'), 'Metadata Server for VM');
    assert.equal(await reply.text(), '0.1/\ncomputeMetadata/\n');
  });

  it('serves values as text with an ETag and without a line break', async () => {
    const reply = await ask('/computeMetadata/v1/project/project-id');
    assert.equal(reply.headers.get('content-type'), 'application/text');
    assert.match(reply.headers.get('etag') ?? '', /^[0-9a-f]{16}$/);
    assert.equal(reply.headers.get('content-length'), '10');
    assert.equal(await reply.text(), 'my-project');
    assert.equal(await value('instance/zone'), 'projects/123456789012/zones/europe-west4-a');
    assert.equal(await value('instance/service-accounts/default/scopes'), `${defaultInstance.scopes.join('\n')}\n`);
  });

  it('refuses v1 without the header and anybody’s request that was forwarded', async () => {
    for (const headers of [{}, { 'Metadata-Flavor': 'google' }]) {
      const reply = await ask('/computeMetadata/v1/project/project-id', headers);
      assert.equal(reply.status, 403);
      assert.match(await reply.text(), /Missing Metadata-Flavor:Google header/);
    }
    const reply = await ask('/computeMetadata/v1/project/project-id', { ...flavor, 'X-Forwarded-For': '10.0.0.1' });
    assert.equal(reply.status, 403);
    await reply.text();
  });

  it('redirects a directory without its slash and keeps the query', async () => {
    const reply = await ask('/computeMetadata/v1/instance?recursive=true');
    assert.equal(reply.status, 301);
    assert.equal(reply.headers.get('location'), `http://${gce.host}/computeMetadata/v1/instance/?recursive=true`);
    assert.equal(await reply.text(), '/computeMetadata/v1/instance/\n');
  });

  it('lists directories, sub-directories with a slash', async () => {
    assert.equal(await value(''), 'instance/\nproject/\nuniverse/\n');
    assert.match(await value('instance/'), /^attributes\/\ncpu-platform\n/);
    assert.equal(await value('instance/service-accounts/'), `default/\n${defaultInstance.email}/\n`);
  });

  it('answers recursively in JSON, camel case but for names of users, large ids exact, without credentials', async () => {
    const body = await value('?recursive=true');
    assert.ok(body.includes('"id":4520031799277581759,'));
    const document = JSON.parse(body) as Record<string, Record<string, Record<string, unknown>>>;
    assert.equal(document['project']?.['projectId'], 'my-project');
    assert.equal(document['instance']?.['attributes']?.['kube-env'], defaultInstance.attributes['kube-env']);
    assert.deepEqual(document['instance']?.['serviceAccounts']?.['default'], {
      aliases: ['default'],
      email: defaultInstance.email,
      scopes: defaultInstance.scopes,
    });
    assert.ok(!body.includes(defaultInstance.accessToken) && !body.includes(defaultInstance.identityToken));
    assert.match(await value('instance/?recursive=true&alt=text'), /^attributes\/cluster-name prod\n/);
    assert.equal(await value('instance/name?alt=json'), '"node-1"');
  });

  it('gives the VM’s credentials to whoever asks, by alias and by e-mail', async () => {
    for (const account of ['default', defaultInstance.email]) {
      const reply = await ask(`/computeMetadata/v1/instance/service-accounts/${account}/token?scopes=x`);
      assert.equal(reply.headers.get('content-type'), 'application/json');
      assert.deepEqual(await reply.json(), {
        access_token: defaultInstance.accessToken,
        expires_in: 3387,
        token_type: 'Bearer',
      });
    }
    assert.equal(await value('instance/service-accounts/default/identity?audience=x'), defaultInstance.identityToken);
    const reply = await ask('/computeMetadata/v1/instance/service-accounts/default/identity');
    assert.deepEqual([reply.status, await reply.text()], [400, 'non-empty audience parameter required\n']);
    assert.equal((await ask('/computeMetadata/v1/instance/service-accounts/other/token')).status, 404);
  });

  it('answers 404 with the page a VM sees', async () => {
    for (const path of [
      '/computeMetadata/v1/nothing',
      '/computeMetadata/v2/',
      '/x',
      '/computeMetadata/v1/instance/name/',
    ]) {
      const reply = await ask(path);
      assert.equal(reply.status, 404, path);
      assert.equal(reply.headers.get('content-type'), 'text/html; charset=UTF-8');
      assert.match(await reply.text(), /^<!DOCTYPE html>/);
    }
  });

  it('answers HEAD without a body and refuses to be written to', async () => {
    const head = await ask('/computeMetadata/v1/project/project-id', flavor, 'HEAD');
    assert.deepEqual([head.status, await head.text(), head.headers.get('content-length')], [200, '', '10']);
    assert.equal((await ask('/computeMetadata/v1/project/project-id', flavor, 'PUT')).status, 405);
  });

  const raw = (requestText: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const [host = '', port = ''] = gce.host.split(':');
      let received = '';
      const socket = connect(Number(port), host, () => socket.end(requestText));
      socket.setEncoding('utf8').on('data', (chunk: string) => (received += chunk));
      socket.on('end', () => resolve(received)).on('error', reject);
    });

  it('understands every spelling, so that none that slips through a proxy goes unseen', async () => {
    const spellings = [
      '/computeMetadata/v1/instance/attributes/kube-env',
      '//computeMetadata//v1/instance/attributes/kube-env',
      '/computeMetadata/v1/project/../instance/./attributes/kube-env',
      '/computeMetadata/v1/%69nstance/attributes/kube%2denv',
      '/computeMetadata/v1/instance%2fattributes%2fkube-env',
      '/computeMetadata/v1/project/%2e%2e/instance/attributes/kube-env',
      '/computeMetadata/v1/%2569nstance/attributes/kube-env',
      '/computeMetadata/v1\\instance\\attributes\\kube-env',
      '/COMPUTEMETADATA/v1/instance/attributes/kube-env',
      'http://metadata.google.internal/computeMetadata/v1/instance/attributes/kube-env',
      '/computeMetadata/v1beta1/instance/attributes/kube-env',
      '/0.1/meta-data/attributes/kube-env',
    ];
    for (const spelling of spellings) {
      const answer = await raw(
        `GET ${spelling} HTTP/1.1\r\nHost: metadata\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n`,
      );
      assert.ok(answer.includes(`${leakCanary}-kubelet-key`), spelling);
    }
  });

  it('needs no header for the APIs from before it', async () => {
    const reply = await ask('/computeMetadata/v1beta1/instance/service-accounts/default/token', {});
    assert.equal(reply.status, 200);
    assert.match(await reply.text(), /access_token/);
  });

  it('holds a wait until the value changes', async () => {
    const seen = (await ask('/computeMetadata/v1/instance/attributes/cluster-name')).headers.get('etag') ?? '';
    const path = `/computeMetadata/v1/instance/attributes/cluster-name?wait_for_change=true&last_etag=${seen}`;
    const waiting = ask(path);
    while (gce.requests().at(-1)?.target !== path) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(gce.requests().at(-1)?.status, undefined);
    // An unrelated change does not end it; the next one does.
    gce.update({ name: 'node-2' });
    gce.update({ attributes: { 'cluster-name': 'staging' } });
    assert.equal(await (await waiting).text(), 'staging');
    const stale = await ask(path.replace(seen, 'NONE'));
    assert.equal(await stale.text(), 'staging', 'another ETag: at once');
    const limited = await ask('/computeMetadata/v1/instance/name?wait_for_change=true&timeout_sec=0.05');
    assert.equal(await limited.text(), 'node-2');
    gce.update(defaultInstance);
  });

  it('writes down what arrived, headers as they were spelled', async () => {
    await (await ask('/computeMetadata/v1/instance/id?x=1', { 'Metadata-FLAVOR': 'Google' })).text();
    const last = gce.requests().at(-1);
    assert.equal(last?.target, '/computeMetadata/v1/instance/id?x=1');
    assert.deepEqual([last.method, last.status], ['GET', 200]);
    assert.ok(last.rawHeaders.map((header) => header.toLowerCase()).includes('metadata-flavor'));
  });
});
