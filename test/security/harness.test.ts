/** The assertions themselves: one that cannot fail would prove nothing in the suites that use it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { denied, refused, served } from './assertions.ts';
import { harmless, kubeEnv, pods, Stage, token, v1 } from './harness.ts';
import { readReplies } from './replies.ts';
import { get } from './requests.ts';

const concealed = { status: 403, code: 'concealed' } as const;

describe('what the security suites assert with', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage.stop());

  it('tells a denial from an answer', async () => {
    const answer = await stage.send(get(harmless));
    served(answer, { body: 'my-project', upstream: [`${harmless}?alt=json`] });
    assert.throws(() => denied(answer, concealed));
    const denial = await stage.send(get(kubeEnv));
    denied(denial, { ...concealed, line: { pod: 'bound', path: kubeEnv } });
    assert.throws(() => served(denial));
  });

  it('sees another code, a missing line, a second line and a question to the upstream or the controller', async () => {
    const seen = await stage.send(get(kubeEnv));
    denied(seen, concealed);
    assert.throws(() => denied(seen, { status: 403, code: 'legacy' }));
    assert.throws(() => denied({ ...seen, lines: [] }, concealed));
    assert.throws(() => denied({ ...seen, lines: [...seen.lines, ...seen.lines] }, concealed));
    assert.throws(() => denied({ ...seen, replies: [...seen.replies, ...seen.replies] }, concealed));
    assert.throws(() => denied({ ...seen, from: pods.unbound }, concealed));
    assert.throws(() => refused(seen, 'x'));
    const asked = await stage.send(get(`${v1}/instance/name`));
    assert.equal(asked.upstream.length, 1);
    assert.throws(() => denied({ ...seen, upstream: asked.upstream }, concealed));
    const minted = await stage.send(get(`${token}?scopes=a`));
    served(minted, { body: /pod-token-canary-access/, tokens: 1 });
    assert.throws(() => served(minted));
    assert.throws(() => denied({ ...seen, tokens: minted.tokens }, concealed));
  });

  it('gives each pod what its identity has', async () => {
    served(await stage.send(get(token)), { body: /"access_token":"pod-token-canary-access/ });
    served(await stage.send(get(token), { from: pods.federated }), { body: /"pod-token-canary-access/ });
    denied(await stage.send(get(token), { from: pods.unbound }), {
      status: 404,
      code: 'no-service-account',
      body: /^This metadata endpoint is concealed\.\n.*WorkloadIdentityBinding named unbound/,
      line: { pod: 'unbound' },
    });
    const node = await stage.send(get(token), { from: pods.privileged });
    served(node, { body: /metaveil-leak-canary-access-token/, upstream: [token] });
    const secret = await stage.send(get(kubeEnv), { from: pods.privileged });
    served(secret, { body: /metaveil-leak-canary-kubelet-key/, upstream: [`${kubeEnv}?alt=json`] });
  });
});

describe('the reader of replies', () => {
  const rows = [
    ['no length', 'HTTP/1.1 200 OK\r\nServer: x\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n'],
    ['length and encoding', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['an interim reply', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['another version', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['a bare line break', 'HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n'],
  ] as const;
  for (const [what, bytes] of rows) {
    it(`refuses ${what}`, () => assert.throws(() => readReplies(bytes)));
  }

  it('counts what is there', () => {
    const one = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab';
    assert.equal(readReplies(one + one).replies.length, 2);
    assert.deepEqual(readReplies(`${one}c`).rest, 'c');
    assert.deepEqual(readReplies(one.slice(0, -1)).replies, []);
  });
});
