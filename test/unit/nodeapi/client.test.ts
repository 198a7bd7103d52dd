/** Proxy and controller over real HTTPS: what changes reaches the node, and what fails does not take it along. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { PodUid } from '../../../operator/core/brand.ts';
import type { NodeApiClient } from '../../../operator/nodeapi/client/client.ts';
import { FakeTimers } from '../../fakes/timers.ts';
import { bindingView, policy, settings, workload } from './resources.ts';
import { Cluster, newClient, startReplica, stopReplica, until } from './world.ts';

const never = new AbortController().signal;
const access = { kind: 'access', scopes: [] } as const;
const alpha = 'pod-alpha' as PodUid;

function oneNode(): Cluster {
  const cluster = new Cluster();
  const pod = workload('alpha', bindingView('alpha'));
  cluster.workloads.add('node-a', pod);
  cluster.snapshots.set('node-a', settings('node-a'), pod);
  return cluster;
}

/** The client has what the controller wants it to have. */
const upToDate = (client: NodeApiClient, cluster: Cluster) => () =>
  client.connected && client.current()?.version === cluster.snapshots.snapshotOf('node-a')?.version;

async function connected(t: TestContext, cluster: Cluster) {
  const replica = await startReplica(t, cluster);
  const token = cluster.proxy('proxy-a', 'node-a');
  const proxy = newClient(t, cluster, { service: replica.address, token });
  await proxy.client.start();
  await until('snapshot', upToDate(proxy.client, cluster));
  return { ...proxy, replica, token };
}

describe('the watch', () => {
  it('brings the snapshot of the own node, whole and unchanged', async (t) => {
    const cluster = oneNode();
    cluster.snapshots.set('node-b', settings('node-b'));
    const { client } = await connected(t, cluster);
    assert.deepEqual(client.current(), cluster.snapshots.snapshotOf('node-a'));
  });

  it('brings changes as deltas, and an acknowledgement means in force', async (t) => {
    const cluster = oneNode();
    const { client, replica } = await connected(t, cluster);
    let inForce: string | undefined;
    client.onChange(() => (inForce = client.current()?.version));
    const hidden = policy('hide', { generation: 7 });
    cluster.snapshots.set('node-a', settings('node-a'), hidden);
    const programmed = () => replica.server.programming.programming('policy-hide', 7).programmed === 1;
    assert.ok(!programmed());
    await until('acknowledged', programmed);
    assert.equal(inForce, cluster.snapshots.snapshotOf('node-a')?.version);
    assert.deepEqual(client.current(), cluster.snapshots.snapshotOf('node-a'));
  });

  it('carries a revocation to the node and back in one round: nothing waits for a timer', async (t) => {
    const cluster = oneNode();
    const { client, replica } = await connected(t, cluster);
    const { programming } = replica.server;
    await until('programmed', () => programming.programming('binding-alpha', 1).programmed === 1);
    cluster.snapshots.set('node-a', settings('node-a'), workload('alpha'));
    assert.deepEqual(programming.programming('binding-alpha', 2).desired, 1, 'the proxy still has it');
    await until('revoked', () => programming.programming('binding-alpha', 2).desired === 0);
    const held = client.current()?.resources.get('workload/pod-alpha')?.resource;
    assert.ok(held?.kind === 'workload' && held.body.identity.kind === 'unbound');
  });

  it('tells readiness with every acknowledgement and when it changes', async (t) => {
    const cluster = oneNode();
    const { client } = await connected(t, cluster);
    await until('acknowledged', () => cluster.readiness.length === 1);
    client.setReady(true);
    await until('ready', () => cluster.readiness.length === 2);
    assert.deepEqual(cluster.readiness, [
      { instance: 'proxy-a', ready: false },
      { instance: 'proxy-a', ready: true },
    ]);
  });

  it('reports what its consumer finds unusable, and drops the report when something better comes', async (t) => {
    const cluster = oneNode();
    const { client, replica } = await connected(t, cluster);
    const { programming } = replica.server;
    const stop = client.onChange(() => client.refuse('policy/policy-hide', 'does not compile'));
    cluster.snapshots.set('node-a', settings('node-a'), policy('hide'));
    const rejected = () => programming.programming('policy-hide', 1).rejected;
    await until('refused', () => rejected().length === 1);
    assert.deepEqual(rejected(), [{ node: 'node-a', reason: 'does not compile' }]);
    stop();
    cluster.snapshots.set('node-a', settings('node-a'), policy('hide', { generation: 2 }));
    await until('programmed', () => programming.programming('policy-hide', 2).programmed === 1);
  });
});

describe('the controller goes away', () => {
  it('a restarted one is resumed from: what is there is not sent again', async (t) => {
    const cluster = oneNode();
    const { client, replica, log } = await connected(t, cluster);
    const before = client.current();
    await stopReplica(cluster, replica.server);
    await until('disconnected', () => !client.connected);
    const successor = await startReplica(t, cluster, { port: replica.port });
    const { programming } = successor.server;
    await untilAfterPauses(cluster, 'resumed', () => programming.programming('binding-alpha', 1).programmed === 1);
    assert.equal(cluster.log.of('nodeapi-watch-opened').at(-1)?.['reason'], 'resumed');
    const versions = log.of('snapshot-received').map((line) => line['version']);
    assert.deepEqual(versions, [before?.version, before?.version]);
    // Not a single resource was replaced: the same objects are there.
    for (const [key, resource] of before?.resources ?? []) assert.equal(client.current()?.resources.get(key), resource);
  });

  it('what changed meanwhile arrives as a whole', async (t) => {
    const cluster = oneNode();
    const { client, replica } = await connected(t, cluster);
    await stopReplica(cluster, replica.server);
    await until('disconnected', () => !client.connected);
    cluster.snapshots.set('node-a', settings('node-a'));
    await startReplica(t, cluster, { port: replica.port });
    await untilAfterPauses(cluster, 'new snapshot', upToDate(client, cluster));
    assert.deepEqual(client.current(), cluster.snapshots.snapshotOf('node-a'));
  });

  it('a new leader is found through a follower', async (t) => {
    const cluster = oneNode();
    const leader = await startReplica(t, cluster);
    const follower = await startReplica(t, cluster, { role: { kind: 'follower', leader: leader.address } });
    const token = cluster.proxy('proxy-a', 'node-a');
    const { client } = newClient(t, cluster, { service: follower.address, token });
    await client.start();
    await until('snapshot', upToDate(client, cluster));
    assert.equal((await client.request(alpha, access, never)).kind, 'issued');
    assert.equal(cluster.log.of('nodeapi-call-refused')[0]?.['code'], 'not-leader');
  });

  it('calls that a follower sends on at the same time all reach the leader', async (t) => {
    const cluster = oneNode();
    const leader = await startReplica(t, cluster);
    const follower = await startReplica(t, cluster, { role: { kind: 'follower', leader: leader.address } });
    const token = cluster.proxy('proxy-a', 'node-a');
    const { client } = newClient(t, cluster, { service: follower.address, token });
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => client.request(alpha, access, never)));
    assert.deepEqual([...new Set(outcomes.map(({ kind }) => kind))], ['issued']);
    const sentOn = cluster.log.of('nodeapi-call-refused').length;
    assert.equal(sentOn, 8, 'all had started before one of them had found the leader');
    await client.request(alpha, access, never);
    assert.equal(cluster.log.of('nodeapi-call-refused').length, sentOn, 'and the leader was not forgotten');
  });

  it('a leader that steps down names the next one, and tokens go on', async (t) => {
    const cluster = oneNode();
    const { client, replica } = await connected(t, cluster);
    const next = await startReplica(t, cluster);
    replica.setRole({ kind: 'follower', leader: next.address });
    await untilAfterPauses(
      cluster,
      'moved',
      () => next.server.programming.programming('binding-alpha', 1).programmed === 1,
    );
    assert.equal((await client.request(alpha, access, never)).kind, 'issued');
  });

  it('a leader that died is left for the Service', async (t) => {
    const cluster = oneNode();
    const follower = await startReplica(t, cluster);
    const leader = await startReplica(t, cluster);
    follower.setRole({ kind: 'follower', leader: leader.address });
    const { client } = newClient(t, cluster, { service: follower.address, token: cluster.proxy('proxy-a', 'node-a') });
    await client.start();
    await until('snapshot', upToDate(client, cluster));
    await stopReplica(cluster, leader.server);
    follower.setRole({ kind: 'leader' });
    assert.equal((await client.request(alpha, access, never)).kind, 'issued');
    await untilAfterPauses(cluster, 'back', () => client.connected);
  });

  it('nobody leads: the client goes on asking', async (t) => {
    const cluster = oneNode();
    const replica = await startReplica(t, cluster, { role: { kind: 'follower', leader: undefined } });
    const { client } = newClient(t, cluster, { service: replica.address, token: cluster.proxy('proxy-a', 'node-a') });
    await client.start();
    await assert.rejects(client.request(alpha, access, never), { code: 'nodeapi-unavailable' });
    replica.setRole({ kind: 'leader' });
    await untilAfterPauses(cluster, 'snapshot', upToDate(client, cluster));
  });

  it('serves the last snapshot of the run before, and never resumes from it', async (t) => {
    const cluster = oneNode();
    const { saved } = await connected(t, cluster);
    await until('saved', () => saved.length > 0);
    const text = saved.at(-1) ?? '';
    assert.ok(!text.includes('SECRET'));
    const restarted = newClient(t, cluster, { service: '127.0.0.1:1', token: 'a.b.c', saved: text });
    let told = 0;
    restarted.client.onChange(() => (told += 1));
    await restarted.client.start();
    assert.deepEqual(restarted.client.current(), cluster.snapshots.snapshotOf('node-a'));
    assert.equal(told, 1);
    assert.ok(!restarted.client.connected);
    const replica = await startReplica(t, cluster);
    const token = cluster.proxy('proxy-a2', 'node-a');
    const third = newClient(t, cluster, { service: replica.address, token, saved: text });
    await third.client.start();
    await until('connected', upToDate(third.client, cluster));
    assert.equal(cluster.log.of('nodeapi-watch-opened').at(-1)?.['reason'], 'new');
  });

  for (const [what, text] of [
    ['broken', '{"type":"snapshot"'],
    ['of another kind', '{"type":"heartbeat"}'],
    ['empty', ''],
  ] as const)
    it(`a last snapshot that is ${what} is as good as none`, async (t) => {
      const cluster = oneNode();
      const { client, log } = newClient(t, cluster, { service: '127.0.0.1:1', token: 'a.b.c', saved: text });
      await client.start();
      assert.equal(client.current(), undefined);
      assert.equal(log.of('last-good-unusable').length, 1);
    });
});

describe('the API server goes away', () => {
  it('a proxy that was reviewed before goes on, a new one waits', async (t) => {
    const cluster = oneNode();
    const { client, replica } = await connected(t, cluster);
    cluster.reviewer.away = true;
    assert.equal((await client.request(alpha, access, never)).kind, 'issued');
    const late = newClient(t, cluster, { service: replica.address, token: cluster.proxy('proxy-a2', 'node-a') });
    await late.client.start();
    await assert.rejects(late.client.request(alpha, access, never), { message: /review-unavailable/u });
    cluster.reviewer.away = false;
    await untilAfterPauses(cluster, 'late one', upToDate(late.client, cluster));
  });

  it('the credential is reviewed once, whatever is called', async (t) => {
    const cluster = oneNode();
    const { client } = await connected(t, cluster);
    for (let call = 0; call < 5; call += 1) await client.request(alpha, access, never);
    assert.equal(cluster.reviewer.calls, 1);
  });

  it('a pod that is gone loses its watch and its tokens although its credential is still good', async (t) => {
    const cluster = oneNode();
    const { client } = await connected(t, cluster);
    cluster.pods.remove('proxy-a');
    await until('cut', () => !client.connected);
    await assert.rejects(client.request(alpha, access, never), { message: /pod-unknown/u });
    assert.equal(cluster.reviewer.calls, 1);
  });
});

describe('calls', () => {
  it('a refused wish is a value', async (t) => {
    const cluster = oneNode();
    const { client } = await connected(t, cluster);
    const outcome = await client.request('pod-elsewhere' as PodUid, access, never);
    assert.deepEqual(outcome, { kind: 'refused', refusal: { kind: 'unknown-workload' } });
  });

  it('a token ends when it should by a clock of the node that is hours off, and never later for a slow way', async (t) => {
    const cluster = oneNode();
    const { address } = await startReplica(t, cluster);
    const clock = new FakeTimers();
    clock.jump(7 * 3_600_000);
    const { client } = newClient(t, cluster, { service: address, token: cluster.proxy('proxy-a', 'node-a'), clock });
    const askedAt = clock.now();
    cluster.google.hold();
    const asked = client.request(alpha, access, never);
    await until('exchange', () => cluster.google.accessRequests.length === 1);
    clock.jump(4000);
    cluster.google.release();
    const outcome = await asked;
    assert.ok(outcome.kind === 'issued');
    assert.equal(outcome.issued.expiresAt, askedAt + cluster.google.lifetimeMs);
  });

  it('a controller that does not answer ends in deadline-exceeded', async (t) => {
    const cluster = oneNode();
    const { client } = await connected(t, cluster);
    cluster.google.hold();
    const asked = client.request(alpha, access, never);
    await until('asked', () => cluster.google.accessRequests.length === 1);
    const refused = assert.rejects(asked, { code: 'deadline-exceeded' });
    cluster.clock.jump(10_000);
    await refused;
    cluster.google.release();
  });

  it("the caller's own signal ends the wait", async (t) => {
    const cluster = oneNode();
    const { client } = await connected(t, cluster);
    cluster.google.hold();
    const impatient = new AbortController();
    const asked = client.request(alpha, access, impatient.signal);
    await until('asked', () => cluster.google.accessRequests.length === 1);
    const reason = new Error('pod hung up');
    impatient.abort(reason);
    await assert.rejects(asked, reason);
    cluster.google.release();
  });

  it('reports arrive once, also when they are added faster than they are sent', async (t) => {
    const cluster = oneNode();
    const { client } = await connected(t, cluster);
    for (let call = 0; call < 50; call += 1)
      client.report({ counts: [{ policy: '', decision: 'concealed', count: 1 }] });
    const decisions = () => cluster.counts.flatMap((counts) => counts.decisions);
    const total = () => decisions().reduce((sum, { count }) => sum + count, 0);
    await client.reported();
    assert.equal(total(), 50);
    assert.ok(cluster.counts.length < 50);
  });

  it('leave gets the verdict of the controller, and keep when there is none', async (t) => {
    const cluster = oneNode();
    cluster.releaseVerdict = 'released';
    const { client, replica } = await connected(t, cluster);
    client.setReady(true);
    await until('ready', () => cluster.readiness.at(-1)?.ready === true);
    assert.equal(await client.leave(never), 'released');
    assert.deepEqual(cluster.readiness.at(-1), { instance: 'proxy-a', ready: false });
    await stopReplica(cluster, replica.server);
    assert.equal(await client.leave(never), 'keep');
  });

  it('a server that our CA did not sign gets no credential', async (t) => {
    const cluster = oneNode();
    const { port } = await startReplica(t, cluster);
    const other = new Cluster();
    await startReplica(t, other);
    const token = cluster.proxy('proxy-a', 'node-a');
    const { client } = newClient(t, other, { service: `127.0.0.1:${port}`, token });
    await assert.rejects(client.request(alpha, access, never), { code: 'nodeapi-unavailable' });
    assert.equal(cluster.reviewer.calls, 0);
  });

  it('neither side logs a token', async (t) => {
    const cluster = oneNode();
    const { client, log, token } = await connected(t, cluster);
    await client.request(alpha, access, never);
    cluster.google.fail('google-permission-denied');
    await client.request(alpha, { kind: 'identity', audience: 'https://a', format: 'full' }, never);
    const everything = [...log.lines, ...cluster.log.lines].join('\n');
    assert.ok(!everything.includes('SECRET'));
    assert.ok(!everything.includes(token.split('.')[1] ?? ''));
  });
});

/** As `until`, for what happens only after a pause of the client: time goes on in steps. */
async function untilAfterPauses(cluster: Cluster, what: string, condition: () => boolean): Promise<void> {
  let turns = 0;
  await until(what, () => {
    turns += 1;
    if (turns % 50 === 0) cluster.clock.jump(100);
    return condition();
  });
}
