import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { PolicyUid } from '../../../operator/core/brand.ts';
import type { CompiledPolicy } from '../../../operator/core/snapshot/types.ts';
import { Harness } from './harness.ts';
import { settle } from '../../fakes/timers.ts';
import { binding, issued, nodeSettings, workload } from './support.ts';

const v1 = '/computeMetadata/v1';
const token = `${v1}/instance/service-accounts/default/token`;
const identity = `${v1}/instance/service-accounts/default/identity`;
const hour = 3_600_000;

let node: Harness;

beforeEach(async () => {
  node = new Harness();
  node.tokens.policy = (pod, wish) =>
    issued(`canary-${pod}-${wish.kind === 'access' ? 'access' : wish.audience}`, node.timers.now() + hour);
  node.snapshots.set({
    workloads: [
      workload('a', '127.0.0.2', binding('a')),
      workload('b', '127.0.0.3', binding('b')),
      workload('c', '127.0.0.4', undefined),
    ],
  });
  await node.start();
  await settle();
});

afterEach(() => node.stop());

describe('token', () => {
  it('is the one of the pod that asks, and of no other', async () => {
    const first = await node.get(token, { from: '127.0.0.2' });
    const second = await node.get(token, { from: '127.0.0.3' });
    assert.equal(first.status, 200);
    assert.deepEqual(JSON.parse(first.body), {
      access_token: 'canary-pod-a-access',
      expires_in: 3600,
      token_type: 'Bearer',
    });
    assert.equal((JSON.parse(second.body) as { access_token: string }).access_token, 'canary-pod-b-access');
    assert.equal(first.headers['content-type'], 'application/json');
    assert.equal(first.headers['metadata-flavor'], 'Google');
    assert.equal(first.headers['content-length'], String(first.body.length));
    assert.equal(first.headers['transfer-encoding'], undefined);
  });

  it('is there before the pod asks: it was fetched when the pod appeared', async () => {
    assert.equal(node.tokens.calls.length, 2);
    await node.get(token, { from: '127.0.0.2' });
    assert.equal(node.tokens.calls.length, 2);
  });

  it('is the same under the e-mail of the account', async () => {
    const path = `${v1}/instance/service-accounts/a@test-project.iam.gserviceaccount.com/token`;
    assert.match((await node.get(path, { from: '127.0.0.2' })).body, /canary-pod-a-access/u);
    assert.equal((await node.get(path, { from: '127.0.0.3' })).status, 404);
  });

  it('with a scope outside the allow-list is refused, naming scope and binding, without asking anybody', async () => {
    const limited = binding('a', { scopes: ['https://www.googleapis.com/auth/devstorage.read_only'] });
    node.snapshots.set({ workloads: [workload('a', '127.0.0.2', limited)] });
    await settle();
    const calls = node.tokens.calls.length;
    const answer = await node.get(`${token}?scopes=https://www.googleapis.com/auth/drive`, { from: '127.0.0.2' });
    assert.equal(answer.status, 403);
    assert.equal(answer.headers['x-metaveil-code'], 'scope-not-allowed');
    assert.match(answer.body, /auth\/drive is not in spec.scopes of WorkloadIdentityBinding team\/a/u);
    assert.equal(node.tokens.calls.length, calls);
  });

  it('for HEAD is only announced', async () => {
    const answer = await node.get(token, { from: '127.0.0.2', method: 'HEAD' });
    assert.equal(answer.status, 200);
    assert.equal(answer.body, '');
    assert.ok(Number(answer.headers['content-length']) > 50);
  });

  it('of an unbound pod is 404 with the concealed sentence and the binding to create', async () => {
    const answer = await node.get(token, { from: '127.0.0.4' });
    assert.equal(answer.status, 404);
    assert.equal(answer.headers['x-metaveil-code'], 'no-service-account');
    const [first, second = ''] = answer.body.split('\n');
    assert.equal(first, 'This metadata endpoint is concealed.');
    assert.match(second, /create a WorkloadIdentityBinding named c in namespace team/u);
  });

  it("of the node's own account is refused openly: nothing behind this proxy has one", async () => {
    const settings = nodeSettings({ platform: 'GCE', defaultProfile: 'Privileged' });
    node.snapshots.set({ settings, workloads: [workload('c', '127.0.0.4', undefined)] });
    const answer = await node.get(token, { from: '127.0.0.4' });
    assert.equal(answer.status, 404);
    assert.equal(answer.headers['x-metaveil-code'], 'no-service-account');
    assert.match(answer.body, /The node's own service account is not served here/u);
    const listing = await node.get(`${v1}/instance/service-accounts/`, { from: '127.0.0.4' });
    assert.deepEqual([listing.status, listing.body], [200, '']);
  });

  it("that Google refuses carries Google's reason, and an identity token then is 404", async () => {
    node.tokens.policy = () => ({
      kind: 'refused',
      refusal: {
        kind: 'google-refused',
        status: 403,
        reason: "Permission 'iam.serviceAccounts.getAccessToken' denied",
      },
    });
    node.snapshots.set({ workloads: [workload('a', '127.0.0.2', binding('a', { generation: 2 }))] });
    await settle();
    const access = await node.get(token, { from: '127.0.0.2' });
    assert.equal(access.status, 403);
    assert.match(access.body, /iam.serviceAccounts.getAccessToken/u);
    const id = await node.get(`${identity}?audience=x`, { from: '127.0.0.2' });
    assert.equal(id.status, 404);
    assert.equal(id.headers['x-metaveil-code'], 'google-refused');
  });

  it('that cannot be had in time is 503 with Retry-After', async () => {
    node.tokens.policy = undefined;
    node.snapshots.set({ workloads: [workload('a', '127.0.0.2', binding('a', { generation: 2 }))] });
    const pending = node.get(token, { from: '127.0.0.2' });
    await node.held();
    await node.timers.advance(10_000);
    const answer = await pending;
    assert.equal(answer.status, 503);
    assert.equal(answer.headers['retry-after'], '1');
    assert.equal(answer.headers['x-metaveil-code'], 'token-unavailable');
  });
});

describe('identity token', () => {
  it('is the bare token for the audience', async () => {
    const answer = await node.get(`${identity}?audience=https://svc.example&format=full`, { from: '127.0.0.2' });
    assert.equal(answer.body, 'canary-pod-a-https://svc.example');
    assert.deepEqual(node.tokens.calls.at(-1)?.wish, {
      kind: 'identity',
      audience: 'https://svc.example',
      format: 'full',
    });
  });

  it('needs an audience', async () => {
    const answer = await node.get(identity, { from: '127.0.0.2' });
    assert.equal(answer.status, 400);
    assert.equal(answer.body, 'non-empty audience parameter required\n');
  });

  it('outside the allow-list is refused', async () => {
    const limited = binding('a', { idTokenAudiences: ['https://one.example'] });
    node.snapshots.set({ workloads: [workload('a', '127.0.0.2', limited)] });
    const answer = await node.get(`${identity}?audience=https://one.example.evil`, { from: '127.0.0.2' });
    assert.equal(answer.headers['x-metaveil-code'], 'audience-not-allowed');
    assert.ok(node.tokens.calls.every((call) => call.wish.kind === 'access'));
  });

  it('with Direct access is 404 and says what to change', async () => {
    node.snapshots.set({ workloads: [workload('a', '127.0.0.2', binding('a', { access: 'Direct' }))] });
    const answer = await node.get(`${identity}?audience=x`, { from: '127.0.0.2' });
    assert.equal(answer.status, 404);
    assert.equal(answer.headers['x-metaveil-code'], 'no-identity-tokens');
    assert.match(answer.body, /access: Impersonate in WorkloadIdentityBinding team\/a/u);
  });
});

describe('identification', () => {
  it('keeps a connection with its pod, and ends it when the address passes on to another pod', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const before = await node.get(token, { from: '127.0.0.2', agent });
    assert.match(before.body, /canary-pod-a-/u);
    node.snapshots.set({ workloads: [workload('z', '127.0.0.2', binding('z'))] });
    await settle();
    const after = await node.get(token, { from: '127.0.0.2', agent });
    assert.equal(after.status, 503);
    assert.equal(after.headers['connection'], 'close');
    assert.equal(node.events('request-denied').at(-1)?.['reason'], 'gone');
    const anew = await node.get(token, { from: '127.0.0.2', agent });
    assert.match(anew.body, /canary-pod-z-/u);
    agent.destroy();
  });

  it('serves a kept connection of a live pod although a second pod now claims its address', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await node.get(token, { from: '127.0.0.2', agent });
    node.snapshots.set({
      workloads: [workload('a', '127.0.0.2', binding('a')), workload('z', '127.0.0.2', binding('z'))],
    });
    await settle();
    assert.match((await node.get(token, { from: '127.0.0.2', agent })).body, /canary-pod-a-/u);
    agent.destroy();
    const pending = node.get(token, { from: '127.0.0.2' });
    await node.held();
    await node.timers.advance(2_000);
    assert.equal((await pending).headers['x-metaveil-code'], 'unknown-workload');
  });

  it('holds an unknown pod until the snapshot knows it', async () => {
    const pending = node.get(token, { from: '127.0.0.9' });
    await node.held();
    await node.timers.advance(1_999);
    node.snapshots.set({ workloads: [workload('late', '127.0.0.9', binding('late'))] });
    assert.match((await pending).body, /canary-pod-late-/u);
  });

  it('answers 503 with Retry-After to a pod that stays unknown, and never a default identity', async () => {
    const calls = node.tokens.calls.length;
    const pending = node.get(token, { from: '127.0.0.9' });
    await node.held();
    await node.timers.advance(2_000);
    const answer = await pending;
    assert.equal(answer.status, 503);
    assert.equal(answer.headers['retry-after'], '1');
    assert.equal(answer.headers['x-metaveil-code'], 'unknown-workload');
    assert.equal(node.tokens.calls.length, calls);
  });

  it('holds a pod whose policy the node does not have, then answers 503: nothing is decided without it', async () => {
    const undecided = { ...workload('a', '127.0.0.2', binding('a')), policies: ['missing' as PolicyUid] };
    node.snapshots.set({ workloads: [undecided] });
    const pending = node.get(`${v1}/project/project-id`, { from: '127.0.0.2' });
    await node.held();
    await node.timers.advance(2_000);
    const answer = await pending;
    assert.deepEqual([answer.status, answer.headers['x-metaveil-code']], [503, 'unknown-workload']);
  });

  it('answers the root at once to anybody: clients detect Google there', async () => {
    const answer = await node.get('/', { from: '127.0.0.9', headers: {} });
    assert.deepEqual([answer.status, answer.body], [200, 'computeMetadata/\n']);
    assert.equal(answer.headers['metadata-flavor'], 'Google');
  });

  it('ends the connection of a detection: Java would open it again within the half second it gives a detection', async () => {
    const agent = new Agent({ keepAlive: true });
    const connection = async (path: string): Promise<string | undefined> =>
      (await node.get(path, { from: '127.0.0.2', agent })).headers.connection;
    assert.equal(await connection('/'), 'close');
    assert.equal(await connection(`${v1}/project/project-id`), 'keep-alive');
    assert.equal(await connection('/computeMetadata/'), 'keep-alive');
    agent.destroy();
  });

  it('of pods on the host network is never by address', async () => {
    node.snapshots.set({ workloads: [{ ...workload('h', '127.0.0.2', binding('h')), hostNetwork: true }] });
    const pending = node.get(token, { from: '127.0.0.2' });
    await node.held();
    await node.timers.advance(2_000);
    assert.equal((await pending).status, 503);
  });
});

describe('revocation', () => {
  for (const [what, identity] of [
    ['removed', undefined],
    ['replaced by another account', binding('other')],
  ] as const) {
    it(`of a binding that is ${what} holds from the next request on`, async () => {
      assert.match((await node.get(token, { from: '127.0.0.2' })).body, /canary-pod-a-access/u);
      node.tokens.policy = () => ({ kind: 'refused', refusal: { kind: 'unbound' } });
      node.snapshots.set({ workloads: [workload('a', '127.0.0.2', identity, 'a')] });
      const answer = await node.get(token, { from: '127.0.0.2' });
      assert.equal(answer.status, 404);
      assert.doesNotMatch(answer.body, /canary/u);
      assert.deepEqual(
        node.events('tokens-dropped').map((line) => line['binding']),
        ['a', 'b'],
      );
    });
  }

  it('of a new epoch drops the token although nothing else changed', async () => {
    node.tokens.policy = (_, wish) => issued(`second-${wish.kind}`, node.timers.now() + hour);
    node.snapshots.set({ workloads: [workload('a', '127.0.0.2', binding('a', { epoch: '2026-11-21T00:00:00Z' }))] });
    await settle();
    assert.match((await node.get(token, { from: '127.0.0.2' })).body, /second-access/u);
  });

  it('while a token is on its way leaves that token unused', async () => {
    node.tokens.policy = undefined;
    node.snapshots.set({ workloads: [workload('a', '127.0.0.2', binding('a', { generation: 2 }))] });
    const pending = node.get(token, { from: '127.0.0.2' });
    await node.held();
    const call = node.tokens.calls.at(-1);
    assert.ok(call);
    node.snapshots.set({ workloads: [workload('a', '127.0.0.2', undefined)] });
    call.answer(issued('canary-too-late', node.timers.now() + hour));
    const answer = await pending;
    assert.equal(answer.status, 404);
    assert.doesNotMatch(answer.body, /canary/u);
    assert.equal(call.signal.aborted, true);
  });
});

describe('concealment', () => {
  it('refuses kube-env with the exact sentence, a code and one log line that has the trace', async () => {
    const answer = await node.get(`${v1}/instance/attributes/kube-env`, { from: '127.0.0.2' });
    assert.equal(answer.status, 403);
    assert.equal(answer.body, 'This metadata endpoint is concealed.');
    assert.equal(answer.headers['x-metaveil-code'], 'concealed');
    assert.equal(answer.headers['metadata-flavor'], 'Google');
    const [line, ...more] = node.events('request-denied');
    assert.ok(line);
    assert.equal(more.length, 0);
    assert.deepEqual(
      [line['namespace'], line['pod'], line['serviceAccount'], line['code']],
      ['team', 'a', 'a', 'concealed'],
    );
    assert.match(String(line['trace']), /effective-profile Baseline MetadataProxy > concealed-by-profile Baseline/u);
  });

  it('names the v1 path of a legacy request in the log', async () => {
    const answer = await node.get('/computeMetadata/v1beta1/instance/zone', { from: '127.0.0.2', headers: {} });
    assert.equal(answer.status, 403);
    assert.equal(
      answer.body,
      'Legacy metadata endpoint accessed: /computeMetadata/v1beta1/instance/zone\n' +
        'Legacy metadata endpoints are disabled. Please use the /v1/ endpoint.',
    );
    assert.equal(node.events('request-denied')[0]?.['v1Path'], '/computeMetadata/v1/instance/zone');
  });

  it('sends neither Metadata-Flavor nor Server when the request lacked the header', async () => {
    const answer = await node.get(`${v1}/project/project-id`, { from: '127.0.0.2', headers: {} });
    assert.equal(answer.status, 403);
    assert.equal(answer.body, 'Missing required header "Metadata-Flavor": "Google"\n');
    assert.equal(answer.headers['metadata-flavor'], undefined);
    assert.equal(answer.headers['server'], undefined);
  });

  it('only records what an Audit policy would conceal', async () => {
    const zone = { kind: 'literal', text: 'zone' } as const;
    const policy: CompiledPolicy = {
      uid: 'audit' as PolicyUid,
      kind: 'MetadataPolicy',
      namespace: 'team',
      name: 'try-out',
      generation: 1,
      mode: 'Audit',
      conceal: [{ source: 'instance/zone', segments: [{ kind: 'literal', text: 'instance' }, zone], subtree: false }],
      reveal: [],
    };
    const pod = { ...workload('a', '127.0.0.2', binding('a')), policies: [policy.uid] };
    node.snapshots.set({ workloads: [pod], policies: [policy] });
    assert.equal((await node.get(`${v1}/instance/zone`, { from: '127.0.0.2' })).status, 200);
    assert.equal(node.events('audit-finding')[0]?.['policy'], 'MetadataPolicy/team/try-out');
  });
});

describe('values', () => {
  it('carry an ETag and the headers of the real server', async () => {
    const answer = await node.get(`${v1}/project/project-id`, { from: '127.0.0.2' });
    assert.equal(answer.body, 'test-project');
    assert.match(String(answer.headers['etag']), /^[0-9a-f]{16}$/u);
    assert.equal(answer.headers['content-type'], 'application/text');
    assert.equal(answer.headers['server'], 'Metadata Server for VM');
  });

  it('of a directory without its slash redirect, keeping the query', async () => {
    const answer = await node.get(`${v1}/instance?recursive=true`, { from: '127.0.0.2' });
    assert.equal(answer.status, 301);
    assert.equal(answer.headers['location'], `http://127.0.0.1:${node.port}${v1}/instance/?recursive=true`);
  });

  it('that change answer a waiting request', async () => {
    const path = `${v1}/instance/zone?wait_for_change=true`;
    const { headers } = await node.get(`${v1}/instance/zone`, { from: '127.0.0.2' });
    const pending = node.get(`${path}&last_etag=${String(headers['etag'])}`, { from: '127.0.0.2' });
    await node.held();
    const pod = workload('a', '127.0.0.2', binding('a'));
    node.snapshots.set({ workloads: [pod] });
    const { emulated } = nodeSettings();
    node.snapshots.set({ settings: nodeSettings({ emulated: { ...emulated, zone: 'moved-b' } }), workloads: [pod] });
    assert.match((await pending).body, /moved-b$/u);
  });

  it('that get concealed end a waiting request in its refusal; a change of what is concealed ends none', async () => {
    const { emulated } = nodeSettings();
    const pod = workload('a', '127.0.0.2', binding('a'));
    const attributes = (secret: string) => nodeSettings({ emulated: { ...emulated, attributes: { secret } } });
    node.snapshots.set({ settings: attributes('first'), workloads: [pod] });
    const path = `${v1}/instance/?recursive=true`;
    const { headers } = await node.get(path, { from: '127.0.0.2' });
    const wait = `${path}&wait_for_change=true&last_etag=${String(headers['etag'])}`;
    let answered = false;
    const pending = node.get(wait, { from: '127.0.0.2' }).finally(() => (answered = true));
    await node.held();
    // Baseline conceals it, so its change is none.
    node.snapshots.set({ settings: attributes('canary-second'), workloads: [pod] });
    await settle();
    assert.equal(answered, false);
    const all: CompiledPolicy = {
      ...{ uid: 'all' as PolicyUid, kind: 'MetadataPolicy', namespace: 'team', name: 'all', generation: 1 },
      ...{ mode: 'Enforce', reveal: [] },
      conceal: [{ source: 'instance', segments: [{ kind: 'literal', text: 'instance' }], subtree: false }],
    };
    node.snapshots.set({
      settings: attributes('canary-second'),
      workloads: [{ ...pod, policies: [all.uid] }],
      policies: [all],
    });
    const { status, body } = await pending;
    assert.equal(status, 403);
    assert.doesNotMatch(body, /canary/);
  });

  it('that do not change answer when the time of the request is over', async () => {
    const path = `${v1}/instance/zone?wait_for_change=true&timeout_sec=60`;
    const pending = node.get(path, { from: '127.0.0.2' });
    await node.held();
    await node.timers.advance(60_000);
    assert.match((await pending).body, /europe-west4-a$/u);
  });

  it('that do not change answer after 300 s where the request names no end', async () => {
    for (const query of ['', '&timeout_sec=0', '&timeout_sec=86400']) {
      let answered = false;
      const path = `${v1}/instance/zone?wait_for_change=true${query}`;
      const pending = node.get(path, { from: '127.0.0.2' }).finally(() => (answered = true));
      await node.held();
      await node.timers.advance(299_000);
      await settle();
      assert.equal(answered, false, query);
      await node.timers.advance(1_000);
      const { status, body } = await pending;
      assert.deepEqual([status, body], [200, 'projects/123456789012/zones/europe-west4-a'], query);
    }
  });
});

describe('end', () => {
  it('answers what waits, refuses new connections and resolves', async () => {
    const pending = node.get(`${v1}/instance/zone?wait_for_change=true`, { from: '127.0.0.2' });
    await node.held();
    const closed = node.proxy.close(30_000);
    const answer = await pending;
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['connection'], 'close');
    await closed;
    await assert.rejects(node.get('/', { from: '127.0.0.2' }), { code: 'ECONNREFUSED' });
  });

  it('leaves no token in anything that was logged', async () => {
    await node.get(token, { from: '127.0.0.2' });
    await node.get(`${identity}?audience=canary-audience`, { from: '127.0.0.2' });
    await node.get(`${v1}/nowhere?access_token=canary-query`, { from: '127.0.0.2' });
    assert.ok(node.events('token-issued').length >= 3);
    assert.equal(node.events('request-denied').length, 1);
    assert.doesNotMatch(node.lines.join(''), /canary/u);
  });
});
