/** T14: one pod asks, sends, holds or leaves unread too much. What is kept for it is bounded; others notice nothing. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { logBurst, logRefillMs } from '../../operator/proxy/denial-log.ts';
import { defaultLimits } from '../../operator/proxy/listener.ts';
import { maxOtherTokens } from '../../operator/proxy/owner-tokens.ts';
import { askMs, holdMs, waitsPerPod } from '../../operator/proxy/passthrough.ts';
import { settle } from '../fakes/timers.ts';
import { nodeSettings } from '../unit/proxy/support.ts';
import type { Answer, RawConnection } from '../unit/proxy/harness.ts';
import { assertDenialReply, assertNothingAsked, denied, refused, served } from './assertions.ts';
import { harmless, kubeEnv, pods, Stage, token, v1, type StageOptions } from './harness.ts';
import { heldBytes } from './held-bytes.ts';
import { HostileUpstream, mostWritten } from './hostile-upstream.ts';
import { readReplies } from './replies.ts';
import { get } from './requests.ts';
import { until } from './until.ts';

const tooMany = { status: 429, code: 'too-many-requests' } as const;
const waitForChange = `${harmless}?wait_for_change=true`;

let stage: Stage;
let hostile: HostileUpstream | undefined;
const open: RawConnection[] = [];

async function start(options: StageOptions = {}): Promise<void> {
  stage = await Stage.start(options);
}

afterEach(async () => {
  for (const { socket } of open.splice(0)) socket.destroy();
  await settle();
  stage.observe();
  await stage.stop().finally(() => hostile?.close());
  hostile = undefined;
});

async function connect(from: string): Promise<RawConnection> {
  const connection = await stage.open(from);
  open.push(connection);
  return connection;
}

/** Many at a time: the kernel's queue of new connections is no longer than this. */
async function connectMany(count: number, from: string): Promise<readonly RawConnection[]> {
  const made: RawConnection[] = [];
  while (made.length < count) {
    const batch = Math.min(100, count - made.length);
    made.push(...(await Promise.all(Array.from({ length: batch }, () => connect(from)))));
  }
  return made;
}

/** Asks one after the other on one connection: how often each status was answered. */
async function ask(targets: Iterable<string>, from: string): Promise<Record<number, number>> {
  const statuses: Record<number, number> = {};
  const connection = await connect(from);
  for (const target of targets) {
    connection.received = '';
    connection.send(get(target));
    const status = await statusOf(connection);
    statuses[status] = (statuses[status] ?? 0) + 1;
  }
  connection.socket.destroy();
  return statuses;
}

async function statusOf(connection: RawConnection): Promise<number> {
  for (;;) {
    const [reply] = readReplies(connection.received).replies;
    if (reply !== undefined) return reply.status;
    assert.ok(!connection.socket.destroyed, 'the server ended the connection');
    await new Promise((resolve) => connection.socket.once('data', resolve).once('close', resolve));
  }
}

function fetch(target: string, from: string): Promise<Answer> {
  const headers = { Host: 'metadata.google.internal', 'Metadata-Flavor': 'Google' };
  return stage.node.get(target, { from, headers });
}

async function othersAreServed(): Promise<void> {
  const other = await fetch(harmless, pods.federated);
  assert.deepEqual([other.status, other.body], [200, 'my-project']);
}

describe('T14: too long and too many', () => {
  beforeEach(() => start());

  const rows = [
    ['a request target of 5 KiB', get(`${v1}/${'a'.repeat(5_000)}`), { status: 414, code: 'target-too-long' }],
    ['a request line of 1 MiB', `GET /${'a'.repeat(1 << 20)}`, { status: 431, code: 'headers-too-large' }],
    ['a header of 20 KiB', get(harmless, `X-A: ${'a'.repeat(20_000)}`), { status: 431, code: 'headers-too-large' }],
    ['a header name of 20 KiB', get(harmless, `${'a'.repeat(20_000)}: a`), { status: 431, code: 'headers-too-large' }],
    ['65 headers', get(harmless, ...xs(63)), { status: 431, code: 'headers-too-large' }],
    ['3,000 headers', get(harmless, ...xs(3_000)), { status: 431, code: 'headers-too-large' }],
    ['65 scopes', get(`${token}?scopes=${names(65).join(',')}`), { status: 400, code: 'invalid-parameter' }],
    ['a body of a gigabyte to come', get(harmless, 'Content-Length: 1073741824'), { status: 400, code: 'framing' }],
    ['a body in chunks to come', get(harmless, 'Transfer-Encoding: chunked'), { status: 400, code: 'framing' }],
  ] as const;
  for (const [what, bytes, expected] of rows) {
    it(`${what}: ${expected.code}`, async () => {
      denied(await stage.send(bytes), expected);
      await othersAreServed();
      stage.observe();
    });
  }

  it('as many headers as are allowed are read', async () => {
    served(await stage.send(get(harmless, ...xs(62))), { upstream: [`${harmless}?alt=json`] });
  });
});

function names(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `X-${index}`);
}

function xs(count: number): readonly string[] {
  return names(count).map((name) => `${name}: 1`);
}

describe('T14: too slow', () => {
  beforeEach(() =>
    start({ proxy: { limits: { headersTimeoutMs: 400, requestTimeoutMs: 400, keepAliveTimeoutMs: 300 } } }),
  );

  const unfinished = [
    ['a connection that says nothing', []],
    ['a request line without end', ['GET /compute']],
    ['headers without end', [`GET ${harmless} HTTP/1.1\r\nHost: meta`]],
    ['a header every now and then', [`GET ${harmless} HTTP/1.1\r\n`, ...xs(200).map((line) => `${line}\r\n`)]],
  ] as const;
  for (const [what, pieces] of unfinished) {
    it(`${what} ends in time, however much still comes`, async () => {
      const begin = performance.now();
      const connection = await connect(pods.bound);
      const dripping = drip(connection, pieces);
      assert.equal(await connection.ended, '');
      // The limit, and node:http's check of it once a second; far below the 200 pieces' ten seconds.
      assert.ok(performance.now() - begin < 5_000);
      await dripping;
      const seen = { ...stage.observe(), from: pods.bound, replies: [], closed: true, head: false };
      refused(seen, 'ERR_HTTP_REQUEST_TIMEOUT');
    });
  }

  it('a kept connection that is not used ends by itself', async () => {
    const connection = await connect(pods.bound);
    connection.send(get(kubeEnv));
    assert.match(await connection.ended, /^HTTP\/1\.1 403 /u);
  });
});

async function drip(connection: RawConnection, pieces: readonly string[]): Promise<void> {
  for (const piece of pieces) {
    if (connection.socket.destroyed) return;
    connection.send(piece);
    await pause(50);
  }
}

describe('T14: too many connections and requests at once', () => {
  beforeEach(() => start());

  it('10,000 connections of one pod: 128 are kept, the others refused, in a bounded log', async () => {
    let kept = 0;
    let refusals = 0;
    for (let made = 0; made < 10_000; made += 500) {
      const batch = await connectMany(500, pods.bound);
      kept += made === 0 ? defaultLimits.connectionsPerPod : 0;
      const over = made === 0 ? batch.slice(defaultLimits.connectionsPerPod) : batch;
      for (const connection of over) {
        const { replies } = readReplies(await connection.ended);
        const [reply] = replies;
        assert.ok(reply !== undefined && replies.length === 1);
        assertDenialReply(reply, tooMany);
        refusals += 1;
      }
    }
    assert.deepEqual([kept, refusals], [defaultLimits.connectionsPerPod, 10_000 - defaultLimits.connectionsPerPod]);
    assert.equal(open.filter(({ socket }) => !socket.closed).length, defaultLimits.connectionsPerPod);
    const seen = stage.observe();
    assert.equal(seen.lines.length, logBurst);
    for (const line of seen.lines) {
      assert.deepEqual([line['event'], line['source']], ['connection-refused', pods.bound]);
    }
    assertNothingAsked(seen);
    await othersAreServed();
  });

  it('waits for changes: 128 are held, the next is refused, the upstream waits for few', async () => {
    const waiting = await connectMany(defaultLimits.requestsPerPod - 1, pods.bound);
    for (const connection of waiting) {
      connection.send(get(waitForChange));
      // One after the other: how many may ask the upstream at the same moment is bounded, too.
      await pause(5);
    }
    const [last] = waiting;
    last?.send(get(waitForChange));
    const asked = defaultLimits.requestsPerPod + waitsPerPod;
    await until('all wait', () => stage.recorder.requests.length === asked);
    await pause(50);
    const before = stage.observe();
    assert.deepEqual(before.lines, []);
    denied(await stage.send(get(kubeEnv), { from: pods.bound }), tooMany);
    await othersAreServed();
    assert.equal(upstreamWaits(stage), waitsPerPod);
    stage.observe();
    for (const { socket } of waiting) socket.destroy();
    await until('there is room again', async () => (await fetch(kubeEnv, pods.bound)).status === 403);
    // What waited was decided anew when its connection went.
    await pause(200);
  });
});

/** Requests of the proxy that ask the upstream to wait. */
function upstreamWaits({ recorder }: Stage): number {
  return recorder.requests.filter((request) => request.includes('wait_for_change')).length;
}

describe('T14: requests whose replies are not taken', () => {
  it('as many as are allowed are answered in order; one more ends the connection, and nothing behind it is looked at', async () => {
    await start({ settings: { platform: 'None' } });
    const { pipelinedRequests } = defaultLimits;
    const inOrder = await stage.send(get(kubeEnv).repeat(pipelinedRequests), { replies: pipelinedRequests });
    assert.deepEqual(
      inOrder.replies.map(({ status }) => status),
      Array.from({ length: pipelinedRequests }, () => 403),
    );
    let parsed = 0;
    const count = (): void => void (parsed += 1);
    subscribe('http.server.request.start', count);
    const connection = await connect(pods.bound);
    connection.send(get(waitForChange) + get(harmless).repeat(500));
    const received = await connection.ended;
    unsubscribe('http.server.request.start', count);
    assert.equal(received, '', 'the first waits, so nothing was answered');
    assert.ok(parsed <= 2 * pipelinedRequests, `${parsed} requests were made of what was read`);
    const seen = { ...stage.observe(), from: pods.bound, replies: [], closed: true, head: false };
    refused(seen, 'too many requests before their replies are read');
    await othersAreServedFrom('test-project');
  });

  it('garbage behind them ends the connection; it gets no reply that could be taken for theirs', async () => {
    await start({ settings: { platform: 'None' } });
    const connection = await connect(pods.bound);
    connection.send(`${get(harmless)}${get(kubeEnv)}garbage\r\n\r\n`);
    const replies = (await connection.ended).split('HTTP/1.1 ').slice(1);
    assert.ok(!replies.some((reply) => reply.startsWith('4') && !reply.includes('concealed')), replies.join('\n'));
  });

  it('a pod that never reads is refused beyond 4 MiB, and served again when it has read', async () => {
    const { emulated } = nodeSettings();
    // More than the kernel takes off the proxy's hands for one connection.
    const attributes = { big: 'x'.repeat(12 << 20) };
    await start({ settings: { platform: 'None', emulated: { ...emulated, attributes } } });
    const all = `${v1}/instance/attributes/big`;
    const from = pods.privileged;
    const readers = await connectMany(12, from);
    for (const { socket } of readers) socket.pause();
    for (const reader of readers) {
      reader.send(get(all));
      await pause(20);
    }
    await until('a reply is refused', () =>
      stage.node.events('request-denied').some(({ reason }) => reason === 'earlier replies are not read'),
    );
    await pause(200);
    const { lines } = stage.observe();
    assert.ok(lines.length >= 10, `only ${lines.length} of 12 were refused`);
    for (const line of lines) assert.deepEqual([line['code'], line['source']], ['too-many-requests', from]);
    const other = await fetch(`${v1}/instance/service-accounts/`, pods.federated);
    assert.equal(other.status, 200);
    for (const { socket } of readers) socket.resume();
    await until('all is read', async () => (await fetch(all, from)).status === 200);
  });
});

async function othersAreServedFrom(body: string): Promise<void> {
  assert.equal((await fetch(harmless, pods.federated)).body, body);
}

describe('T14: ever other tokens', () => {
  beforeEach(() => start());

  const floods = [
    ['scopes', (index: number) => `${token}?scopes=https://www.googleapis.com/auth/s${index}`],
    ['audiences', (index: number) => `${token.replace(/token$/u, 'identity')}?audience=https://a${index}.example`],
  ] as const;
  for (const [what, target] of floods) {
    it(`2,000 distinct ${what} make a bounded number of questions, and never cost the usual token`, async () => {
      const targets = Array.from({ length: 2_000 }, (_, index) => target(index));
      const statuses = await ask(targets, pods.bound);
      const seen = stage.observe();
      // The clock of the stage stands still: the burst is all there is.
      assert.equal(seen.tokens.length, 32);
      assert.deepEqual(statuses, { 200: 32, 429: 1_968 });
      const refusals = seen.lines.filter(({ event }) => event === 'request-denied');
      assert.equal(refusals.length, logBurst);
      for (const line of refusals) assert.deepEqual([line['code'], line['pod']], ['too-many-requests', 'bound']);
      assert.equal((await fetch(token, pods.bound)).status, 200);
      assert.equal((await fetch(`${token}?scopes=other`, pods.federated)).status, 200);
    });

    it(`of distinct ${what}, the last ${maxOtherTokens} are kept`, async () => {
      const count = maxOtherTokens * 2;
      for (let index = 0; index < count; index += 1) {
        stage.node.timers.jump(1_000);
        assert.equal((await fetch(target(index), pods.bound)).status, 200);
      }
      stage.node.timers.jump(60_000);
      stage.observe();
      const askedFor = async (index: number): Promise<number> => {
        await fetch(target(index), pods.bound);
        return stage.observe().tokens.length;
      };
      assert.equal(await askedFor(count - 1), 0);
      assert.equal(await askedFor(count - maxOtherTokens), 0);
      assert.equal(await askedFor(count - maxOtherTokens - 1), 1);
      assert.equal(await askedFor(0), 1);
    });
  }
});

describe('T14: ever other paths', () => {
  beforeEach(() => start());

  it('a flood of denials is summed up in the log, and the sum is told', async () => {
    const targets = Array.from({ length: 3_000 }, (_, index) => `${v1}/instance/attributes/a${index}`);
    assert.deepEqual(await ask(targets, pods.bound), { 403: 3_000 });
    const seen = stage.observe();
    assert.equal(seen.lines.length, logBurst);
    assertNothingAsked(seen);
    stage.node.timers.jump(logRefillMs);
    await fetch(kubeEnv, pods.bound);
    const { lines } = stage.observe();
    assert.deepEqual(
      lines.map(({ event, count }) => [event, count]),
      [
        ['denials-suppressed', 3_000 - logBurst],
        ['request-denied', undefined],
      ],
    );
    denied(await stage.send(get(kubeEnv), { from: pods.federated }), { status: 403, code: 'concealed' });
  });

  it('each is asked of the upstream once, and nothing of them is kept', async () => {
    const targets = Array.from({ length: 500 }, (_, index) => `${v1}/instance/none-${index}`);
    const from = pods.privileged;
    const heldBefore = await heldBytes();
    assert.deepEqual(await ask(targets, from), { 404: 500 });
    const first = stage.observe();
    assert.equal(first.upstream.length, 500);
    stage.recorder.requests.length = 0;
    stage.observe();
    const [again] = targets;
    await fetch(again ?? '', from);
    assert.equal(stage.observe().upstream.length, 1);
    const held = (await heldBytes()) - heldBefore;
    assert.ok(held < 4 << 20, `${held} bytes`);
  });
});

describe('T14: an upstream that gives too much or too slowly', () => {
  const head = 'HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\nContent-Type: application/json\r\n';
  const unavailable = { status: 503, code: 'upstream-unavailable' } as const;
  const endless = '"'.padEnd(1 << 16, 'x');
  const rows = [
    ['a value beyond 4 MiB', `${head}Content-Length: ${6 << 20}\r\n\r\n`, endless],
    ['a reply without end', `${head}Transfer-Encoding: chunked\r\n\r\n`, `10000\r\n${endless}\r\n`],
    ['headers without end', `${head}X-A: `, endless],
    ['a body that drips', `${head}Content-Length: 1000\r\n\r\n`, 'x'],
    ['headers that drip', head, 'X-A: 1\r\n'],
    ['nothing', '', ''],
  ] as const;
  for (const [what, first, then] of rows) {
    it(`${what} ends in a 503, and the connection to it ends`, async () => {
      const upstream = await HostileUpstream.start(first, then);
      hostile = upstream;
      await start({ proxy: { upstream: upstream.client } });
      const waiting = fetch(harmless, pods.bound);
      await until('it is asked', () => upstream.connections > 0);
      const answer = await advancing(waiting);
      assert.deepEqual([answer.status, answer.headers['x-metaveil-code']], [unavailable.status, unavailable.code]);
      assert.equal(answer.headers['retry-after'], '1');
      assert.ok(!answer.body.includes('xxx'));
      const { lines } = stage.observe();
      assert.deepEqual(
        lines.map(({ event, code }) => [event, code]),
        [['request-denied', unavailable.code]],
      );
      await until('nothing is open', () => upstream.open === 0);
      assert.ok(upstream.written < mostWritten, `${upstream.written} bytes were taken`);
    });
  }
});

/** Moves the clock on until the answer is there: past the deadline of one question and that of all. */
async function advancing<Value>(waiting: Promise<Value>): Promise<Value> {
  let answer: Value | undefined;
  void waiting.then((value) => (answer = value));
  for (let passed = 0; passed < 2 * (askMs + holdMs) && answer === undefined; passed += 250) {
    await pause(30);
    await stage.node.timers.advance(250);
  }
  return waiting;
}
