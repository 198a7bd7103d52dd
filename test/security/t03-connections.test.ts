/**
 * T03: many requests on one connection. Whose it is was decided once; each request is decided by itself; what follows
 * one that ends the connection is never read.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type { DenialCode } from '../../operator/core/request/denials.ts';
import type { Workload } from '../../operator/core/snapshot/types.ts';
import { defaultLimits } from '../../operator/proxy/listener.ts';
import { settle } from '../fakes/timers.ts';
import type { RawConnection } from '../unit/proxy/harness.ts';
import { binding, workload } from '../unit/proxy/support.ts';
import { assertDenialLine, assertDenialReply, assertNoSecret, denied, served } from './assertions.ts';
import { harmless, kubeEnv, podCanary, pods, Stage, token, v1 } from './harness.ts';
import { canonicalRequest } from './recorder.ts';
import { readReplies, type RawReply } from './replies.ts';
import { flavorLine, get, hostLine, lines } from './requests.ts';

type Expected = { readonly status: number; readonly code: DenialCode };

const ok = get(harmless);
const asked = canonicalRequest(`${harmless}?alt=json`);
const name = `${v1}/instance/name`;
/** Answered at once, without a decision. */
const versions = '/computeMetadata/';
const { pipelinedRequests: pipelined } = defaultLimits;
const concealed: Expected = { status: 403, code: 'concealed' };
const inner = get(kubeEnv);

describe('T03 pipelining: a request behind one that ends the connection is not interpreted', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage.stop());

  const first = (line: string, ...headers: readonly string[]) => lines(line, hostLine, flavorLine, ...headers);
  const rows: readonly (readonly [what: string, bytes: string, expected: Expected])[] = [
    ['a malformed path', get(`${v1}/../x`), { status: 400, code: 'malformed-path' }],
    ['a malformed query', get(`${harmless}?a;b`), { status: 400, code: 'malformed-query' }],
    ['a long target', get(`${v1}/${'a'.repeat(2_000)}`), { status: 414, code: 'target-too-long' }],
    ['an absolute target', get(`http://metadata${harmless}`), { status: 400, code: 'target-form' }],
    ['another method', first(`POST ${harmless} HTTP/1.1`), { status: 405, code: 'method-not-allowed' }],
    ['CONNECT', first('CONNECT metadata:80 HTTP/1.1'), { status: 405, code: 'method-not-allowed' }],
    ['HTTP/1.0', first(`GET ${harmless} HTTP/1.0`), { status: 400, code: 'http-version' }],
    [
      'HTTP/1.0 kept',
      first(`GET ${harmless} HTTP/1.0`, 'Connection: keep-alive'),
      { status: 400, code: 'http-version' },
    ],
    ['HTTP/0.9', `GET ${harmless}\r\n\r\n`, { status: 400, code: 'http-version' }],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', { status: 400, code: 'http-version' }],
    ['a body', get(harmless, `Content-Length: ${inner.length}`) + inner, { status: 400, code: 'framing' }],
    ['chunks', `${get(harmless, 'Transfer-Encoding: chunked')}0\r\n\r\n`, { status: 400, code: 'framing' }],
    ['an upgrade', get(harmless, 'Connection: Upgrade', 'Upgrade: h2c'), { status: 400, code: 'upgrade-refused' }],
    ['two Hosts', get(harmless, hostLine), { status: 400, code: 'host-missing' }],
    [
      'another Host',
      lines(`GET ${harmless} HTTP/1.1`, 'Host: x', flavorLine),
      { status: 403, code: 'host-not-allowed' },
    ],
    ['a forwarded one', get(harmless, 'Via: x'), { status: 403, code: 'forwarded-request' }],
    ['a malformed header', get(harmless, 'X : a'), { status: 400, code: 'malformed-header' }],
    ['too many headers', get(harmless, ...Array<string>(70).fill('X: a')), { status: 431, code: 'headers-too-large' }],
    ['garbage', 'garbage\r\n\r\n', { status: 405, code: 'method-not-allowed' }],
  ];
  for (const [what, bytes, expected] of rows) {
    it(`${what}: ${expected.code}, once, and silence`, async () => {
      for (const behind of [inner, inner + inner, 'garbage\r\n\r\n', get(token), 'CONNECT x:80 HTTP/1.1\r\n\r\n']) {
        denied(await stage.send(bytes + behind, { from: pods.privileged }), expected);
        denied(await stage.send([bytes, behind], { from: pods.privileged }), expected);
      }
    });
  }

  it('behind one that says it is the last: its reply, and nothing else', async () => {
    for (const last of ['Connection: close', 'Connection: keep-alive, close', 'Expect: 100-continue']) {
      for (const behind of [inner, 'garbage\r\n\r\n', 'x']) {
        const seen = await stage.send(get(harmless, last) + behind, { from: pods.privileged });
        served(seen, { body: 'my-project', upstream: [`${harmless}?alt=json`] });
        assert.ok(seen.closed);
      }
    }
  });

  it('behind the last that a connection may have', async () => {
    const small = await Stage.start({ proxy: { limits: { requestsPerConnection: 3 } } });
    const seen = await small.send(ok.repeat(3) + inner, { from: pods.privileged, replies: 3 });
    assert.deepEqual([seen.replies.length, seen.closed], [3, true]);
    assert.deepEqual(seen.upstream, [asked, asked, asked]);
    await small.stop();
  });
});

describe('T03 pipelining: each request by itself, replies in order', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.start()));
  after(() => stage.stop());

  it('a denial, then an answer, and the reverse', async () => {
    for (const [bytes, order] of [
      [inner + ok, [403, 200]],
      [ok + inner, [200, 403]],
      [inner + ok + inner + ok, [403, 200, 403, 200]],
      [get(versions) + inner + ok, [200, 403, 200]],
    ] as const) {
      const seen = await stage.send(bytes, { replies: order.length });
      assert.deepEqual(
        seen.replies.map(({ status }) => status),
        order,
      );
      for (const reply of seen.replies) {
        if (reply.status === 403) assertDenialReply(reply, concealed);
        else assert.ok(['my-project', 'v1/\n'].includes(reply.body), reply.body);
      }
      for (const line of seen.lines) assertDenialLine(line, pods.bound, { ...concealed, line: { path: kubeEnv } });
      assert.equal(seen.lines.length, order.filter((status) => status === 403).length);
      assert.deepEqual(seen.upstream, Array(seen.upstream.length).fill(asked));
      assert.equal(seen.upstream.length, bytes.split(harmless).length - 1);
    }
  });

  it('the same target with and without what is asked for is decided anew each time', async () => {
    const without = lines(`GET ${harmless} HTTP/1.1`, hostLine);
    const forwarded = get(harmless, 'X-Forwarded-For: 1');
    const seen = await stage.send(ok + without + ok + get(`${harmless}?alt=json`) + forwarded, { replies: 5 });
    assert.deepEqual(
      seen.replies.map(({ status, body }) => [status, status === 200 ? body : '']),
      [
        [200, 'my-project'],
        [403, ''],
        [200, 'my-project'],
        [200, '"my-project"'],
        [403, ''],
      ],
    );
    assert.equal(seen.upstream.length, 3);
  });

  it('a slow answer is not overtaken by a quick one', async () => {
    const seen = await stage.send(get(name) + get(versions) + inner, { replies: 3 });
    assert.deepEqual(
      seen.replies.map(({ body }) => body),
      ['node-1', 'v1/\n', 'This metadata endpoint is concealed.'],
    );
    assert.deepEqual(seen.upstream, [canonicalRequest(`${name}?alt=json`)]);
  });

  it('as many as may be pipelined get as many replies, each its own', async () => {
    const seen = await stage.send((get(versions) + inner).repeat(pipelined / 2), { replies: pipelined });
    assert.deepEqual(
      seen.replies.map(({ status }) => status),
      Array.from({ length: pipelined }, (_, index) => (index % 2 === 0 ? 200 : 403)),
    );
    assert.equal(seen.lines.length, pipelined / 2);
    assert.deepEqual(seen.upstream, []);
  });

  it('a HEAD between two GETs has no body that would be read as the next reply', async () => {
    const head = lines(`HEAD ${harmless} HTTP/1.1`, hostLine, flavorLine);
    const connection = await stage.open(pods.bound);
    connection.send(get(versions) + head + get(versions, 'Connection: close'));
    const text = await connection.ended;
    assert.equal(text.split('HTTP/1.1 200 OK').length, 4);
    assert.equal(text.split('my-project').length, 1);
    assert.deepEqual(stage.observe().upstream, [asked]);
  });
});

describe('T03 identity of a connection', () => {
  const ip = '127.0.0.20';
  const old = workload('old', ip, binding('old'));
  const young = workload('young', ip, binding('young'));
  const other = workload('other', '127.0.0.21', binding('other'));
  const tokenOf = ({ uid }: Workload) => `${podCanary}-access-${uid.length}-`;
  let stage: Stage;
  let connection: RawConnection;
  let read = 0;

  beforeEach(async () => {
    read = 0;
    stage = await Stage.start({ workloads: [old, other] });
    connection = await stage.open(ip);
  });
  afterEach(async () => {
    connection.socket.destroy();
    await connection.ended;
    stage.observe();
    await stage.stop();
  });

  /** Takes the next reply of the connection. */
  async function ask(bytes: string): Promise<RawReply> {
    connection.send(bytes);
    for (let round = 0; round < 20_000; round += 1) {
      const reply = readReplies(connection.received).replies[read];
      if (reply !== undefined) {
        read += 1;
        return reply;
      }
      await settle();
    }
    throw new Error('no reply');
  }

  const gone: Expected = { status: 503, code: 'unknown-workload' };

  async function assertGone(): Promise<void> {
    stage.observe();
    const reply = await ask(get(token));
    assertDenialReply(reply, gone);
    assert.equal(reply.headers.get('connection'), 'close');
    assertNoSecret(connection.received.slice(connection.received.indexOf('503')));
    const effects = stage.observe();
    assert.deepEqual(effects.upstream, []);
    const denials = effects.lines.filter(({ event }) => event === 'request-denied');
    assert.equal(denials.length, 1);
    const [line = {}] = denials;
    assertDenialLine(line, ip, { ...gone, line: { reason: 'gone' } });
    assert.equal(line['pod'], undefined);
    await connection.ended;
  }

  it("is the pod's for all its requests", async () => {
    for (let round = 0; round < 3; round += 1) {
      assert.match((await ask(get(token))).body, new RegExp(tokenOf(old)));
    }
    stage.observe();
  });

  it("is neither the old pod's nor the new one's after another pod took its address", async () => {
    assert.match((await ask(get(token))).body, new RegExp(tokenOf(old)));
    stage.place({ workloads: [young, other] });
    await settle();
    await assertGone();
    const fresh = await stage.send(get(token), { from: ip });
    assert.match(fresh.replies[0]?.body ?? '', new RegExp(`${podCanary}-access-${young.uid.length}-`));
  });

  it('is nobody’s after the pod went, and after it lost its address', async () => {
    assert.equal((await ask(get(harmless))).status, 200);
    stage.place({ workloads: [{ ...old, ips: ['127.0.0.22'] }, { ...young }, other] });
    await settle();
    await assertGone();
  });

  it('stays gone when the address comes back to a pod of the same name with another uid', async () => {
    assert.equal((await ask(get(token))).status, 200);
    const recreated = { ...old, uid: `${old.uid}-again` as Workload['uid'] };
    stage.place({ workloads: [recreated, other] });
    await settle();
    await assertGone();
  });

  it('a reply under way when the pod is replaced is not sent to its successor', async () => {
    const { policy } = stage.node.tokens;
    stage.node.tokens.policy = undefined;
    connection.send(get(`${token}?scopes=late`));
    await settle();
    const call = await calledFor(stage, 'late');
    stage.place({ workloads: [young, other] });
    stage.node.tokens.policy = policy;
    call.answer({ kind: 'issued', issued: { token: `${podCanary}-late`, expiresAt: stage.node.timers.now() + 9e6 } });
    const text = await connection.ended;
    assert.match(text, /^HTTP\/1\.1 503 /);
    assert.ok(!text.includes(podCanary), text);
  });

  it('follows a change of what its pod may see', async () => {
    assert.equal((await ask(get(harmless))).status, 200);
    stage.place({ workloads: [{ ...old, identity: { kind: 'unbound', reason: 'suspended' } }, other] });
    await settle();
    const reply = await ask(get(token));
    assertDenialReply(reply, { status: 404, code: 'no-service-account', body: /is suspended/ });
    stage.observe();
  });

  it('of two pods that claim one address is nobody’s from the start', async () => {
    stage.place({ workloads: [old, young, other] });
    await settle();
    stage.observe();
    connection.send(get(token));
    await stage.node.held();
    await stage.node.timers.advance(2_000);
    const text = await connection.until('503');
    assert.ok(!text.includes(podCanary));
    const { lines: logged, upstream } = stage.observe();
    assert.deepEqual(upstream, []);
    assert.equal(logged.filter(({ event, code }) => event === 'request-denied' && code === gone.code).length, 1);
  });
});

/** The controller's call for a scope; it is made a moment after the request arrived. */
async function calledFor(stage: Stage, scope: string) {
  for (let round = 0; round < 20_000; round += 1) {
    const found = stage.node.tokens.calls.find(({ wish }) => JSON.stringify(wish).includes(scope));
    if (found !== undefined) return found;
    await settle();
  }
  throw new Error(`nobody asked for ${scope}`);
}
