/** T19: a cached token is served to the pods of its own ServiceAccount, under its own binding, for its own wish only. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { PodUid, ServiceAccountUid } from '../../operator/core/brand.ts';
import type { BindingView, Workload } from '../../operator/core/snapshot/types.ts';
import { settle } from '../fakes/timers.ts';
import { binding, issued, workload } from '../unit/proxy/support.ts';
import { Stage, token } from './harness.ts';
import { get } from './requests.ts';

const identity = token.replace(/token$/u, 'identity');
const a = '127.0.0.2';
const b = '127.0.0.3';

let stage: Stage;

/** A pod of ServiceAccount `app`. */
function pod(name: string, ip: string, owner: { namespace: string; binding: BindingView; sa?: string }): Workload {
  const uid = (owner.sa ?? `sa-${owner.namespace}`) as ServiceAccountUid;
  const own = workload(name, ip, owner.binding, 'app');
  return { ...own, uid: `pod-${name}` as PodUid, namespace: owner.namespace, serviceAccount: { name: 'app', uid } };
}

const one = binding('app', { uid: 'binding-one' as BindingView['uid'] });
const two = binding('app', { uid: 'binding-two' as BindingView['uid'] });

beforeEach(async () => {
  stage = await Stage.start({
    workloads: [pod('a', a, { namespace: 'one', binding: one }), pod('b', b, { namespace: 'two', binding: two })],
  });
  const { tokens, timers } = stage.node;
  tokens.policy = (uid, wish) =>
    issued(`${uid}-${JSON.stringify(wish)}-${tokens.calls.length}`, timers.now() + 43_200_000);
});
afterEach(() => stage.stop());

async function bodyOf(target: string, from: string): Promise<string> {
  const { replies } = await stage.send(get(target), { from });
  assert.equal(replies[0]?.status, 200, replies[0]?.body);
  // The rest of its life is counted in seconds, which pass meanwhile.
  return replies[0].body.replace(/"expires_in":\d+/u, '');
}

/** Replaces the node's pods and lets the usual tokens be fetched. */
async function place(...workloads: readonly Workload[]): Promise<void> {
  stage.place({ workloads });
  await settle();
  stage.observe();
}

describe('T19: ServiceAccounts of one name', () => {
  it('in two namespaces have tokens of their own, whatever is asked for', async () => {
    for (const target of [token, `${token}?scopes=x`, `${identity}?audience=https://x`]) {
      const bodies = [await bodyOf(target, a), await bodyOf(target, b), await bodyOf(target, a)];
      assert.notEqual(bodies[0], bodies[1]);
      assert.equal(bodies[0], bodies[2]);
    }
  });

  it('share tokens between their own pods', async () => {
    await place(pod('a', a, { namespace: 'one', binding: one }), pod('c', b, { namespace: 'one', binding: one }));
    const body = await bodyOf(`${token}?scopes=x`, a);
    assert.equal(await bodyOf(`${token}?scopes=x`, b), body);
    assert.equal(stage.node.tokens.calls.filter(({ wish }) => JSON.stringify(wish).includes('"x"')).length, 1);
  });

  const changes: readonly (readonly [string, { binding: BindingView; sa?: string }])[] = [
    ['made anew', { binding: one, sa: 'sa-made-anew' }],
    ['with a binding made anew', { binding: two }],
    ['with a new generation of the binding', { binding: { ...one, generation: 2 } }],
    ['with a new epoch', { binding: { ...one, epoch: 'revoked' } }],
  ];
  for (const [what, change] of changes) {
    it(`${what}: nothing that was cached before is served`, async () => {
      const targets = [token, `${token}?scopes=x`, `${identity}?audience=https://x`];
      const before = new Set<string>();
      for (const target of targets) before.add(await bodyOf(target, a));
      await place(pod('a', a, { namespace: 'one', ...change }));
      for (const target of targets) assert.ok(!before.has(await bodyOf(target, a)), target);
    });
  }
});

describe('T19: wishes', () => {
  const apart = [
    ['audiences of which one begins with the other', ['https://x', 'https://x/', 'https://x.example', 'https://']],
    ['audiences that differ in case', ['https://x', 'https://X']],
  ] as const;
  for (const [what, audiences] of apart) {
    it(`${what} never share a token`, async () => {
      const bodies = new Set<string>();
      for (const audience of audiences) bodies.add(await bodyOf(`${identity}?audience=${audience}`, a));
      assert.equal(bodies.size, audiences.length);
    });
  }

  it('formats standard and full are apart; no format is standard', async () => {
    const ask = (format: string): Promise<string> => bodyOf(`${identity}?audience=https://x${format}`, a);
    const standard = await ask('');
    assert.equal(await ask('&format=standard'), standard);
    assert.notEqual(await ask('&format=full'), standard);
  });

  it('permutations of scopes share a token, subsets and supersets do not', async () => {
    const ask = (scopes: string): Promise<string> => bodyOf(`${token}?scopes=${scopes}`, a);
    const body = await ask('x,y,z');
    for (const same of ['z,y,x', 'y,x,z', 'x,x,y,z']) assert.equal(await ask(same), body);
    for (const other of ['x', 'x,y', 'x,y,z,w', 'x,y,zz']) assert.notEqual(await ask(other), body);
  });

  it('an access token is never an identity token', async () => {
    const access = await bodyOf(`${token}?scopes=https://x`, a);
    assert.ok(!access.includes(await bodyOf(`${identity}?audience=https://x`, a)));
  });
});
