import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { KubeClient } from '../../../../operator/adapters/kube/client.ts';
import { FakeTimers } from '../../../fakes/timers.ts';
import { Arrivals } from './arrivals.ts';

/** One request that waits for the test's answer. */
export class Call {
  readonly method: string;
  readonly path: string;
  readonly query: Record<string, string>;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
  readonly #response: ServerResponse;

  constructor(request: IncomingMessage, body: string, response: ServerResponse) {
    const url = new URL(request.url ?? '/', 'http://api');
    this.method = request.method ?? '';
    this.path = url.pathname;
    this.query = Object.fromEntries(url.searchParams);
    this.headers = request.headers;
    this.body = body === '' ? undefined : JSON.parse(body);
    this.#response = response;
  }

  reply(status: number, body: unknown, headers: Record<string, string> = {}): void {
    this.#response.writeHead(status, { 'content-type': 'application/json', ...headers });
    this.#response.end(typeof body === 'string' ? body : JSON.stringify(body));
  }

  /** Replies as the API server does when it refuses. */
  refuse(status: number, reason: string, message = reason, headers: Record<string, string> = {}): void {
    this.reply(status, statusObject(status, reason, message), headers);
  }

  list(resourceVersion: string, items: readonly object[], next?: string): void {
    this.reply(200, { kind: 'List', metadata: { resourceVersion, ...(next && { continue: next }) }, items });
  }

  /** Begins a stream that stays open. */
  open(): void {
    this.#response.writeHead(200, { 'content-type': 'application/json' });
    this.#response.flushHeaders();
  }

  write(text: string): void {
    this.#response.write(text);
  }

  writeBytes(bytes: Uint8Array): void {
    this.#response.write(bytes);
  }

  event(type: string, object: object): void {
    this.write(`${JSON.stringify({ type, object })}\n`);
  }

  end(): void {
    this.#response.end();
  }

  /** Breaks the connection without an end of the reply. */
  cut(): void {
    this.#response.destroy();
  }

  /** Resolves when the other side is gone or the reply is complete. */
  async closed(): Promise<void> {
    if (!this.#response.closed) await once(this.#response, 'close');
  }
}

export function statusObject(code: number, reason: string, message = reason): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
}

/** An API server that answers what the test tells it to. */
export class ScriptedApi {
  readonly calls = new Arrivals<Call>();
  readonly timers = new FakeTimers();
  readonly #server: Server;
  readonly #clients: KubeClient[] = [];
  #connections = 0;

  constructor() {
    this.#server = createServer((request, response) => void this.#take(request, response));
    this.#server.on('connection', () => (this.#connections += 1));
  }

  /** Listens on loopback and is closed with the test. */
  static async start(t: TestContext): Promise<ScriptedApi> {
    const api = new ScriptedApi();
    api.#server.listen(0, '127.0.0.1');
    await once(api.#server, 'listening');
    t.after(() => api.#close());
    return api;
  }

  /** Connections accepted so far. */
  get connections(): number {
    return this.#connections;
  }

  next(): Promise<Call> {
    return this.calls.next();
  }

  client(): KubeClient {
    const kubeConfig = new KubeConfig();
    const { port } = this.#server.address() as AddressInfo;
    kubeConfig.loadFromClusterAndUser(
      { name: 'fake', server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
      { name: 'user', token: 'secret-bearer' },
    );
    const client = new KubeClient({ kubeConfig, userAgent: 'metaveil/test', timers: this.timers, random: () => 0 });
    this.#clients.push(client);
    return client;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request as AsyncIterable<Buffer>) body += chunk.toString();
    this.calls.push(new Call(request, body, response));
  }

  async #close(): Promise<void> {
    for (const client of this.#clients) await client.close();
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
