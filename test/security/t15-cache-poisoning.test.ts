/** T15: nothing that one pod sends, or is answered, changes what is answered to another, or to itself later. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { issued } from '../unit/proxy/support.ts';
import { denied, served } from './assertions.ts';
import { harmless, kubeEnv, pods, Stage, token, v1 } from './harness.ts';
import { flavorLine, get, lines } from './requests.ts';

const identity = token.replace(/token$/u, 'identity');
const asked = { upstream: [`${harmless}?alt=json`] };

let stage: Stage;
beforeEach(async () => (stage = await Stage.start()));
afterEach(() => stage.stop());

describe('T15: keys of cached tokens', () => {
  const spellings = ['a,b', 'b,a', 'a,b,a', 'a%2Cb', 'a,b&unknown=1', 'a,b&alt=text'];
  it('one set of scopes is one entry, however it is spelled', async () => {
    const [first, ...others] = spellings;
    const { body } = served(await stage.send(get(`${token}?scopes=${first ?? ''}`)), { tokens: 1 });
    const [, accessToken = ''] = /"access_token":"([^"]+)"/.exec(body) ?? [];
    for (const scopes of others) {
      const again = served(await stage.send(get(`${token}?scopes=${scopes}`)));
      assert.ok(again.body.includes(`"${accessToken}"`), scopes);
    }
  });

  const apart = ['a', 'b', 'a b', 'ab', 'A', 'a/', '%61b'];
  it('other scopes are other entries', async () => {
    const bodies = new Set<string>();
    for (const scopes of apart) {
      const seen = await stage.send(get(`${token}?scopes=${scopes.replace(' ', '%20')}`));
      if (seen.replies[0]?.status === 200) bodies.add(seen.replies[0].body);
    }
    const distinct = new Set(stage.node.tokens.calls.slice(-bodies.size).map(({ wish }) => JSON.stringify(wish)));
    assert.equal(bodies.size, distinct.size);
    assert.ok(bodies.size >= 5);
  });

  it('an audience that spells a scope, a format or another parameter is only an audience', async () => {
    const audiences = ['https://a', 'https://a%26format%3Dfull', 'https://a&format=full', 'cloud-platform'];
    const bodies = new Set<string>();
    for (const audience of audiences) {
      bodies.add(served(await stage.send(get(`${identity}?audience=${audience}`)), { tokens: 1 }).body);
    }
    assert.equal(bodies.size, audiences.length);
  });
});

describe('T15: conditional requests', () => {
  const hostile = ['x', '0', 'NONE', '%0d%0aSet-Cookie:%20a', '%22%22', 'a'.repeat(500), '*'];
  for (const etag of hostile) {
    it(`last_etag=${etag.slice(0, 30)} is compared and never given back`, async () => {
      const honest = served(await stage.send(get(harmless)), asked);
      const seen = await stage.send(get(`${harmless}?wait_for_change=true&timeout_sec=0&last_etag=${etag}`));
      const [reply] = seen.replies;
      assert.ok(reply !== undefined && (reply.status === 200 || reply.status === 400));
      assert.notEqual(reply.headers.get('etag'), etag);
      const after = served(await stage.send(get(harmless), { from: pods.federated }), asked);
      assert.deepEqual([after.body, after.headers.get('etag')], [honest.body, honest.headers.get('etag')]);
    });
  }
});

describe('T15: spellings of the server’s name', () => {
  const directory = `${v1}/instance/service-accounts/default`;
  it('a redirect leads to the name that this request used', async () => {
    const moved = { status: 301 } as const;
    for (const host of ['metadata', 'metadata.google.internal', 'metadata.google.internal.', '169.254.169.254']) {
      const seen = await stage.send(lines(`GET ${directory} HTTP/1.1`, `Host: ${host}`, flavorLine));
      const { headers } = served(seen, moved);
      assert.equal(headers.get('location'), `http://${host}${directory}/`);
    }
  });

  it('another name is refused, and leaves nothing behind', async () => {
    const seen = await stage.send(lines(`GET ${directory} HTTP/1.1`, 'Host: evil.example', flavorLine));
    denied(seen, { status: 403, code: 'host-not-allowed' });
    const { headers } = served(await stage.send(get(directory)), { status: 301 });
    assert.equal(headers.get('location'), `http://metadata.google.internal${directory}/`);
  });
});

describe('T15: one pod after another', () => {
  it('what the privileged pod was given is still concealed from the others, at the same path and in documents', async () => {
    const upstream = [`${kubeEnv}?alt=json`];
    const attributes = `${v1}/instance/attributes/?recursive=true`;
    for (let round = 0; round < 2; round += 1) {
      served(await stage.send(get(kubeEnv), { from: pods.privileged }), { body: /canary/, upstream });
      denied(await stage.send(get(kubeEnv)), { status: 403, code: 'concealed' });
      const whole = await stage.send(get(attributes), { from: pods.privileged });
      assert.match(whole.replies[0]?.body ?? '', /kube-env/);
      const filtered = await stage.send(get(attributes));
      assert.doesNotMatch(filtered.replies[0]?.body ?? '', /canary|kube-env/);
    }
  });

  it('a refusal of one pod’s identity is no refusal of another’s, nor of other scopes', async () => {
    const { tokens, timers } = stage.node;
    tokens.policy = (workload, wish) =>
      workload === 'pod-bound' && wish.kind === 'access' && wish.scopes.includes('refused')
        ? { kind: 'refused', refusal: { kind: 'google-refused', status: 403, reason: 'no' } }
        : issued(`good-${workload}`, timers.now() + 43_200_000);
    const refusal = { status: 403, code: 'google-refused', body: /no/ } as const;
    const first = await stage.send(get(`${token}?scopes=refused`));
    assert.equal(first.replies[0]?.headers.get('x-metaveil-code'), refusal.code);
    // Remembered for this pod and these scopes only: nobody is asked again.
    denied(await stage.send(get(`${token}?scopes=refused`)), refusal);
    served(await stage.send(get(`${token}?scopes=refused`), { from: pods.federated }), { body: /good/, tokens: 1 });
    served(await stage.send(get(`${token}?scopes=other`)), { body: /good-pod-bound/, tokens: 1 });
    served(await stage.send(get(token)), { body: /pod-token-canary/ });
    timers.jump(11_000);
    tokens.policy = () => issued('granted-now', timers.now() + 43_200_000);
    served(await stage.send(get(`${token}?scopes=refused`)), { body: /granted-now/, tokens: 1 });
  });
});
