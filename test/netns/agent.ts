/** Runs inside a namespace and does what the test says: one JSON object per line in, one per line out. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Answer, Calls, LoadResult, Target } from './agent-client.ts';

const held = new Map<string, Socket>();
const hits = new Map<string, string[]>();

type Methods = { readonly [Name in keyof Calls]: (argument: Calls[Name][0]) => Promise<Calls[Name][1]> };

const methods: Methods = {
  async get({ timeoutMs = 4_000, ...target }) {
    return get(target, timeoutMs);
  },

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
        const answer = await get({ host, port }, 8_000);
        const into = answer.kind === 'reply' ? result.answered : result.failed;
        const key = answer.kind === 'reply' ? answer.body : answer.code;
        into[key] = (into[key] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    return result;
  },
};

function get({ host, port, localAddress }: Target, timeoutMs: number): Promise<Answer> {
  const started = Date.now();
  return new Promise((resolve) => {
    const fail = (code: string): void => resolve({ kind: 'error', code, ms: Date.now() - started });
    const outgoing = request({ host, port, localAddress, agent: new Agent({ keepAlive: false }) }, (response) => {
      response.setEncoding('utf8');
      let body = '';
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ kind: 'reply', body, ms: Date.now() - started }));
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

function askOn(socket: Socket, path: string): Promise<Answer> {
  const started = Date.now();
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle({ kind: 'error', code: 'ETIMEDOUT', ms: 4_000 }), 4_000);
    const settle = (answer: Answer): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      resolve(answer);
    };
    socket.on('error', (error: NodeJS.ErrnoException) =>
      settle({ kind: 'error', code: error.code ?? '', ms: Date.now() - started }),
    );
    socket.on('close', () => settle({ kind: 'error', code: 'closed', ms: Date.now() - started }));
    socket.on('data', (chunk) =>
      settle({ kind: 'reply', body: chunk.toString().split('\r\n\r\n')[1] ?? '', ms: Date.now() - started }),
    );
    if (socket.destroyed) settle({ kind: 'error', code: 'closed', ms: 0 });
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
