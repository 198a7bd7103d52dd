/** Tokens: to whom, from what, how often, and until when. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { BindingUid, PodUid, ServiceAccountUid } from '../../../operator/core/brand.ts';
import { MetaveilError } from '../../../operator/core/errors.ts';
import type { ErrorCode } from '../../../operator/core/errors.ts';
import type { BindingView, Resource } from '../../../operator/core/snapshot/types.ts';
import type { TokenOutcome, TokenWish } from '../../../operator/core/token/types.ts';
import type { ProxyCaller } from '../../../operator/nodeapi/server/caller.ts';
import { Minter } from '../../../operator/nodeapi/server/minter.ts';
import { settle } from '../../fakes/timers.ts';
import { bindingView, workload } from './resources.ts';
import { audience, Cluster } from './world.ts';

const never = new AbortController().signal;
const access: TokenWish = { kind: 'access', scopes: [] };
const identity: TokenWish = { kind: 'identity', audience: 'https://reports.example.com', format: 'full' };
const minute = 60_000;
/** How long a request with no token to fall back to is held, in ms. */
const held = 1500;

function world(view: BindingView | undefined = bindingView('api')) {
  const cluster = new Cluster();
  const { workloads, kubernetes, google, clock, log } = cluster;
  const minter = new Minter({ workloads, kubernetes, google, clock, log, random: () => 0.5 });
  const add = (name: string, node = 'node-a', binding = view): Resource => {
    const resource = workload(name, binding);
    workloads.add(node, resource);
    return resource;
  };
  add('w1');
  add('w2');
  cluster.proxy('proxy-a', 'node-a');
  const pod = cluster.pods.find('proxy-a' as PodUid);
  assert.ok(pod);
  const caller: ProxyCaller = { kind: 'proxy', pod, credentialExpiresAt: Number.MAX_SAFE_INTEGER };
  const mint = (name = 'w1', wish = access, signal = never): Promise<TokenOutcome> =>
    minter.mint(caller, { workload: `pod-${name}` as PodUid, wish }, signal);
  return { cluster, workloads, kubernetes, google, clock, log, minter, add, mint, caller };
}

const tokenOf = (outcome: TokenOutcome): string =>
  outcome.kind === 'issued' ? outcome.issued.token : `refused: ${outcome.refusal.kind}`;

describe('what is exchanged', () => {
  it("a Kubernetes token bound to the pod, for the provider's audience and nothing else", async () => {
    const { mint, kubernetes, google } = world();
    assert.equal(tokenOf(await mint()), 'SECRET-access-1');
    assert.deepEqual(kubernetes.requests, [
      {
        namespace: 'web',
        serviceAccount: { name: 'api', uid: 'sa-api' },
        audience,
        expirationSeconds: 3600,
        boundTo: { kind: 'pod', name: 'w1', uid: 'pod-w1' },
      },
    ]);
    const [request] = google.accessRequests;
    assert.equal(request?.subjectToken, 'SECRET-kubernetes-1');
    assert.deepEqual(request.scopes, ['https://www.googleapis.com/auth/cloud-platform']);
    const googleServiceAccount = 'api@my-project.iam.gserviceaccount.com';
    assert.deepEqual(request.target, { access: 'Impersonate', googleServiceAccount, lifetimeSeconds: 3600 });
  });

  it('with Direct the federated token itself, and no identity tokens', async () => {
    const { mint, google } = world(bindingView('api', { access: 'Direct' }));
    assert.equal(tokenOf(await mint()), 'SECRET-access-1');
    assert.deepEqual(google.accessRequests[0]?.target, { access: 'Direct' });
    assert.equal(tokenOf(await mint('w1', identity)), 'refused: no-identity-tokens');
    assert.equal(google.identityRequests.length, 0);
  });

  it('an identity token for the audience, with the e-mail in format full only', async () => {
    const { mint, google } = world();
    assert.equal(tokenOf(await mint('w1', identity)), 'SECRET-identity-1');
    await mint('w1', { ...identity, format: 'standard' });
    const shapes = google.identityRequests.map(({ audience: forWhom, includeEmail }) => [forWhom, includeEmail]);
    assert.deepEqual(shapes, [
      ['https://reports.example.com', true],
      ['https://reports.example.com', false],
    ]);
  });

  const allowed = bindingView('api', { scopes: ['https://s/a', 'https://s/b'], idTokenAudiences: ['https://a'] });
  for (const [wish, expected] of [
    [{ kind: 'access', scopes: [] }, 'SECRET-access-1'],
    [{ kind: 'access', scopes: ['https://s/b', 'https://s/a'] }, 'SECRET-access-1'],
    [{ kind: 'access', scopes: ['https://s/c'] }, 'refused: scope-not-allowed'],
    [{ kind: 'access', scopes: ['https://s/a b'] }, 'refused: scope-not-allowed'],
    [{ kind: 'identity', audience: 'https://a', format: 'full' }, 'SECRET-identity-1'],
    [{ kind: 'identity', audience: 'https://a/', format: 'full' }, 'refused: audience-not-allowed'],
    [{ kind: 'identity', audience: 'a b', format: 'full' }, 'refused: audience-not-allowed'],
  ] as const satisfies readonly (readonly [TokenWish, string])[])
    it(`allow-lists: ${JSON.stringify(wish)}: ${expected}`, async () => {
      assert.equal(tokenOf(await world(allowed).mint('w1', wish)), expected);
    });

  it('nothing for an unbound pod or one without provider', async () => {
    const { mint, add, workloads, kubernetes } = world();
    add('stray', 'node-a', undefined);
    workloads.add('node-a', workload('stray'));
    const known = workloads.workloads.get('pod-w2');
    assert.ok(known);
    workloads.workloads.set('pod-w2', { ...known, provider: undefined });
    assert.deepEqual([await mint('stray'), await mint('w2')].map(tokenOf), ['refused: unbound', 'refused: unbound']);
    assert.equal(kubernetes.requests.length, 0);
  });
});

describe('how often', () => {
  it('once for all pods of a ServiceAccount that ask at the same time', async () => {
    const { mint, google, kubernetes } = world();
    google.hold();
    const asked = Array.from({ length: 50 }, (_, index) => mint(index % 2 === 0 ? 'w1' : 'w2'));
    await settle();
    google.release();
    assert.deepEqual(new Set((await Promise.all(asked)).map(tokenOf)), new Set(['SECRET-access-1']));
    assert.deepEqual([kubernetes.requests.length, google.accessRequests.length], [1, 1]);
  });

  it('once per life of the token, whatever the order of scopes', async () => {
    const { mint, google, clock } = world();
    await mint('w1', { kind: 'access', scopes: ['https://s/a', 'https://s/b'] });
    clock.jump(40 * minute);
    await mint('w2', { kind: 'access', scopes: ['https://s/b', 'https://s/a', 'https://s/b'] });
    assert.equal(google.accessRequests.length, 1);
  });

  it('in the background before it is late: the caller gets the old one at once, the next the new one', async () => {
    const { mint, google, clock } = world();
    await mint();
    clock.jump(49 * minute);
    google.hold();
    assert.equal(tokenOf(await mint()), 'SECRET-access-1');
    google.release();
    await settle();
    assert.equal(tokenOf(await mint()), 'SECRET-access-2');
    assert.equal(google.accessRequests.length, 2);
  });

  it('apart for ServiceAccounts of the same name, and for one that was made anew', async () => {
    const { mint, workloads, google } = world();
    await mint('w1');
    const known = workloads.workloads.get('pod-w2');
    assert.ok(known);
    const serviceAccount = { name: 'api', uid: 'sa-recreated' as ServiceAccountUid };
    workloads.workloads.set('pod-w2', { ...known, serviceAccount });
    assert.equal(tokenOf(await mint('w2')), 'SECRET-access-2');
    const provider = { audience: '//iam.googleapis.com/other', universeDomain: 'googleapis.com' };
    workloads.workloads.set('pod-w2', { ...known, provider });
    assert.equal(tokenOf(await mint('w2')), 'SECRET-access-3', 'another pool is another identity');
    assert.equal(google.accessRequests.length, 3);
  });

  it('not for a flood of made-up scopes; other ServiceAccounts are served meanwhile', async () => {
    const { mint, add, google } = world();
    add('other', 'node-a', bindingView('other'));
    const flood = [];
    for (let scope = 0; scope < 1000; scope += 1)
      flood.push(mint('w1', { kind: 'access', scopes: [`https://s/${scope}`] }));
    const outcomes = await Promise.all(flood);
    assert.equal(google.accessRequests.length, 30);
    assert.equal(outcomes.filter(({ kind }) => kind === 'issued').length, 30);
    assert.match(tokenOf(await mint('other')), /^SECRET/u);
  });

  it('with a bound on what is under way at once', async () => {
    const { cluster, caller, google } = world();
    const { workloads, kubernetes, clock, log } = cluster;
    const minter = new Minter({ workloads, kubernetes, google, clock, log, random: () => 0, maxExchanges: 1 });
    google.hold();
    const first = minter.mint(caller, { workload: 'pod-w1' as PodUid, wish: access }, never);
    const second = await minter.mint(caller, { workload: 'pod-w1' as PodUid, wish: identity }, never);
    assert.deepEqual(second, { kind: 'refused', refusal: { kind: 'unavailable', retryAfterMs: 1000 } });
    google.release();
    assert.equal((await first).kind, 'issued');
  });
});

describe('when Google or Kubernetes fail', () => {
  const refusals: readonly (readonly [ErrorCode, string, number | undefined])[] = [
    ['google-permission-denied', 'google-refused', 403],
    ['google-rejected', 'google-refused', 400],
    ['google-not-found', 'google-refused', 404],
    ['google-unavailable', 'unavailable', undefined],
    ['deadline-exceeded', 'unavailable', undefined],
  ];
  for (const [code, kind, status] of refusals)
    it(`${code}: ${kind}, remembered for a while, with Google's own reason`, async () => {
      const { mint, google, clock } = world();
      google.fail(code, 'Permission iam.x denied');
      const asked = mint();
      if (code === 'google-unavailable') await clock.advance(held);
      const outcome = await asked;
      const tries = google.accessRequests.length;
      assert.ok(outcome.kind === 'refused');
      assert.equal(outcome.refusal.kind, kind);
      if (outcome.refusal.kind === 'google-refused')
        assert.deepEqual([outcome.refusal.status, outcome.refusal.reason], [status, 'Permission iam.x denied']);
      google.failure = undefined;
      assert.deepEqual((await mint('w2')).kind, 'refused');
      assert.equal(google.accessRequests.length, tries, 'nobody asks again at once');
      clock.jump(2000);
      assert.equal(tokenOf(await mint()), `SECRET-access-${tries + 1}`);
    });

  for (const away of ['google-unavailable', 'kubernetes-unavailable'] as const)
    it(`${away} for half a second: a client that asks only once gets its token`, async () => {
      const { mint, google, kubernetes, clock } = world();
      const failing = away === 'google-unavailable' ? google : kubernetes;
      failing.fail(away);
      const asked = mint();
      await clock.advance(500);
      failing.failure = undefined;
      await clock.advance(250);
      assert.match(tokenOf(await asked), /^SECRET-access/u);
    });

  it('a request is held for 1.5 s and four tries, no longer', async () => {
    const { mint, google, clock } = world();
    google.fail('google-unavailable');
    const began = clock.now();
    const asked = mint().then((outcome) => [tokenOf(outcome), clock.now() - began]);
    await clock.advance(held);
    assert.deepEqual([await asked, google.accessRequests.length], [['refused: unavailable', held], 4]);
  });

  it('who has a valid token is not held: the next try is for later', async () => {
    const { mint, google, clock } = world();
    await mint();
    clock.jump(55 * minute);
    google.fail('google-unavailable');
    assert.equal(tokenOf(await mint()), 'SECRET-access-1');
    await clock.advance(held);
    assert.equal(google.accessRequests.length, 2);
  });

  it('a binding that is removed ends the holding', async () => {
    const { mint, google, workloads, clock } = world();
    google.fail('google-unavailable');
    const asked = mint();
    await settle();
    workloads.rebind('binding-api' as BindingUid, undefined);
    assert.equal(tokenOf(await asked), 'refused: unbound');
    await clock.advance(held);
    assert.equal(google.accessRequests.length, 1);
  });

  it('the pauses double up to a minute', async () => {
    const { mint, google, clock } = world();
    google.fail('google-unavailable');
    const pauses: number[] = [];
    for (let failure = 0; failure < 9; failure += 1) {
      const asked = mint();
      await clock.advance(held);
      const outcome = await asked;
      assert.ok(outcome.kind === 'refused' && outcome.refusal.kind === 'unavailable');
      pauses.push(outcome.refusal.retryAfterMs);
      clock.jump(outcome.refusal.retryAfterMs);
    }
    assert.deepEqual(pauses, [1500, 3000, 6000, 12_000, 24_000, 45_000, 45_000, 45_000, 45_000]);
  });

  it('a token that is valid is served to its end', async () => {
    const { mint, google, clock } = world();
    await mint();
    google.fail('google-unavailable');
    for (let spent = 0; spent < 59; spent += 1) {
      clock.jump(minute);
      assert.equal(tokenOf(await mint()), 'SECRET-access-1', `minute ${spent}`);
      await settle();
    }
    clock.jump(2 * minute);
    const late = mint();
    await clock.advance(held);
    assert.equal(tokenOf(await late), 'refused: unavailable');
    assert.ok(google.accessRequests.length < 20);
  });

  it('a hanging STS: who has a token waits half a second at most, who has none until the deadline', async () => {
    const { mint, google, clock } = world();
    await mint();
    clock.jump(55 * minute);
    google.hold();
    const impatient = mint();
    await settle();
    clock.jump(500);
    assert.equal(tokenOf(await impatient), 'SECRET-access-1');
    const without = mint('w1', identity);
    await settle();
    clock.jump(10_000);
    assert.equal(tokenOf(await without), 'refused: unavailable');
    google.release();
  });

  it('a pod that went while it was asked for does not spoil it for the others, and keeps quiet itself', async (t) => {
    const { mint, kubernetes, clock } = world();
    const real = kubernetes.request.bind(kubernetes);
    const requests = t.mock.method(kubernetes, 'request', async (...[request]: Parameters<typeof real>) => {
      await turn();
      if (request.boundTo.kind === 'pod' && request.boundTo.name === 'w1')
        throw new MetaveilError('kubernetes-not-found', 'pods "w1" not found');
      return real(request);
    });
    const [first, second] = await Promise.all([mint('w1'), mint('w2')]);
    assert.deepEqual([first, second].map(tokenOf), ['refused: unavailable', 'SECRET-access-1']);
    assert.equal(requests.mock.callCount(), 2);
    assert.equal(tokenOf(await mint('w1')), 'SECRET-access-1', 'it is live as far as we know');
    clock.jump(minute);
    assert.equal(requests.mock.callCount(), 2);
  });

  it('a pod that is alone with its failure is told when to come again', async () => {
    const { mint, kubernetes } = world();
    kubernetes.fail('kubernetes-conflict');
    for (let call = 0; call < 3; call += 1)
      assert.deepEqual(await mint(), { kind: 'refused', refusal: { kind: 'unavailable', retryAfterMs: 1500 } });
    assert.equal(kubernetes.requests.length, 1);
  });

  it('who hangs up stops waiting, and the exchange goes on for the others', async () => {
    const { mint, google } = world();
    google.hold();
    const impatient = new AbortController();
    const first = mint('w1', access, impatient.signal);
    const second = mint('w2');
    await settle();
    impatient.abort();
    assert.equal(tokenOf(await first), 'refused: unavailable');
    google.release();
    assert.equal(tokenOf(await second), 'SECRET-access-1');
  });
});

describe('revocation', () => {
  const uid = 'binding-api' as BindingUid;
  const changes: readonly (readonly [string, BindingView | undefined, string])[] = [
    ['removed', undefined, 'refused: unbound'],
    ['another generation', bindingView('api', { generation: 2 }), 'SECRET-access-2'],
    ['another epoch', bindingView('api', { epoch: '2026-01-01T00:00:00Z' }), 'SECRET-access-2'],
  ];
  for (const [what, view, expected] of changes) {
    it(`${what}: the cached token is not served again, not even when the old one comes back`, async () => {
      const { mint, workloads } = world();
      await mint();
      workloads.rebind(uid, view);
      assert.equal(tokenOf(await mint()), expected);
      workloads.rebind(uid, bindingView('api'));
      assert.notEqual(tokenOf(await mint()), 'SECRET-access-1');
    });

    it(`${what} while it is being exchanged: what arrives is not served`, async () => {
      const { mint, workloads, google } = world();
      google.hold();
      const asked = mint();
      await settle();
      assert.equal(google.accessRequests.length, 1);
      workloads.rebind(uid, view);
      google.release();
      assert.equal(tokenOf(await asked), expected);
      workloads.rebind(uid, bindingView('api'));
      assert.notEqual(tokenOf(await mint()), 'SECRET-access-1');
    });
  }

  it('a provider that changes while it is asked: what the old pool gave is not served', async () => {
    const { mint, workloads, google } = world();
    google.hold();
    const asked = mint();
    await settle();
    const known = workloads.workloads.get('pod-w1');
    assert.ok(known);
    const provider = { audience: '//iam.googleapis.com/other', universeDomain: 'googleapis.com' };
    workloads.workloads.set('pod-w1', { ...known, provider });
    google.release();
    assert.equal(tokenOf(await asked), 'SECRET-access-2');
    assert.deepEqual(
      google.accessRequests.map((request) => request.provider.audience),
      [audience, provider.audience],
    );
  });

  it('of one binding leaves the others alone', async () => {
    const { mint, add, workloads, google } = world();
    add('other', 'node-a', bindingView('other'));
    await mint('other');
    workloads.rebind(uid, undefined);
    assert.equal(tokenOf(await mint('other')), 'SECRET-access-1');
    assert.equal(google.accessRequests.length, 1);
  });

  it('a pod that goes or moves while it waits gets nothing', async () => {
    const { mint, workloads, google } = world();
    for (const change of ['gone', 'elsewhere']) {
      google.hold();
      const asked = mint('w1', { kind: 'access', scopes: [`https://s/${change}`] });
      await settle();
      const known = workloads.workloads.get('pod-w1');
      assert.ok(known);
      if (change === 'gone') workloads.workloads.delete('pod-w1');
      else workloads.workloads.set('pod-w1', { ...known, nodeName: 'node-b' });
      google.release();
      assert.equal(tokenOf(await asked), 'refused: unknown-workload', change);
      workloads.workloads.set('pod-w1', known);
    }
  });
});
