/** T14 at the node API: whoever reaches its port, and a node that was broken into, cost the other nodes nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, it, type TestContext } from 'node:test';
import { policy, settings } from '../unit/nodeapi/resources.ts';
import { rawCall, serverName, startReplica, twoNodes, type Answer, type Cluster } from '../unit/nodeapi/world.ts';
import { until } from './until.ts';

const open: Socket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy();
});

/** A connection that says nothing. */
async function hold(port: number, from: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, localAddress: from });
  open.push(socket);
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'connect');
  return socket;
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const codeOf = ({ body }: Answer): unknown => (body as { code?: unknown }).code;

async function tokenFor(cluster: Cluster, port: number, node: 'a' | 'b'): Promise<Answer> {
  const body = JSON.stringify({
    workload: node === 'a' ? 'pod-alpha' : 'pod-beta',
    wish: { kind: 'access', scopes: [] },
  });
  const headers = bearer(cluster.proxy(`proxy-${node}`, `node-${node}`));
  return rawCall(cluster, port, { verb: 'POST', path: '/v1/token', headers, body });
}

describe('T14: connections to the node API', () => {
  const shares = { each: 8, all: 20, few: 1, keptBack: 8 };
  const limits = { shares, handshakeMs: 60_000 };

  it('of one source are bounded, and those of another are not touched', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster, { connections: limits });
    const held: Socket[] = [];
    for (let made = 0; made < 20; made += 1) held.push(await hold(port, '127.0.0.2'));
    await until('the rest are ended', () => held.filter(({ closed }) => !closed).length <= shares.each);
    assert.ok(held.some(({ closed }) => !closed));
    assert.equal((await tokenFor(cluster, port, 'a')).status, 200);
  });

  it('of many sources leave room for one that has none', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster, { connections: limits });
    for (let source = 2; source < 8; source += 1)
      for (let made = 0; made < shares.each; made += 1) await hold(port, `127.0.0.${source}`);
    assert.equal((await tokenFor(cluster, port, 'a')).status, 200);
  });

  it('that never agree on TLS are ended', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster, { connections: { ...limits, handshakeMs: 200 } });
    const held = await hold(port, '127.0.0.2');
    await until('it is ended', () => held.closed);
  });
});

describe('T14: the log of the node API', () => {
  it('has a bounded number of lines about one source that is refused, and their sum', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster);
    const refused = () => rawCall(cluster, port, { verb: 'POST', path: '/v1/token', headers: {}, body: '{}' });
    for (let calls = 0; calls < 130; calls += 1) assert.equal((await refused()).status, 401);
    assert.equal(cluster.log.of('nodeapi-call-refused').length, 100);
    cluster.clock.jump(1_000);
    await refused();
    const [sum] = cluster.log.of('denials-suppressed');
    assert.deepEqual([sum?.['source'], sum?.['count']], ['127.0.0.1', 30]);
    assert.equal(cluster.log.of('nodeapi-call-refused').length, 101);
  });

  it('has a bounded number of lines about what one node rejects', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster);
    const { version } = cluster.snapshots.set('node-a', settings('node-a'), policy('hide'));
    const watch = await watchOf(t, cluster, port);
    assert.equal(watch, 200);
    const nacks = Array.from({ length: 1_000 }, () => ({ key: 'policy/policy-hide', hash: 'ff', reason: 'no' }));
    const headers = bearer(cluster.proxy('proxy-a', 'node-a'));
    const body = JSON.stringify({ version, nacks, ready: true });
    assert.equal((await rawCall(cluster, port, { verb: 'POST', path: '/v1/ack', headers, body })).status, 200);
    assert.equal(cluster.log.of('resource-refused').length, 100);
  });
});

/** Opens a watch of node A; ends with the test. The status. */
async function watchOf(t: TestContext, cluster: Cluster, port: number): Promise<number> {
  const request = httpsRequest({
    ...{ host: '127.0.0.1', port, servername: serverName, ca: cluster.authority.published, agent: false },
    path: '/v1/watch',
    headers: { 'metaveil-protocol': '1-1', ...bearer(cluster.proxy('proxy-a', 'node-a')) },
  });
  t.after(() => request.destroy());
  request.on('error', () => undefined);
  request.end();
  const [response] = (await once(request, 'response')) as [{ statusCode: number; resume(): void; on: Socket['on'] }];
  response.on('error', () => undefined);
  response.resume();
  return response.statusCode;
}

describe('T14: a node that was broken into', () => {
  it('and sends large reports on and on is told to stop, and another node gets its tokens', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster);
    const headers = bearer(cluster.proxy('proxy-a', 'node-a'));
    const body = JSON.stringify({ sequence: 1, counts: [], padding: 'x'.repeat(500 << 10) });
    const statuses: number[] = [];
    for (let sent = 0; sent < 30 && !statuses.includes(429); sent += 1)
      statuses.push((await rawCall(cluster, port, { verb: 'POST', path: '/v1/report', headers, body })).status);
    // 2,000 calls at once, or 8 MiB.
    assert.ok(statuses.length <= 17, `${statuses.length} times 500 KiB were read`);
    assert.equal((await tokenFor(cluster, port, 'b')).status, 200);
    cluster.clock.jump(10_000);
    assert.equal((await tokenFor(cluster, port, 'a')).status, 200);
  });

  it('and begins its watch again and again is told to stop', async (t) => {
    const cluster = twoNodes();
    const { port } = await startReplica(t, cluster);
    const statuses: number[] = [];
    for (let begun = 0; begun < 60 && !statuses.includes(429); begun += 1)
      statuses.push(await watchOf(t, cluster, port));
    assert.equal(statuses.filter((status) => status === 200).length, 40);
    assert.equal(codeOf(await tokenFor(cluster, port, 'a')), 'rate-limited');
    assert.equal((await tokenFor(cluster, port, 'b')).status, 200);
  });
});
