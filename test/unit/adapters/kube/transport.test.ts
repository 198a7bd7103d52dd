import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { describe, it } from 'node:test';
import { MetaveilError, type ErrorCode } from '../../../../operator/core/errors.ts';
import { ScriptedApi } from './scripted-api.ts';

const path = '/api/v1/namespaces/default';

async function caught(work: Promise<unknown>): Promise<MetaveilError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof MetaveilError, inspect(error));
  return error;
}

describe('A call to the API server', () => {
  it('carries credentials, our user agent and its body', async (t) => {
    const api = await ScriptedApi.start(t);
    const done = api.client().request({ method: 'POST', path, query: { dryRun: 'All' }, body: { a: 1 } });
    const call = await api.next();
    assert.equal(call.headers.authorization, 'Bearer secret-bearer');
    assert.equal(call.headers['user-agent'], 'metaveil/test');
    assert.equal(call.headers['content-type'], 'application/json');
    assert.deepEqual([call.method, call.path, call.query, call.body], ['POST', path, { dryRun: 'All' }, { a: 1 }]);
    call.reply(201, { b: 2 });
    assert.deepEqual(await done, { b: 2 });
  });

  for (const [status, reason, code] of [
    [400, 'BadRequest', 'kubernetes-refused'],
    [401, 'Unauthorized', 'kubernetes-refused'],
    [403, 'Forbidden', 'kubernetes-refused'],
    [404, 'NotFound', 'kubernetes-not-found'],
    [409, 'Conflict', 'kubernetes-conflict'],
    [410, 'Expired', 'kubernetes-unavailable'],
    [422, 'Invalid', 'kubernetes-refused'],
    [429, 'TooManyRequests', 'kubernetes-unavailable'],
    [500, 'InternalError', 'kubernetes-unavailable'],
    [503, 'ServiceUnavailable', 'kubernetes-unavailable'],
    [302, '', 'kubernetes-refused'],
  ] as const satisfies readonly (readonly [number, string, ErrorCode])[]) {
    it(`answered ${status} is ${code}, with the server's reason`, async (t) => {
      const api = await ScriptedApi.start(t);
      const done = caught(api.client().request({ method: 'GET', path }));
      (await api.next()).refuse(status, reason, 'the sentence', { location: 'http://127.0.0.1:1/' });
      const error = await done;
      assert.equal(error.code, code);
      assert.equal(error.message, `GET ${path}: ${status}${reason && ` ${reason}`}: the sentence`);
    });
  }

  for (const body of ['<html>canary-reply</html>', '{"kind":"Status","message":7}', '"canary-reply']) {
    it(`never quotes a reply, a header or a credential in an error: ${body}`, async (t) => {
      const api = await ScriptedApi.start(t);
      const done = caught(api.client().request({ method: 'GET', path, lane: 'standing' }));
      (await api.next()).reply(403, body, { 'x-canary': 'canary-header' });
      assert.doesNotMatch(inspect(await done, { depth: 9 }), /canary|secret-bearer/);
    });
  }

  it('answered with something that is not JSON was not answered by the API server', async (t) => {
    const api = await ScriptedApi.start(t);
    const done = caught(api.client().request({ method: 'GET', path, lane: 'standing' }));
    (await api.next()).reply(200, '{"token":"canary-reply');
    const error = await done;
    assert.equal(error.code, 'kubernetes-unavailable');
    assert.doesNotMatch(inspect(error, { depth: 9 }), /canary|secret-bearer/);
  });

  it('keeps a message of the server to one bounded line', async (t) => {
    const api = await ScriptedApi.start(t);
    const done = caught(api.client().request({ method: 'GET', path }));
    (await api.next()).refuse(403, 'Forbidden', `a\r\nlevel=info forged\u2028${'x'.repeat(5000)}`);
    const { message } = await done;
    assert.match(message, /a level=info forged x+…$/);
    assert.ok(message.length < 600);
  });

  it('ends at its deadline, which the caller is told', async (t) => {
    const api = await ScriptedApi.start(t);
    const done = caught(api.client().request({ method: 'GET', path, deadlineMs: 5000 }));
    const hanging = await api.next();
    api.timers.jump(5000);
    const error = await done;
    assert.equal(error.code, 'deadline-exceeded');
    assert.equal(error.message, `GET ${path}: no answer within 5000 ms`);
    await hanging.closed();
    assert.deepEqual(api.timers.pending(), []);
  });

  it('ends at its deadline when only the body hangs', async (t) => {
    const api = await ScriptedApi.start(t);
    const done = caught(api.client().request({ method: 'GET', path }));
    const call = await api.next();
    call.open();
    call.write('{"a":');
    await new Promise(setImmediate);
    api.timers.jump(15_000);
    assert.equal((await done).code, 'deadline-exceeded');
  });

  it('ends when the caller gives up', async (t) => {
    const api = await ScriptedApi.start(t);
    const caller = new AbortController();
    const done = caught(api.client().request({ method: 'GET', path, signal: caller.signal }));
    const hanging = await api.next();
    caller.abort();
    assert.equal((await done).code, 'deadline-exceeded');
    await hanging.closed();
    const late = caught(api.client().request({ method: 'GET', path, signal: caller.signal }));
    assert.equal((await late).code, 'deadline-exceeded');
    assert.equal(api.calls.waiting, 0, 'nothing is sent for a caller that has given up');
  });

  it('is repeated after Retry-After, and not before', async (t) => {
    const api = await ScriptedApi.start(t);
    const done = api.client().request({ method: 'GET', path });
    (await api.next()).refuse(429, 'TooManyRequests', 'later', { 'retry-after': '2' });
    while (!api.timers.pending().includes(2000)) await new Promise(setImmediate);
    api.timers.jump(1999);
    await new Promise(setImmediate);
    assert.equal(api.calls.waiting, 0);
    api.timers.jump(1);
    (await api.next()).reply(200, { ok: true });
    assert.deepEqual(await done, { ok: true });
  });

  it('is not repeated when the server refuses without asking for it', async (t) => {
    const api = await ScriptedApi.start(t);
    const done = caught(api.client().request({ method: 'GET', path }));
    (await api.next()).refuse(500, 'InternalError');
    await done;
    assert.equal(api.calls.waiting, 0);
  });

  it('is repeated after a broken connection, a few times', async (t) => {
    const api = await ScriptedApi.start(t);
    const done = caught(api.client().request({ method: 'GET', path }));
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      (await api.next()).cut();
      while (attempt < 4 && api.calls.waiting === 0) {
        api.timers.jump(200);
        await new Promise(setImmediate);
      }
    }
    assert.equal((await done).code, 'kubernetes-unavailable');
    assert.equal(api.calls.waiting, 0);
  });

  it('stops reading a reply that is too large', async (t) => {
    const api = await ScriptedApi.start(t);
    const done = caught(api.client().request({ method: 'GET', path, maxBytes: 1000 }));
    const call = await api.next();
    call.open();
    call.write('x'.repeat(1001));
    assert.equal((await done).code, 'kubernetes-refused');
    await call.closed();
  });

  it('for the lease does not wait behind others that hang', async (t) => {
    const api = await ScriptedApi.start(t);
    const client = api.client();
    const others = Array.from({ length: 40 }, () => caught(client.request({ method: 'GET', path: '/slow' })));
    for (let call = 0; call < 16; call += 1) assert.equal((await api.next()).path, '/slow');
    const lease = client.request({ method: 'GET', path: '/lease', lane: 'standing' });
    const call = await api.next();
    assert.equal(call.path, '/lease', 'only sixteen of the others are under way');
    call.reply(200, {});
    await lease;
    assert.equal(api.connections, 17);
    api.timers.jump(15_000);
    const codes = (await Promise.all(others)).map(({ code }) => code);
    assert.deepEqual(new Set(codes), new Set(['deadline-exceeded']));
    assert.equal(api.calls.waiting, 0, 'what never got a connection was not sent');
  });

  it('on a closed client fails at once', async (t) => {
    const api = await ScriptedApi.start(t);
    const client = api.client();
    await client.close();
    const error = await caught(client.request({ method: 'GET', path, lane: 'standing' }));
    assert.equal(error.message, 'the client for the API server is closed');
  });
});
