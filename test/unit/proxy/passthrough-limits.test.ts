/** The real server away, slow, too large, or something else altogether; and pods that ask too much. */
import assert from 'node:assert/strict';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { HttpUpstream } from '../../../operator/adapters/http/upstream.ts';
import { askMs, asksAtOnce, asksPerPod, holdMs, pollMs } from '../../../operator/proxy/passthrough.ts';
import type { Upstream, UpstreamReply, UpstreamRequest } from '../../../operator/proxy/ports.ts';
import { settle } from '../../fakes/timers.ts';
import { Harness, type Answer } from './harness.ts';
import { nodeSettings, workload } from './support.ts';

const path = '/computeMetadata/v1/project/project-id';
const from = '127.0.0.2';

interface Asked extends UpstreamRequest {
  readonly signal: AbortSignal;
  readonly answer: (reply: UpstreamReply) => void;
}

/** A server that answers when the test says so. */
class ScriptedUpstream implements Upstream {
  readonly asked: Asked[] = [];
  /** What to answer at once; undefined leaves the question open. */
  policy: (request: UpstreamRequest) => UpstreamReply | undefined = () => undefined;

  get(request: UpstreamRequest, signal: AbortSignal): Promise<UpstreamReply> {
    const { promise, resolve } = Promise.withResolvers<UpstreamReply>();
    signal.addEventListener('abort', () => resolve({ kind: 'unavailable' }), { once: true });
    this.asked.push({ ...request, signal, answer: resolve });
    const reply = this.policy(request);
    if (reply !== undefined) resolve(reply);
    return promise;
  }
}

function answered(status: number, body = '"p"', etag?: string): UpstreamReply {
  return { kind: 'answered', status, json: true, body, ...(etag !== undefined && { etag }) };
}

let node: Harness;
let upstream: ScriptedUpstream;

async function start(with_: Upstream): Promise<void> {
  node = new Harness();
  node.snapshots.set({
    settings: nodeSettings({ platform: 'GCE' }),
    workloads: [workload('a', from, undefined), workload('b', '127.0.0.3', undefined)],
  });
  await node.start({ upstream: with_ });
}

/** Resolves when the real server was asked `count` times. */
async function asked(count: number): Promise<void> {
  for (let round = 0; round < 20_000 && upstream.asked.length < count; round += 1) await settle();
  assert.equal(upstream.asked.length, count);
}

describe('a server that fails', () => {
  beforeEach(async () => {
    upstream = new ScriptedUpstream();
    await start(upstream);
  });
  afterEach(() => node.stop());

  for (const away of [answered(503, 'maintenance'), answered(429), answered(500), { kind: 'unavailable' } as const]) {
    it(`is asked again, and the pod notices nothing: ${JSON.stringify(away)}`, async () => {
      upstream.policy = () => (upstream.asked.length < 3 ? away : answered(200));
      const waiting = node.get(path, { from });
      await asked(1);
      await node.timers.advance(holdMs);
      assert.deepEqual([(await waiting).status, (await waiting).body], [200, 'p']);
      assert.equal(upstream.asked.length, 3);
    });

    it(`ends in 503 and Retry-After when it stays: ${JSON.stringify(away)}`, async () => {
      upstream.policy = () => away;
      const waiting = node.get(path, { from });
      await asked(1);
      await node.timers.advance(holdMs);
      const answer = await waiting;
      assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '1']);
      assert.equal(answer.headers['x-metaveil-code'], 'upstream-unavailable');
      assert.ok(!answer.body.includes('maintenance'));
      assert.equal(node.events('request-denied').length, 1);
    });
  }

  it('and never answers has a deadline of ours, after which nothing is left open', async () => {
    const before = node.timers.pending().length;
    const waiting = node.get(path, { from });
    await asked(1);
    await node.timers.advance(askMs + holdMs);
    assert.equal((await waiting).status, 503);
    assert.ok(upstream.asked.every(({ signal }) => signal.aborted));
    assert.equal(node.timers.pending().length, before);
  });

  const rows = [
    [answered(404, 'secret'), 404, 'not-found'],
    [answered(400, 'secret'), 400, 'upstream-refused'],
    [answered(403, 'secret'), 403, 'upstream-refused'],
    [answered(302, 'secret'), 503, 'upstream-unavailable'],
    [answered(204, 'secret'), 503, 'upstream-unavailable'],
    [answered(200, '{secret'), 503, 'upstream-unavailable'],
    [answered(200, 'null'), 503, 'upstream-unavailable'],
  ] as const;
  for (const [reply, status, code] of rows) {
    it(`is quoted by status only: ${JSON.stringify(reply)}`, async () => {
      upstream.policy = () => reply;
      const answer = await node.get(path, { from });
      assert.deepEqual([answer.status, answer.headers['x-metaveil-code']], [status, code]);
      assert.ok(!answer.body.includes('secret'));
      assert.equal(upstream.asked.length, 1);
    });
  }

  it('is not asked on behalf of a pod that is gone when the answer comes', async () => {
    const waiting = node.get(path, { from });
    await asked(1);
    node.snapshots.set({ settings: nodeSettings({ platform: 'GCE' }), workloads: [] });
    upstream.asked[0]?.answer(answered(200, '"of-the-other"'));
    const answer = await waiting;
    assert.equal(answer.status, 503);
    assert.ok(!answer.body.includes('of-the-other'));
  });

  it('finishes what it was asked while the proxy drains', async () => {
    const waiting = node.get(path, { from });
    await asked(1);
    const closed = node.proxy.close(10_000);
    await settle();
    upstream.asked[0]?.answer(answered(200));
    assert.equal((await waiting).status, 200);
    await closed;
  });

  it('and does not wait for changes is asked in intervals', async () => {
    upstream.policy = () => answered(200, '"p"', 'e1');
    const before = node.timers.pending().length;
    const waiting = node.get(`${path}?wait_for_change=true&last_etag=e1&timeout_sec=60`, { from });
    await asked(2);
    await node.timers.advance(pollMs);
    assert.equal(upstream.asked.length, 4);
    await node.timers.advance(60_000);
    assert.equal((await waiting).status, 200);
    assert.ok(upstream.asked.length <= 2 * (60_000 / pollMs) + 2);
    assert.equal(node.timers.pending().length, before);
  });

  it('is left alone when the client of a wait hangs up', async () => {
    upstream.policy = ({ target }) => (target.includes('wait_for_change') ? undefined : answered(200, '"p"', 'e1'));
    const client = await node.connect(from);
    client.send(
      `GET ${path}?wait_for_change=true&last_etag=e1 HTTP/1.1\r\nHost: metadata\r\nMetadata-Flavor: Google\r\n\r\n`,
    );
    await asked(2);
    const isLeft = () => upstream.asked[1]?.signal.aborted ?? false;
    assert.ok(!isLeft());
    client.socket.destroy();
    for (let round = 0; round < 20_000 && !isLeft(); round += 1) await settle();
    assert.ok(isLeft());
  });
});

describe('a pod that asks too much', () => {
  const other = '127.0.0.3';
  let many: Promise<Answer>[];

  beforeEach(async () => {
    upstream = new ScriptedUpstream();
    await start(upstream);
    many = Array.from({ length: asksPerPod }, () => node.get(path, { from }));
    await asked(asksPerPod);
  });
  afterEach(() => node.stop());

  it('waits for its turn, in order, and another pod does not', async () => {
    const [first, second] = [node.get(path, { from }), node.get(`${path}?alt=json`, { from })];
    await node.held();
    await node.held();
    const answer = node.get(path, { from: other });
    await asked(asksPerPod + 1);
    upstream.asked.at(-1)?.answer(answered(200));
    assert.equal((await answer).status, 200);
    assert.equal(upstream.asked.length, asksPerPod + 1);
    upstream.asked[0]?.answer(answered(200));
    await asked(asksPerPod + 2);
    upstream.policy = () => answered(200);
    for (const question of upstream.asked) question.answer(answered(200));
    const statuses = (await Promise.all([...many, first, second])).map(({ status }) => status);
    assert.deepEqual(new Set(statuses), new Set([200]));
  });

  it('is refused when its turn does not come in time, and leaves nothing behind', async () => {
    const late = node.get(path, { from });
    await node.held();
    await node.timers.advance(holdMs);
    const { status, headers } = await late;
    assert.deepEqual([status, headers['x-metaveil-code']], [429, 'too-many-requests']);
    assert.equal(upstream.asked.length, asksPerPod);
    for (const { answer } of upstream.asked) answer(answered(200));
    assert.ok((await Promise.all(many)).every((each) => each.status === 200));
    upstream.policy = () => answered(200);
    assert.equal((await node.get(path, { from })).status, 200);
    assert.equal(upstream.asked.length, asksPerPod + 1);
  });
});

describe('pods that ask too much together', () => {
  afterEach(() => node.stop());

  it('leave room for one that has not asked yet', async () => {
    upstream = new ScriptedUpstream();
    node = new Harness();
    const greedy = Array.from({ length: 60 }, (_, index) => `127.0.0.${index + 10}`);
    node.snapshots.set({
      settings: nodeSettings({ platform: 'GCE' }),
      workloads: [from, ...greedy].map((ip) => workload(`p-${ip}`, ip, undefined)),
    });
    await node.start({ upstream });
    const answers: Promise<Answer>[] = [];
    const open: number[] = [];
    for (const address of greedy) {
      // One pod after the other: the kernel's queue of new connections is not what is tested.
      const before = upstream.asked.length;
      for (let count = 0; count < asksPerPod; count += 1) answers.push(node.get(path, { from: address }));
      for (let round = 0; round < 200; round += 1) await settle();
      open.push(upstream.asked.length - before);
    }
    assert.deepEqual(new Set(open.slice(0, 10)), new Set([asksPerPod]));
    assert.deepEqual(new Set(open.slice(-10)), new Set([1]));
    assert.ok(upstream.asked.length < asksAtOnce, `${upstream.asked.length} at once`);
    const before = upstream.asked.length;
    const other = node.get(path, { from });
    await asked(before + 1);
    upstream.policy = () => answered(200);
    for (const { answer } of upstream.asked) answer(answered(200));
    assert.equal((await other).status, 200);
    assert.ok((await Promise.all(answers)).every(({ status }) => status === 200));
  });
});

describe('what is at the address', () => {
  let server: Server;
  let http: HttpUpstream;
  let listener: RequestListener;
  const flavor = { 'Metadata-Flavor': 'Google', 'Content-Type': 'application/json' };
  const ask = (maxBytes = 100, signal = new AbortController().signal) =>
    http.get({ target: '/computeMetadata/v1/x', maxBytes }, signal);

  beforeEach(async () => {
    server = createServer((request, response) => listener(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    http = new HttpUpstream({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  });
  afterEach(async () => {
    http.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it('counts only if it is a metadata server', async () => {
    listener = (_request, response) => response.writeHead(200).end('"router login"');
    assert.deepEqual(await ask(), { kind: 'unavailable' });
    listener = (_request, response) => response.writeHead(200, { ...flavor, ETag: 'abc' }).end('"x"');
    assert.deepEqual(await ask(), { kind: 'answered', status: 200, json: true, body: '"x"', etag: 'abc' });
  });

  it('is followed nowhere', async () => {
    const targets: string[] = [];
    listener = ({ url = '' }, response) => {
      targets.push(url);
      response.writeHead(301, { ...flavor, Location: '/elsewhere' }).end('moved');
    };
    const reply = await ask();
    assert.equal(reply.kind === 'answered' && reply.status, 301);
    assert.deepEqual(targets, ['/computeMetadata/v1/x']);
  });

  const refused: readonly (readonly [string, RequestListener])[] = [
    ['a body above the bound', (_request, response) => response.writeHead(200, flavor).end('x'.repeat(101))],
    [
      'a body without end',
      (_request, response) => {
        response.writeHead(200, flavor);
        const more = (): void => {
          if (response.writable) response.write('x'.repeat(64), () => setImmediate(more));
        };
        more();
      },
    ],
    [
      'a body that is cut off',
      (_request, response) => {
        response.writeHead(200, { ...flavor, 'Content-Length': '50' });
        response.write('x', () => response.destroy());
      },
    ],
    [
      'a coding nobody asked for',
      (_request, response) => response.writeHead(200, { ...flavor, 'Content-Encoding': 'gzip' }).end('x'),
    ],
    ['no HTTP', (request) => void request.socket.end('SSH-2.0-x\r\n')],
    [
      'headers without end',
      (request) => void request.socket.end(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`),
    ],
  ];
  for (const [what, answer] of refused) {
    it(`gives nothing for ${what}`, async () => {
      listener = answer;
      assert.deepEqual(await ask(), { kind: 'unavailable' });
    });
  }

  it('sends a body in vain where only the ETag is wanted', async () => {
    const ended = Promise.withResolvers<undefined>();
    listener = (_request, response) => {
      response.writeHead(200, { ...flavor, ETag: 'e2' }).write('x');
      response.on('close', () => ended.resolve(undefined));
    };
    const reply = await http.get(
      { target: '/computeMetadata/v1/x', maxBytes: 100, withoutBody: true },
      new AbortController().signal,
    );
    assert.deepEqual(reply, { kind: 'answered', status: 200, json: true, body: '', etag: 'e2' });
    await ended.promise;
  });

  it('has an ETag of a known form, or none', async () => {
    for (const etag of ['a b', 'x'.repeat(65), '"q"', '']) {
      listener = (_request, response) => response.writeHead(200, { ...flavor, ETag: etag }).end('1');
      assert.deepEqual(await ask(), { kind: 'answered', status: 200, json: true, body: '1' });
    }
  });

  it('is asked once more when a kept connection turns out to be closed', async () => {
    const sockets: Socket[] = [];
    listener = ({ socket }, response) => {
      // The second request of a connection meets a server that has just closed it.
      if (sockets.includes(socket)) return void socket.resetAndDestroy();
      sockets.push(socket);
      response.writeHead(200, flavor).end('1');
    };
    assert.equal((await ask()).kind, 'answered');
    assert.equal((await ask()).kind, 'answered');
    assert.equal(sockets.length, 2);
  });

  it('is left when the question is over', async () => {
    const ending = new AbortController();
    const arrived = Promise.withResolvers<undefined>();
    listener = () => arrived.resolve(undefined);
    const reply = ask(100, ending.signal);
    await arrived.promise;
    ending.abort();
    assert.deepEqual(await reply, { kind: 'unavailable' });
    assert.deepEqual(await ask(100, ending.signal), { kind: 'unavailable' });
  });
});
