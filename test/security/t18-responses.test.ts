/** T18: whatever an upstream server or our own parts answer, a pod and the log get our words and the permitted value. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { askMs, holdMs } from '../../operator/proxy/passthrough.ts';
import type { TokenSource } from '../../operator/proxy/ports.ts';
import { settle } from '../fakes/timers.ts';
import type { Answer } from '../unit/proxy/harness.ts';
import { harmless, pods, Stage, token, type StageOptions } from './harness.ts';
import { HostileUpstream } from './hostile-upstream.ts';

/** In every part of the hostile replies that must not be passed on. */
const canary = 'upstream-canary';

let stage: Stage;
let upstream: HostileUpstream | undefined;

afterEach(async () => {
  await settle();
  stage.observe();
  const leaks = stage.node.lines.filter((line) => line.includes(canary));
  await stage.stop().finally(() => upstream?.close());
  upstream = undefined;
  assert.deepEqual(leaks, []);
});

async function behind(bytes: string, options: StageOptions = {}): Promise<void> {
  upstream = await HostileUpstream.start(bytes);
  stage = await Stage.start({ ...options, proxy: { upstream: upstream.client } });
}

/** Asks and moves the clock on until the answer is there. */
async function ask(target: string, from: string): Promise<Answer> {
  const headers = { Host: 'metadata.google.internal', 'Metadata-Flavor': 'Google' };
  let answer: Answer | undefined;
  const waiting = stage.node.get(target, { from, headers }).then((value) => (answer = value));
  for (let passed = 0; passed < 2 * (askMs + holdMs) && answer === undefined; passed += 250) {
    await pause(20);
    await stage.node.timers.advance(250);
  }
  return waiting;
}

function assertClean({ headers, body }: Answer): void {
  assert.ok(!`${JSON.stringify(headers)}${body}`.includes(canary), body);
  const expected = new Set(['content-type', 'metadata-flavor', 'server', 'content-length', 'date', 'connection']);
  const own = new Set(['etag', 'location', 'x-content-type-options', 'x-metaveil-code', 'retry-after', 'keep-alive']);
  assert.deepEqual(
    Object.keys(headers).filter((name) => !expected.has(name) && !own.has(name)),
    [],
  );
}

/** A reply full of what must not be passed on. */
function reply(status: string, ...headers: readonly string[]): string {
  const body = JSON.stringify(canary);
  const lines = ['Metadata-Flavor: Google', `X-Canary: ${canary}`, `Set-Cookie: ${canary}`, ...headers];
  return `HTTP/1.1 ${status}\r\n${lines.join('\r\n')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

describe('T18: replies of the upstream that are no value', () => {
  const kubeEnv = 'Location: http://metadata.google.internal/computeMetadata/v1/instance/attributes/kube-env';
  const elsewhere = `Location: http://${canary}.example/`;
  const unavailable = [503, 'upstream-unavailable'] as const;
  const rows = [
    ['302 to a concealed value', reply('302 Found', kubeEnv), ...unavailable],
    ['307 to another host', reply('307 Temporary Redirect', elsewhere), ...unavailable],
    ['308 to another host', reply('308 Permanent Redirect', elsewhere), ...unavailable],
    ['204', reply('204 No Content'), ...unavailable],
    ['206', reply('206 Partial Content', 'Content-Range: bytes 0-1/9'), ...unavailable],
    ['304', reply('304 Not Modified'), ...unavailable],
    ['400', reply(`400 ${canary}`), 400, 'upstream-refused'],
    ['401', reply('401 Unauthorized', `WWW-Authenticate: ${canary}`), ...unavailable],
    ['403', reply(`403 ${canary}`), 403, 'upstream-refused'],
    ['404', reply(`404 ${canary}`), 404, 'not-found'],
    ['429', reply('429 Too Many Requests', 'Retry-After: 999'), ...unavailable],
    ['500', reply(`500 ${canary}`), ...unavailable],
    ['503', reply('503 Service Unavailable', 'Retry-After: 999'), ...unavailable],
    ['200 that is compressed', reply('200 OK', 'Content-Encoding: gzip'), ...unavailable],
    ['200 that says JSON and is none', okJson(`{${canary}`), ...unavailable],
    ['200 of something that is no metadata server', okJson('"x"').replace('Google', canary), ...unavailable],
    ['200 with two flavors', okJson('"x"', `Metadata-Flavor: ${canary}`), ...unavailable],
    ['200 with length and chunks', okJson('"x"', 'Transfer-Encoding: chunked'), ...unavailable],
    ['200 with two lengths', okJson('"x"', 'Content-Length: 99'), ...unavailable],
    ['200 with a folded header', okJson('"x"', `X-A: a\r\n ${canary}`), ...unavailable],
    ['200 with a bare line feed in a header', okJson('"x"', `X-A: a\n${canary}`), ...unavailable],
    ['200 with a NUL in a header', okJson('"x"', `X-A: \0${canary}`), ...unavailable],
    ['101', reply('101 Switching Protocols', 'Upgrade: h2c', 'Connection: Upgrade'), ...unavailable],
    ['no HTTP', `${canary}\r\n\r\n`, ...unavailable],
  ] as const;
  for (const [what, bytes, status, code] of rows) {
    it(`${what}: ${code}`, async () => {
      await behind(bytes);
      const answer = await ask(harmless, pods.bound);
      assert.deepEqual([answer.status, answer.headers['x-metaveil-code']], [status, code]);
      assertClean(answer);
      assert.notEqual(answer.headers['retry-after'], '999');
      const { lines, tokens } = stage.observe();
      assert.deepEqual(
        lines.map((line) => [line['event'], line['code'], line['status']]),
        [['request-denied', code, status]],
      );
      assert.deepEqual(tokens, []);
    });
  }

  it('301 leads to the path that was asked for, with its slash, and nowhere else', async () => {
    await behind(reply('301 Moved Permanently', kubeEnv));
    const answer = await ask(harmless, pods.bound);
    assert.equal(answer.status, 301);
    assert.equal(answer.headers['location'], `http://metadata.google.internal${harmless}/`);
    assertClean(answer);
  });
});

function okJson(body: string, ...headers: readonly string[]): string {
  const lines = ['Metadata-Flavor: Google', 'Content-Type: application/json', ...headers];
  return `HTTP/1.1 200 OK\r\n${lines.join('\r\n')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

describe('T18: what comes with a value', () => {
  const extra = [
    ['cookies and unknown headers', okJson('"v"', `Set-Cookie: a=${canary}`, `X-Canary: ${canary}`)],
    [
      'hop-by-hop headers',
      okJson('"v"', 'Connection: close, X-Canary', `X-Canary: ${canary}`, 'Keep-Alive: timeout=1'),
    ],
    ['cache and security headers', okJson('"v"', `Cache-Control: ${canary}`, `Access-Control-Allow-Origin: *`)],
    ['another server name and date', okJson('"v"', `Server: ${canary}`, `Date: ${canary}`)],
    ['an ETag of another form', okJson('"v"', `ETag: "${canary} x"`)],
    ['an interim reply', `HTTP/1.1 103 Early Hints\r\nLink: ${canary}\r\n\r\n${okJson('"v"')}`],
    ['a second reply behind it', `${okJson('"v"')}${okJson(`"${canary}"`)}`],
  ] as const;
  for (const [what, bytes] of extra) {
    it(`${what} goes no further`, async () => {
      await behind(bytes);
      const answer = await ask(harmless, pods.bound);
      assert.deepEqual([answer.status, answer.body, answer.headers['server']], [200, 'v', 'Metadata Server for VM']);
      assertClean(answer);
      assert.deepEqual(stage.observe().lines, []);
      // Nor to the next one who asks.
      const next = await ask(harmless, pods.federated);
      assertClean(next);
    });
  }

  it('trailers go no further, and chunks arrive as one value', async () => {
    const chunks = `3\r\n"ab\r\n3;x=${canary}\r\nc"\n\r\n0\r\nX-Canary: ${canary}\r\n\r\n`;
    const head = 'Metadata-Flavor: Google\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n';
    await behind(`HTTP/1.1 200 OK\r\n${head}${chunks}`);
    const answer = await ask(harmless, pods.bound);
    assert.deepEqual([answer.status, answer.body, answer.headers['content-length']], [200, 'abc', '3']);
    assertClean(answer);
  });

  it('a value with line breaks stays inside the body', async () => {
    await behind(okJson(JSON.stringify('a\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: x\r\n\r\n')));
    const answer = await ask(harmless, pods.bound);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-length'], String(Buffer.byteLength(answer.body)));
    assertClean(answer);
  });
});

describe('T18: errors of our own parts', () => {
  it('that carry a token end in a fixed sentence, and in the log in a name', async () => {
    const source: TokenSource = { request: () => Promise.reject(new Error(`Bearer ${canary}`)) };
    stage = await Stage.start({ proxy: { tokenSource: source } });
    const answer = await ask(token, pods.bound);
    assert.deepEqual([answer.status, answer.headers['x-metaveil-code']], [503, 'token-unavailable']);
    assertClean(answer);
    const [failed] = stage.node.events('token-failed');
    assert.equal(failed?.['error'], 'Error');
    assert.deepEqual(
      stage.observe().lines.map(({ code }) => code),
      ['token-unavailable'],
    );
  });

  it('that nobody expected are a 500 without a word of them', async () => {
    const thrown = { get: () => Promise.reject(new Error(canary)) };
    stage = await Stage.start({ proxy: { upstream: thrown } });
    const answer = await ask(harmless, pods.bound);
    assert.deepEqual([answer.status, answer.headers['x-metaveil-code']], [500, 'internal']);
    assert.equal(answer.body, 'Internal Server Error');
    assertClean(answer);
    const [line, ...more] = stage.observe().lines;
    assert.deepEqual([line?.['event'], line?.['error'], more.length], ['request-failed', 'Error', 0]);
  });

  it('refusals of Google are shown without their credentials and control characters', async () => {
    const reason = `denied ya29.${canary} eyJhbGciOiJ9.${canary}.sig Bearer ${canary}\u001b[2J\nSet-Cookie: x`;
    const source: TokenSource = {
      request: () => Promise.resolve({ kind: 'refused', refusal: { kind: 'google-refused', status: 403, reason } }),
    };
    stage = await Stage.start({ proxy: { tokenSource: source } });
    const answer = await ask(token, pods.bound);
    assert.deepEqual([answer.status, answer.headers['x-metaveil-code']], [403, 'google-refused']);
    assertClean(answer);
    assert.ok(!answer.body.includes('\u001b') && !answer.body.slice(0, -1).includes('\n'));
  });
});
