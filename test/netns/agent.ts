/** Runs inside a namespace and does what the test says: one JSON object per line in, one per line out. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Answer, Calls, HeldAnswer, LoadResult, Sample, Target } from './agent-client.ts';

interface Loop {
  stopped: boolean;
  readonly samples: Sample[];
  readonly ended: Promise<void>;
}

const held = new Map<string, Socket>();
const hits = new Map<string, string[]>();
const loops = new Map<string, Loop>();
const kept = new Agent({ keepAlive: true });
const fresh = new Agent({ keepAlive: false });

type Methods = { readonly [Name in keyof Calls]: (argument: Calls[Name][0]) => Promise<Calls[Name][1]> };

const methods: Methods = {
  get,

  /** Answers every request with `name`, and remembers who asked. */
  async serve({ host, port, name }) {
    const seen: string[] = [];
    hits.set(name, seen);
    const server = createServer((incoming, response) => {
      seen.push(incoming.socket.remoteAddress ?? '');
      response.end(name);
    });
    server.keepAliveTimeout = 60_000;
    await once(server.listen(port, host), 'listening');
    return null;
  },

  async hits({ name }) {
    return Promise.resolve(hits.get(name) ?? []);
  },

  async serveUdp({ host, port }) {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (message, from) => socket.send(message, from.port, from.address));
    socket.bind(port, host);
    await once(socket, 'listening');
    return null;
  },

  async askUdp({ host, port }) {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.send('ping', port, host);
    const [message] = (await once(socket, 'message', { signal: AbortSignal.timeout(4_000) })) as [Buffer];
    socket.close();
    return message.toString();
  },

  /** Opens a connection and keeps it. */
  async hold({ name, host, port }) {
    const socket = connect({ host, port });
    await once(socket, 'connect', { signal: AbortSignal.timeout(4_000) });
    socket.on('error', () => undefined);
    held.set(name, socket);
    return null;
  },

  /** Sends a request on a held connection. */
  async ask({ name, path = '/' }) {
    const socket = held.get(name);
    if (socket === undefined) throw new Error(`nothing is held as ${name}`);
    return askOn(socket, path);
  },

  /** New connections, `atOnce` at a time, until `count` requests have been answered or have failed. */
  async load({ host, port, count, atOnce }) {
    const result: LoadResult = { answered: {}, failed: {} };
    let started = 0;
    const worker = async (): Promise<void> => {
      for (; started < count;) {
        started += 1;
        const answer = await get({ host, port, timeoutMs: 8_000 });
        const into = answer.kind === 'reply' ? result.answered : result.failed;
        const key = answer.kind === 'reply' ? answer.body : answer.code;
        into[key] = (into[key] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    return result;
  },

  /** Opens so many connections at once and closes each when it has come about. */
  async connect({ host, port, count }) {
    const startedAt = performance.now();
    const all = Array.from({ length: count }, async () => {
      const socket = connect({ host, port });
      await once(socket, 'connect', { signal: AbortSignal.timeout(8_000) });
      socket.destroy();
      return performance.now() - startedAt;
    });
    const settled = await Promise.allSettled(all);
    return settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  },

  /** Asks again and again, one request after the other, until `end`. */
  begin({ name, target, everyMs }) {
    const samples: Sample[] = [];
    const loop = { stopped: false, samples, ended: Promise.resolve() };
    loop.ended = (async () => {
      while (!loop.stopped) {
        const at = Date.now();
        samples.push({ at, answer: await get(target) });
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, at + everyMs - Date.now())));
      }
    })();
    loops.set(name, loop);
    return Promise.resolve(null);
  },

  async end({ name }) {
    const loop = loops.get(name);
    if (loop === undefined) throw new Error(`no loop ${name}`);
    loop.stopped = true;
    await loop.ended;
    loops.delete(name);
    return loop.samples;
  },
};

function get({ timeoutMs = 4_000, keepAlive = false, ...target }: Target): Promise<Answer> {
  return new Promise((resolve) => {
    const fail = (code: string): void => resolve({ kind: 'error', code });
    const outgoing = request({ ...target, agent: keepAlive ? kept : fresh }, (response) => {
      const { statusCode: status = 0, headers } = response;
      response.setEncoding('utf8');
      let body = '';
      response.on('data', (chunk: string) => (body += chunk));
      response.on('error', () => fail('cut'));
      response.on('end', () => resolve({ kind: 'reply', status, headers, body }));
    });
    const timer = setTimeout(() => {
      fail('ETIMEDOUT');
      outgoing.destroy();
    }, timeoutMs);
    outgoing.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    outgoing.on('close', () => clearTimeout(timer));
    outgoing.end();
  });
}

function askOn(socket: Socket, path: string): Promise<HeldAnswer> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => fail('ETIMEDOUT'), 4_000);
    const settle = (answer: HeldAnswer): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      resolve(answer);
    };
    const fail = (code: string): void => settle({ kind: 'error', code });
    socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? ''));
    socket.on('close', () => fail('closed'));
    socket.on('data', (chunk) => settle({ kind: 'reply', body: chunk.toString().split('\r\n\r\n')[1] ?? '' }));
    if (socket.destroyed) fail('closed');
    socket.write(`GET ${path} HTTP/1.1\r\nHost: metadata.google.internal\r\n\r\n`);
  });
}

interface Call {
  readonly id: number;
  readonly method: keyof Calls;
  readonly argument: never;
}

async function answer(line: string): Promise<void> {
  const { id, method, argument } = JSON.parse(line) as Call;
  const outcome = await methods[method](argument).then(
    (result: unknown) => ({ id, result }),
    (error: unknown) => ({ id, error: String(error) }),
  );
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

for await (const line of createInterface({ input: process.stdin })) void answer(line);
process.exit(0);
