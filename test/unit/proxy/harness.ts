/** A running proxy on loopback; every 127.0.0.x is a pod. */
import { createHash } from 'node:crypto';
import { request as httpRequest, type Agent, type IncomingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { ContentHash } from '../../../operator/core/brand.ts';
import { metadataHosts } from '../../../operator/core/request/host.ts';
import type { DecisionSummary } from '../../../operator/nodeapi/wire/calls.ts';
import { startProxy, type ProxyOptions, type RunningProxy } from '../../../operator/proxy/server.ts';
import { createLogger, type Logger } from '../../../operator/telemetry/log.ts';
import { FakeTimers } from '../../fakes/timers.ts';
import { FakeSnapshots, FakeTokenSource } from './support.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Get {
  /** Source address, that is the pod. */
  readonly from: string;
  readonly method?: string;
  /** Default: Metadata-Flavor: Google. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly agent?: Agent;
}

export class Harness {
  readonly timers = new FakeTimers();
  readonly snapshots = new FakeSnapshots();
  readonly tokens = new FakeTokenSource();
  /** What the proxy told the controller of its decisions. */
  readonly reported: DecisionSummary[] = [];
  /** Everything the proxy wrote to its log. */
  readonly lines: string[] = [];
  readonly logger: Logger = createLogger({
    component: 'proxy',
    destination: { write: (line) => void this.lines.push(line) },
  });
  #proxy: RunningProxy | undefined;

  async start(options: Partial<ProxyOptions> = {}): Promise<void> {
    this.#proxy = await startProxy({
      snapshotSource: this.snapshots,
      tokenSource: this.tokens,
      reports: { report: (summary) => void this.reported.push(summary) },
      logger: this.logger,
      timers: this.timers,
      random: () => 0.5,
      hash: (text) => createHash('sha256').update(text).digest('hex') as ContentHash,
      listen: [{ host: '127.0.0.1', port: 0 }],
      hosts: { ...metadataHosts, addresses: [...metadataHosts.addresses, '127.0.0.1'] },
      ...options,
    });
  }

  get proxy(): RunningProxy {
    if (this.#proxy === undefined) throw new Error('the proxy was not started');
    return this.#proxy;
  }

  get port(): number {
    return this.proxy.addresses[0]?.port ?? 0;
  }

  /** Ends the proxy at once. */
  async stop(): Promise<void> {
    const closed = this.#proxy?.close(0);
    await this.timers.advance(0);
    await closed;
  }

  get(path: string, { from, method = 'GET', headers, agent }: Get): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        host: '127.0.0.1',
        port: this.port,
        localAddress: from,
        path,
        method,
        headers: headers ?? { 'Metadata-Flavor': 'Google' },
        agent: agent ?? false,
      });
      request.on('error', reject);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const body = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
        });
      });
      request.end();
    });
  }

  /** Resolves when the server holds one more request: it asked the clock to end the wait. */
  async held(): Promise<void> {
    const before = this.timers.scheduled;
    for (let round = 0; round < 20_000; round += 1) {
      if (this.timers.scheduled > before) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
    throw new Error('the server holds no request');
  }

  /** Log lines of one event. */
  events(event: string): readonly Record<string, unknown>[] {
    return this.lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line['event'] === event);
  }

  connect(from: string): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port: this.port, localAddress: from });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RawConnection(socket));
      });
    });
  }
}

/** A TCP connection that sends exactly what the test says. */
export class RawConnection {
  readonly socket: Socket;
  received = '';
  readonly ended: Promise<string>;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => (this.received += text));
    // A reset after the reply is one way to end; what was received counts.
    socket.on('error', () => undefined);
    this.ended = new Promise((resolve) => socket.once('close', () => resolve(this.received)));
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** Resolves when `text` has arrived; rejects when the connection ends without it. */
  async until(text: string): Promise<string> {
    const over = this.ended.then(() => {
      if (!this.received.includes(text)) throw new Error(`ended without ${text}: ${this.received}`);
    });
    while (!this.received.includes(text)) {
      await Promise.race([over, new Promise((resolve) => this.socket.once('data', resolve))]);
    }
    return this.received;
  }
}
