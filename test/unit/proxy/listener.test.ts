import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Harness, type RawConnection } from './harness.ts';
import { binding, workload } from './support.ts';

const projectId = '/computeMetadata/v1/project/project-id';
const limits = {
  connectionsPerPod: 4,
  requestsPerPod: 3,
  headerBytes: 4_096,
  headerCount: 10,
  requestsPerConnection: 5,
  headersTimeoutMs: 300,
  requestTimeoutMs: 300,
};

let node: Harness;

beforeEach(async () => {
  node = new Harness();
  node.snapshots.set({
    workloads: [workload('a', '127.0.0.2', binding('a')), workload('b', '127.0.0.3', binding('b'))],
  });
  await node.start({ limits });
});

afterEach(() => node.stop());

/** A well-formed request whose lines a test can add to. */
function request(target: string, ...lines: readonly string[]): string {
  return [`GET ${target} HTTP/1.1`, 'Host: metadata', 'Metadata-Flavor: Google', ...lines, '', ''].join('\r\n');
}

async function exchange(bytes: string, from = '127.0.0.2'): Promise<string> {
  const connection = await node.connect(from);
  connection.send(bytes);
  return connection.ended;
}

describe('malformed or excessive requests end in one denial, one log line and a closed connection', () => {
  const many = Array.from({ length: limits.headerCount }, (_, index) => `X-${index}: 1`);
  for (const [what, bytes, status, code] of [
    ['no HTTP at all', 'hello\r\n\r\n', 405, 'method-not-allowed'],
    ['HTTP/2 prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'http-version'],
    ['another HTTP version', 'GET / HTTP/3.7\r\nHost: metadata\r\n\r\n', 400, 'http-version'],
    ['a header without colon', request(projectId, 'broken header'), 400, 'malformed-header'],
    ['a folded header', request(projectId, 'X-A: 1', ' folded'), 400, 'malformed-header'],
    [
      'headers beyond the limit in bytes',
      request(projectId, `X-A: ${'a'.repeat(limits.headerBytes)}`),
      431,
      'headers-too-large',
    ],
    ['headers beyond the limit in number', request(projectId, ...many), 431, 'headers-too-large'],
    ['two lengths', request(projectId, 'Content-Length: 1', 'Content-Length: 2'), 400, 'framing'],
    ['length and encoding', request(projectId, 'Content-Length: 1', 'Transfer-Encoding: chunked'), 400, 'framing'],
    ['a body', `${request(projectId, 'Content-Length: 3')}abc`, 400, 'framing'],
    ['a tunnel', 'CONNECT metadata:80 HTTP/1.1\r\nHost: metadata\r\n\r\n', 405, 'method-not-allowed'],
    ['an upgrade', request(projectId, 'Connection: Upgrade', 'Upgrade: websocket'), 400, 'upgrade-refused'],
    [
      'an upgrade to HTTP/2',
      request(projectId, 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AA'),
      400,
      'upgrade-refused',
    ],
    ['no Host', `GET ${projectId} HTTP/1.1\r\nMetadata-Flavor: Google\r\n\r\n`, 400, 'host-missing'],
    ['two Hosts', request(projectId, 'Host: metadata'), 400, 'host-missing'],
    [
      'another method',
      `DELETE ${projectId} HTTP/1.1\r\nHost: metadata\r\nMetadata-Flavor: Google\r\n\r\n`,
      405,
      'method-not-allowed',
    ],
    ['an absolute target', request('http://metadata/computeMetadata/v1/'), 400, 'target-form'],
  ] as const) {
    it(what, async () => {
      const reply = await exchange(bytes);
      assert.match(reply, new RegExp(`^HTTP/1\\.1 ${status} `, 'u'));
      assert.match(reply, new RegExp(`\\r\\nX-Metaveil-Code: ${code}\\r\\n`, 'u'));
      assert.match(reply, /\r\nMetadata-Flavor: Google\r\n/u);
      assert.match(reply, /\r\nServer: /u);
      assert.match(reply, /\r\nConnection: close\r\n/u);
      assert.equal(reply.match(/^HTTP\/1\.1 \d/gmu)?.length, 1);
      const [head = '', body = ''] = reply.split('\r\n\r\n');
      assert.equal(/\r\nContent-Length: (\d+)/u.exec(head)?.[1], String(body.length));
      assert.deepEqual(
        node.events('request-denied').map((line) => line['code']),
        [code],
      );
    });
  }
});

describe('limits', () => {
  it('a request for 100 Continue is answered at last, never invited to send a body', async () => {
    const connection = await node.connect('127.0.0.2');
    connection.send(request(projectId, 'Expect: 100-continue', 'Connection: close'));
    const reply = await connection.ended;
    assert.doesNotMatch(reply, / 100 /u);
    assert.equal(reply.match(/^HTTP\/1\.1 \d/gmu)?.length, 1);
  });

  it('slow headers end without a reply, and in the log', async () => {
    const connection = await node.connect('127.0.0.2');
    connection.send(`GET ${projectId} HTTP/1.1\r\nHost: meta`);
    assert.equal(await connection.ended, '');
    assert.equal(node.events('connection-refused')[0]?.['reason'], 'ERR_HTTP_REQUEST_TIMEOUT');
  });

  it('a connection ends after its number of requests', async () => {
    const reply = await exchange(request(projectId).repeat(limits.requestsPerConnection));
    const replies = reply.split('HTTP/1.1 200').slice(1);
    assert.equal(replies.length, limits.requestsPerConnection);
    assert.match(replies.at(-1) ?? '', /\r\nConnection: close\r\n/u);
  });

  it('pipelined requests are answered in order', async () => {
    const connection = await node.connect('127.0.0.2');
    connection.send(request(projectId) + request('/computeMetadata/v1/instance/zone', 'Connection: close'));
    assert.match(await connection.ended, /test-project[^]*europe-west4-a/u);
  });

  it("one pod's connections are counted, another pod's are not touched", async () => {
    const open = await Promise.all(Array.from({ length: limits.connectionsPerPod }, () => node.connect('127.0.0.2')));
    for (const connection of open) {
      connection.send(request(projectId));
      await connection.until('test-project');
    }
    const refused = await node.connect('127.0.0.2');
    assert.match(await refused.ended, /^HTTP\/1\.1 429 [^]*too-many-requests/u);
    assert.equal(node.events('connection-refused').length, 1);
    assert.equal((await node.get(projectId, { from: '127.0.0.3' })).status, 200);
    open[0]?.socket.destroy();
    await open[0]?.ended;
    assert.equal(await eventualStatus('127.0.0.2'), 200);
    for (const connection of open) connection.socket.destroy();
  });

  it('connections of all pods together are counted', async () => {
    const small = new Harness();
    small.snapshots.set({});
    await small.start({ limits: { connections: 1 } });
    const first = await small.connect('127.0.0.2');
    first.send(request('/'));
    await first.until('computeMetadata/');
    const second = await small.connect('127.0.0.3');
    assert.equal(await second.ended, '');
    assert.equal(small.events('connection-refused')[0]?.['source'], '127.0.0.3');
    first.socket.destroy();
    await small.stop();
  });

  it("one pod's waiting requests are counted, another pod's are not touched", async () => {
    const waiting = await node.connect('127.0.0.2');
    for (let count = 0; count < limits.requestsPerPod; count += 1) {
      waiting.send(request('/computeMetadata/v1/instance/zone?wait_for_change=true'));
      await node.held();
    }
    const refused = await node.get(projectId, { from: '127.0.0.2' });
    assert.equal(refused.status, 429);
    assert.equal(refused.headers['x-metaveil-code'], 'too-many-requests');
    assert.equal((await node.get(projectId, { from: '127.0.0.3' })).status, 200);
    waiting.socket.destroy();
    await waiting.ended;
    assert.equal(await eventualStatus('127.0.0.2'), 200);
  });

  it('garbage behind a request that waits gets no reply of its own', async () => {
    const connection = await node.connect('127.0.0.2');
    connection.send(request('/computeMetadata/v1/instance/zone?wait_for_change=true'));
    await node.held();
    connection.send('garbage\r\n\r\n');
    assert.equal(await connection.ended, '');
  });

  it('a hundred half-open connections of one pod do not keep another pod from its answer', async () => {
    const half = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const connection = await node.connect('127.0.0.2');
        connection.send('GET / HT');
        return connection;
      }),
    );
    assert.equal((await node.get(projectId, { from: '127.0.0.3' })).status, 200);
    await Promise.all(half.map((connection) => connection.ended));
  });
});

describe('a pod that sends on all its connections at once', () => {
  let busy: Harness;

  afterEach(() => busy.stop());

  it('has its part of each round: another pod is answered among the first, and everything in the end', async () => {
    busy = new Harness();
    busy.snapshots.set({
      workloads: [workload('a', '127.0.0.2', binding('a')), workload('b', '127.0.0.3', binding('b'))],
    });
    await busy.start({ limits: { requestsPerRound: 2 } });
    const many = await Promise.all(Array.from({ length: 40 }, () => openOn(busy, '127.0.0.2')));
    const other = await openOn(busy, '127.0.0.3');
    const answered: string[] = [];
    const answers = [...many, other].map(async (connection) => {
      await connection.until('europe-west4-a');
      answered.push(connection === other ? 'other' : 'many');
    });
    for (const connection of [...many, other]) connection.send(request('/computeMetadata/v1/instance/zone'));
    await Promise.all(answers);
    assert.equal(answered.length, 41);
    assert.ok(answered.indexOf('other') <= 6, `after ${answered.indexOf('other')} of 40`);
  });
});

/** A connection that the server has taken: it answered on it. */
async function openOn(harness: Harness, from: string): Promise<RawConnection> {
  const connection = await harness.connect(from);
  connection.send(request(projectId));
  await connection.until('test-project');
  return connection;
}

/** The server learns of a closed connection a moment after the client: asks until it does, a few times at most. */
async function eventualStatus(from: string): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const { status } = await node.get(projectId, { from });
    if (status !== 429) return status;
  }
  return 429;
}
