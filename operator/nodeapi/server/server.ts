/** The node API over HTTPS: one listener, the gate in front, the watch and the calls behind it. */
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { MetaveilError } from '../../core/errors.ts';
import { defaultNamespace, nodeApiAudience, proxyServiceAccount } from '../../core/names.ts';
import { describeError } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Refusal } from '../wire/errors.ts';
import { refusals } from '../wire/errors.ts';
import { methods } from '../wire/methods.ts';
import { protocolHeader, supportedProtocols } from '../wire/protocol.ts';
import type { ProtocolRange } from '../wire/protocol.ts';
import { decodeContentHash } from '../wire/resources.ts';
import { Authentication } from './authentication.ts';
import { BoundedLog } from './bounded-log.ts';
import { readBody } from '../body.ts';
import { Calls } from './calls.ts';
import type { ServerCertificate } from './certificates.ts';
import { Connections, defaultConnectionLimits, type ConnectionLimits } from './connections.ts';
import { Gate, refusalOf } from './gate.ts';
import type { Admitted } from './gate.ts';
import { Minter } from './minter.ts';
import type { MinterOptions } from './minter.ts';
import type {
  DecisionCounters,
  InstanceReadiness,
  Leadership,
  NodeRelease,
  NodeSnapshots,
  ProxyPods,
  TokenReviewer,
} from './ports.ts';
import { Programming } from './programming.ts';
import { WatchSessions } from './sessions.ts';
import type { FrameStream } from './session.ts';
import type { WatchSessionsOptions } from './sessions.ts';

export interface NodeApiServerOptions
  extends MinterOptions, Pick<WatchSessionsOptions, 'heartbeatMs' | 'stallMs' | 'ackMs' | 'maxSessions'> {
  readonly reviewer: TokenReviewer;
  readonly pods: ProxyPods;
  readonly snapshots: NodeSnapshots;
  readonly leadership: Leadership;
  readonly release: NodeRelease;
  readonly readiness: InstanceReadiness;
  readonly counters: DecisionCounters;
  readonly metrics: Metrics;
  /** Namespace of the installation; default `metaveil-system`. */
  readonly namespace?: string;
  /** For tests of other versions. */
  readonly protocols?: ProtocolRange;
  readonly connections?: ConnectionLimits;
}

/** A reply that nobody reads is given up after this, in ms. */
const lingerMs = 5000;

export class NodeApiServer {
  /** For the status of bindings and policies. */
  readonly programming = new Programming();
  readonly #options: NodeApiServerOptions;
  readonly #server: Server;
  readonly #gate: Gate;
  readonly #calls: Calls;
  readonly #sessions: WatchSessions;
  readonly #refusals: BoundedLog;

  /** Listens to its ports from here on: make it before the first snapshot is built. */
  constructor(options: NodeApiServerOptions) {
    this.#options = options;
    const proxyUsername = `system:serviceaccount:${options.namespace ?? defaultNamespace}:${proxyServiceAccount}`;
    const authentication = new Authentication({ ...options, audience: nodeApiAudience, proxyUsername });
    this.#gate = new Gate({ ...options, authentication, protocols: options.protocols ?? supportedProtocols });
    this.#sessions = new WatchSessions({ ...options, programming: this.programming });
    this.#calls = new Calls({ ...options, sessions: this.#sessions, minter: new Minter(options) });
    this.#refusals = new BoundedLog(options.log, options.clock);
    const { connections: limits = defaultConnectionLimits } = options;
    options.leadership.onChange(() => this.#leadershipChanged());
    this.#server = createServer({
      minVersion: 'TLSv1.3',
      handshakeTimeout: limits.handshakeMs,
      maxHeaderSize: 16_384,
      headersTimeout: 10_000,
      requestTimeout: 15_000,
      keepAliveTimeout: 65_000,
    });
    const connections = new Connections(limits.shares);
    this.#server.on('connection', (socket: Socket) => connections.accept(socket));
    this.#server.on('request', (request, response) => void this.#serve(request, response));
    // A handshake that fails is the client's affair; without this listener its socket would linger.
    this.#server.on('tlsClientError', (_error, socket: Socket) => socket.destroy());
  }

  /** Sets or replaces the certificate; connections that exist keep theirs. */
  useCertificate({ key, certificate }: ServerCertificate): void {
    this.#server.setSecureContext({ key, cert: certificate, minVersion: 'TLSv1.3' });
  }

  /** Rejects with invalid-configuration when the address cannot be used. */
  async listen(address: { readonly host: string; readonly port: number }): Promise<AddressInfo> {
    const listening = Promise.withResolvers<undefined>();
    const failed = (cause: Error): void => {
      const where = `${address.host}:${address.port}`;
      listening.reject(new MetaveilError('invalid-configuration', `cannot listen on ${where}`, { cause }));
    };
    this.#server.once('error', failed);
    this.#server.listen(address.port, address.host, () => listening.resolve(undefined));
    await listening.promise;
    this.#server.off('error', failed);
    const bound = this.#server.address() as AddressInfo;
    this.#options.log.info('nodeapi-listening', { address: `${bound.address}:${bound.port}` });
    return bound;
  }

  /** Says bye to the watches, finishes the calls under way, then closes. */
  async close(): Promise<void> {
    this.#sessions.stop();
    const closed = Promise.withResolvers<undefined>();
    this.#server.close(() => closed.resolve(undefined));
    this.#server.closeIdleConnections();
    const cancel = this.#options.clock.after(lingerMs, () => this.#server.closeAllConnections());
    await closed.promise;
    cancel();
  }

  /** Proxies that watch. */
  get sessions(): number {
    return this.#sessions.size;
  }

  #leadershipChanged(): void {
    const role = this.#options.leadership.role();
    if (role.kind === 'follower') this.#sessions.endAll('not-leader', role.leader);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const admission = await this.#gate.admit({
        verb: request.method ?? '',
        target: request.url ?? '',
        authorization: request.headersDistinct['authorization'],
        protocols: request.headersDistinct[protocolHeader]?.join(),
      });
      if (admission.kind === 'refused')
        this.#refuse(request, response, admission.refusal, admission.caller?.pod.nodeName);
      else if (admission.method === 'watch') this.#watch(admission, request, response);
      else await this.#call(admission, admission.method, request, response);
    } catch (error) {
      this.#options.log.error('nodeapi-call-failed', { path: request.url ?? '', error: describeError(error) });
      if (response.headersSent) response.destroy();
      else send(response, refusals.internal.status, refusalOf('internal'));
    }
  }

  async #call(
    { caller, protocol }: Admitted,
    method: Exclude<Admitted['method'], 'watch'>,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const node = caller.pod.nodeName;
    const body = await readBody(request, methods[method].maxBodyBytes);
    if (body.kind === 'gone') return;
    if (body.kind === 'too-large') {
      this.#refuse(request, response, refusalOf('request-too-large'), node);
      return;
    }
    const retryAfterMs = this.#gate.chargeBody(caller, body.text.length);
    if (retryAfterMs > 0) {
      this.#refuse(request, response, refusalOf('rate-limited', { retryAfterMs }), node);
      return;
    }
    const hungUp = new AbortController();
    response.once('close', () => hungUp.abort());
    const outcome = await this.#calls.call(method, caller, body.text, hungUp.signal);
    response.setHeader(protocolHeader, String(protocol));
    if (outcome.kind === 'replied') send(response, 200, outcome.reply);
    else this.#refuse(request, response, refusalOf('request-malformed', { message: outcome.problem }), node);
  }

  #watch({ caller, protocol, query }: Admitted, request: IncomingMessage, response: ServerResponse): void {
    // It may have hung up while its token was reviewed.
    if (request.socket.destroyed) return;
    const resume = decodeContentHash(query.get('resume'));
    response.setHeader(protocolHeader, String(protocol));
    response.setHeader('content-type', 'application/x-ndjson');
    response.setHeader('cache-control', 'no-store');
    const stream: FrameStream = {
      write: (text) => response.write(text),
      end: (text) => {
        response.end(text);
        this.#options.clock.after(lingerMs, () => response.destroy());
      },
      destroy: () => response.destroy(),
    };
    const version = resume.kind === 'valid' ? resume.value : undefined;
    const watch = this.#sessions.open({ caller, protocol, resume: version, stream });
    if (watch === undefined) {
      this.#refuse(request, response, refusalOf('overloaded', { retryAfterMs: 1000 }), caller.pod.nodeName);
      return;
    }
    response.on('drain', watch.drained);
    response.on('close', watch.closed);
  }

  #refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal, node = ''): void {
    const source = request.socket.remoteAddress ?? '';
    this.#refusals.warn(
      'nodeapi-call-refused',
      { source },
      {
        code: refusal.code,
        method: request.method ?? '',
        path: request.url ?? '',
        ...(node !== '' && { node }),
      },
    );
    // What is left of the request is not read.
    response.setHeader('connection', 'close');
    if (refusal.retryAfterMs !== undefined)
      response.setHeader('retry-after', String(Math.ceil(refusal.retryAfterMs / 1000)));
    send(response, refusals[refusal.code].status, refusal);
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(text);
}
