/** Reviewed once, remembered as long as it may be, and no flood reaches the API server. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Authentication } from '../../../operator/nodeapi/server/authentication.ts';
import type { CallerVerdict } from '../../../operator/nodeapi/server/caller.ts';
import type { TokenReview } from '../../../operator/nodeapi/server/ports.ts';
import { authenticated, Cluster, credential, proxyUsername } from './world.ts';

function world() {
  const cluster = new Cluster();
  const { reviewer, pods, clock } = cluster;
  const authentication = new Authentication({ reviewer, pods, clock, audience: 'metaveil-node-api', proxyUsername });
  const callerOf = (...tokens: string[]): Promise<CallerVerdict> =>
    authentication.callerOf(tokens.map((token) => `Bearer ${token}`));
  return { proxy: cluster.proxy.bind(cluster), reviewer, pods, clock, callerOf };
}

const codeOf = (verdict: CallerVerdict): string => (verdict.kind === 'proxy' ? 'proxy' : verdict.code);

describe('a review', () => {
  it('is made once per token, also for calls at the same time', async () => {
    const { proxy, callerOf, reviewer } = world();
    const token = proxy('proxy-a', 'node-a');
    const verdicts = await Promise.all([callerOf(token), callerOf(token), callerOf(token)]);
    verdicts.push(await callerOf(token));
    assert.deepEqual(verdicts.map(codeOf), ['proxy', 'proxy', 'proxy', 'proxy']);
    assert.equal(reviewer.calls, 1);
  });

  it('is good while the API server is away, for tokens reviewed before', async () => {
    const { proxy, callerOf, reviewer } = world();
    const [known, unknown] = [proxy('proxy-a', 'node-a'), proxy('proxy-b', 'node-b')];
    await callerOf(known);
    reviewer.away = true;
    assert.deepEqual([await callerOf(known), await callerOf(unknown)].map(codeOf), ['proxy', 'review-unavailable']);
    reviewer.away = false;
    assert.equal(codeOf(await callerOf(unknown)), 'proxy', 'not knowing is not remembered');
  });

  it('ends with the token', async () => {
    const { proxy, callerOf, clock } = world();
    const token = proxy('proxy-a', 'node-a');
    const verdict = await callerOf(token);
    assert.ok(verdict.kind === 'proxy');
    clock.jump(verdict.credentialExpiresAt - clock.now() - 1);
    assert.equal(codeOf(await callerOf(token)), 'proxy');
    clock.jump(1);
    assert.equal(codeOf(await callerOf(token)), 'credential-expired');
  });

  it('is forgotten with its pod: one that comes back under the same uid is reviewed again', async () => {
    const { proxy, callerOf, pods, reviewer } = world();
    const token = proxy('proxy-a', 'node-a');
    await callerOf(token);
    pods.remove('proxy-a');
    assert.equal(codeOf(await callerOf(token)), 'pod-unknown');
    pods.add('proxy-a', 'node-a');
    await callerOf(token);
    assert.equal(reviewer.calls, 2);
  });

  it('does not outlive a node that was replaced', async () => {
    const { proxy, callerOf, pods } = world();
    const token = proxy('proxy-a', 'node-a');
    await callerOf(token);
    pods.add('proxy-a', 'node-a', 'another-uid');
    assert.equal(codeOf(await callerOf(token)), 'node-replaced');
  });

  it('of a pod that goes while it is under way does not help it', async (t) => {
    const { proxy, callerOf, pods, reviewer } = world();
    const token = proxy('proxy-a', 'node-a');
    const answer = Promise.withResolvers<TokenReview>();
    t.mock.method(reviewer, 'review', () => answer.promise);
    const asked = callerOf(token);
    pods.remove('proxy-a');
    answer.resolve(authenticated('proxy-a', 'node-a'));
    assert.equal(codeOf(await asked), 'pod-unknown');
  });

  it('that hangs is given up after 5 s', async (t) => {
    const { proxy, callerOf, clock, reviewer } = world();
    const token = proxy('proxy-a', 'node-a');
    t.mock.method(reviewer, 'review', () => new Promise(() => undefined));
    const asked = callerOf(token);
    clock.jump(5000);
    assert.equal(codeOf(await asked), 'review-unavailable');
  });
});

describe('a flood', () => {
  it('of made-up tokens is refused by what they claim, without a review', async () => {
    const { proxy, callerOf, clock, reviewer } = world();
    proxy('proxy-a', 'node-a');
    for (let index = 0; index < 500; index += 1) {
      await callerOf(credential(clock, { podUid: `guess-${index}` }));
      await callerOf(credential(clock, { sub: `system:serviceaccount:web:${index}` }));
      await callerOf(credential(clock, { aud: ['other'], salt: String(index) }));
    }
    assert.equal(reviewer.calls, 0);
  });

  it('of forgeries for one known pod costs a bounded number of reviews, and its own token stays good', async () => {
    const { proxy, callerOf, clock, reviewer } = world();
    const token = proxy('proxy-a', 'node-a');
    await callerOf(token);
    for (let index = 0; index < 500; index += 1) await callerOf(credential(clock, { salt: String(index) }));
    assert.ok(reviewer.calls <= 8, String(reviewer.calls));
    assert.equal(codeOf(await callerOf(token)), 'proxy');
    const other = proxy('proxy-b', 'node-b');
    assert.equal(codeOf(await callerOf(other)), 'proxy', 'other pods are reviewed meanwhile');
  });

  it('of the same rejected token is answered from memory for 10 s', async () => {
    const { proxy, callerOf, clock, reviewer } = world();
    proxy('proxy-a', 'node-a');
    const forged = credential(clock, { salt: 'forged' });
    for (let index = 0; index < 100; index += 1) assert.equal(codeOf(await callerOf(forged)), 'credential-rejected');
    assert.equal(reviewer.calls, 1);
    clock.jump(10_000);
    await callerOf(forged);
    assert.equal(reviewer.calls, 2);
  });
});
