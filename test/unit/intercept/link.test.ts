import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { proxyPorts } from '../../../operator/core/names.ts';
import type { InterceptMessage, ProxyMessage } from '../../../operator/core/redirect/messages.ts';
import { ProxyConnection } from '../../../operator/intercept/proxy-connection.ts';
import { InterceptLink, type InterceptState } from '../../../operator/proxy/intercept-link.ts';
import { systemTimers } from '../../../operator/cmd/system.ts';
import { silentLogger } from '../../../operator/telemetry/log.ts';
import { FakeTimers } from '../../fakes/timers.ts';

const instanceLine = /^instance 4711-[0-9a-f]{8}$/;

describe('link between proxy and intercept', () => {
  let directory: string;
  let path: string;
  const opened: (() => unknown)[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'metaveil-link-'));
    path = join(directory, 'intercept.sock');
  });

  afterEach(async () => {
    for (const close of opened.splice(0)) await close();
    await rm(directory, { recursive: true });
  });

  async function link(uptimeMs = 4711.9): Promise<InterceptLink> {
    const made = new InterceptLink({ directory, timers: systemTimers, logger: silentLogger, uptimeMs: () => uptimeMs });
    opened.push(() => made.close());
    await made.listen();
    return made;
  }

  /** Intercept's end, message by message. */
  function intercept(): { connection: ProxyConnection; next: () => Promise<ProxyMessage>; closed: () => number } {
    const arrived: ProxyMessage[] = [];
    let wake: () => void = () => undefined;
    let closed = 0;
    const connection = new ProxyConnection({
      path,
      ports: proxyPorts,
      timers: systemTimers,
      logger: silentLogger,
      onMessage: (message) => {
        arrived.push(message);
        wake();
      },
      onClosed: () => (closed += 1),
    });
    opened.push(() => connection.close());
    const next = async (): Promise<ProxyMessage> => {
      while (arrived.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return arrived.shift() as ProxyMessage;
    };
    return { connection, next, closed: () => closed };
  }

  function changed(of: InterceptLink): Promise<InterceptState> {
    return new Promise((resolve) => {
      const stop = of.onChange(() => {
        stop();
        resolve(of.state);
      });
    });
  }

  it('says who it is, then where it serves, to an intercept that comes later', async () => {
    const proxy = await link();
    proxy.serving(9880);
    const { next } = intercept();
    const first = await next();
    assert.ok(first.kind === 'instance' && first.instance.startedAt === 4711);
    assert.deepEqual(await next(), { kind: 'serving', port: 9880 });
    proxy.draining();
    assert.deepEqual(await next(), { kind: 'draining' });
    proxy.keep();
    assert.deepEqual(await next(), { kind: 'keep' });
  });

  it('lets intercept wait for a proxy that is not there yet', async () => {
    const { next } = intercept();
    const proxy = await link();
    proxy.serving(9881);
    assert.equal((await next()).kind, 'instance');
    assert.deepEqual(await next(), { kind: 'serving', port: 9881 });
  });

  it('says again to an intercept that comes back what it said last', async () => {
    const proxy = await link();
    proxy.serving(9880);
    proxy.draining();
    const one = intercept();
    await one.next();
    await one.connection.close();
    const { next } = intercept();
    const kinds = [(await next()).kind, (await next()).kind, (await next()).kind];
    assert.deepEqual(kinds, ['instance', 'serving', 'draining']);
  });

  it('shows what intercept says, and absent when it is gone', async () => {
    const proxy = await link();
    assert.deepEqual(proxy.state, { kind: 'absent' });
    const { connection, next } = intercept();
    await next();
    const messages: InterceptMessage[] = [
      { kind: 'applied', hash: 'a'.repeat(64) },
      { kind: 'superseded' },
      { kind: 'failed', code: 'foreign-owner' },
    ];
    for (const message of messages) {
      const change = changed(proxy);
      connection.send(message);
      assert.deepEqual(await change, message);
    }
    const change = changed(proxy);
    await connection.close();
    assert.deepEqual(await change, { kind: 'absent' });
  });

  it('tells when the rules are gone', async () => {
    const proxy = await link();
    const { connection, next } = intercept();
    await next();
    const released = proxy.release(60_000);
    assert.deepEqual(await next(), { kind: 'release' });
    connection.send({ kind: 'removed' });
    assert.equal(await released, 'removed');
  });

  it('asks for the release anew if intercept restarts meanwhile', async () => {
    const proxy = await link();
    proxy.serving(9880);
    const released = proxy.release(60_000);
    const { connection, next } = intercept();
    assert.equal((await next()).kind, 'instance');
    assert.deepEqual(await next(), { kind: 'release' });
    connection.send({ kind: 'failed', code: 'kernel-timeout' });
    assert.equal(await released, 'failed');
  });

  it('does not wait for ever for an intercept that does not answer', async () => {
    const timers = new FakeTimers();
    const proxy = new InterceptLink({ directory, timers, logger: silentLogger, uptimeMs: () => 1 });
    opened.push(() => proxy.close());
    const released = proxy.release(5_000);
    await timers.advance(5_000);
    assert.equal(await released, 'unanswered');
  });

  it('is the same instance after a restart in the same pod, and replaces the socket of a killed one', async () => {
    const killed = createServer();
    killed.listen(path);
    await once(killed, 'listening');
    const one = await link();
    const first = intercept();
    const before = await first.next();
    await first.connection.close();
    await one.close();
    killed.close();
    await link(9999);
    assert.deepEqual(await intercept().next(), before);
    assert.deepEqual((await readdir(directory)).sort(), ['instance', 'intercept.sock']);
  });

  it("can be used by intercept although it is root without the power over others' files", async () => {
    await link();
    assert.equal((await stat(path)).mode & 0o777, 0o666);
  });

  for (const line of ['applied', 'removed now', 'x'.repeat(97), 'serving 9880', '\u0000']) {
    it(`ends a conversation in which intercept says ${JSON.stringify(line.slice(0, 20))}`, async () => {
      const proxy = await link();
      const socket = connect(path);
      socket.setEncoding('utf8');
      const [hello] = (await once(socket, 'data')) as [string];
      assert.match(hello.trim(), instanceLine);
      socket.write(`${line}\n`);
      await once(socket, 'close');
      assert.equal(proxy.state.kind, 'absent');
    });
  }

  for (const line of ['serving 22', 'flush ruleset', 'x'.repeat(97)]) {
    it(`ends a conversation in which the proxy says ${JSON.stringify(line.slice(0, 20))}, and comes back`, async () => {
      const heard: Socket[] = [];
      const server = createServer((socket) => {
        heard.push(socket);
        socket.on('error', () => undefined);
        socket.write(heard.length === 1 ? `keep\n${line}\ndraining\n` : 'release\n');
      });
      server.listen(path);
      await once(server, 'listening');
      opened.push(() => server.close());
      const { next, closed } = intercept();
      const kinds: string[] = [];
      while (kinds.at(-1) !== 'release') kinds.push((await next()).kind);
      assert.equal(kinds.includes('draining'), false, 'nothing after the bad line counts');
      assert.equal(closed(), 1);
    });
  }
});
