import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import type { AddressInfo, DropArgument, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { deny, type DenialCode } from '../core/request/denials.ts';
import { requestLimits } from '../core/request/limits.ts';
import { describeError, type Logger } from '../telemetry/log.ts';
import { Connections, type ConnectionLimits, type OpenConnection, type Turn } from './connections.ts';
import type { DenialLog } from './denial-log.ts';
import type { RequestHandler } from './handler.ts';
import { denialReply, type Reply } from './replies.ts';

/** What one client, and all together, can make the server hold. Times in ms, sizes in bytes. */
export interface ListenerLimits extends ConnectionLimits {
  readonly headerBytes: number;
  readonly headerCount: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** Longer than the clients' own (Go: 30 s), so that it is they who close. */
  readonly keepAliveTimeoutMs: number;
  /** Silence in both directions; longer than the longest `wait_for_change`. */
  readonly socketTimeoutMs: number;
}

export const defaultLimits: ListenerLimits = {
  // With all that they may send and leave unread they fit into the container, see test/e2e/bundle/memory.test.ts.
  connections: 1_024,
  connectionsPerPod: 128,
  // For more pods than a node has.
  fewConnections: 3,
  connectionsKeptBack: 768,
  requestsPerPod: 128,
  headerBytes: requestLimits.headerBytes,
  headerCount: requestLimits.headers,
  requestsPerConnection: 10_000,
  pipelinedRequests: 8,
  unreadBytesPerPod: 4 << 20,
  unreadBytes: 8 << 20,
  requestsPerRound: 32,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  keepAliveTimeoutMs: 75_000,
  socketTimeoutMs: 330_000,
};

export interface ListenerParts {
  readonly handler: RequestHandler;
  readonly denials: DenialLog;
  readonly logger: Logger;
  readonly limits: ListenerLimits;
}

/** A reply and the connection that it goes to. */
interface Answered {
  readonly reply: Reply;
  readonly open: OpenConnection;
}

/** How often node:http looks for connections past their time, in ms; its default would let them live 30 s more. */
const connectionsCheckMs = 1_000;

/** The HTTP/1.1 server towards pods. It hands raw requests to the handler and frames the replies. */
export class Listener {
  readonly #parts: ListenerParts;
  readonly #connections: Connections;
  readonly #server: Server;
  #draining = false;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
    this.#connections = new Connections(parts.limits);
    const { options, properties } = serverSettings(parts.limits);
    this.#server = Object.assign(createServer(options), properties);
    this.#server.on('connection', (socket: Socket) => this.#accept(socket));
    this.#server.on('request', (request, response) => this.#serve(request, response));
    // Without these two node:http would answer 100 Continue, or 417, before the request was looked at.
    this.#server.on('checkContinue', (request, response) => this.#serveLast(request, response));
    this.#server.on('checkExpectation', (request, response) => this.#serveLast(request, response));
    this.#server.on('connect', (request, socket) => this.#refuseConnect(request, socket));
    this.#server.on('drop', (dropped?: DropArgument) => {
      parts.denials.refusedConnection(dropped?.remoteAddress ?? '', 'too many connections in all');
    });
    this.#server.on('clientError', (error, socket) => this.#refuseMalformed(error, socket));
  }

  /** Starts to accept. Throws what listen throws, for example EADDRINUSE. */
  listen(host: string, port: number): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject);
        resolve(this.#server.address() as AddressInfo);
      });
    });
  }

  /** Accepts nothing more and lets what waits answer now. Resolves when the last connection has ended. */
  drain(): Promise<void> {
    this.#draining = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#connections.endAll();
    this.#server.closeIdleConnections();
    return closed;
  }

  /** Ends all connections. */
  end(): void {
    this.#server.closeAllConnections();
  }

  #accept(socket: Socket): void {
    if (this.#connections.accept(socket) !== undefined) return;
    this.#parts.denials.refusedConnection(socket.remoteAddress ?? '', 'too many connections from one address');
    sendRaw(socket, denialReply(deny('too-many-requests')));
  }

  /** Whoever asked whether to go on gets the final answer, and may have sent a body all the same. */
  #serveLast(request: IncomingMessage, response: ServerResponse): void {
    response.shouldKeepAlive = false;
    this.#serve(request, response);
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const open = this.#connections.of(socket);
    if (open?.isOver === true) {
      stopParser(socket);
      return;
    }
    const turn = open?.take(response);
    if (open === undefined || turn === undefined) {
      this.#cut(socket, open);
      return;
    }
    // node:http's own limit announces the end of a connection but leaves it open.
    if (open.isLastRequest()) response.shouldKeepAlive = false;
    if (!response.shouldKeepAlive) open.finish();
    const send = (reply: Reply): void =>
      this.#send(request, response, { reply: this.#affordable(reply, open, turn), open });
    const reply = this.#handle(request, open);
    if (!(reply instanceof Promise)) {
      send(reply);
      return;
    }
    const done = open.begin();
    void reply
      .catch((error: unknown) => this.#failed(error))
      .then((settled) => {
        done();
        send(settled);
      });
  }

  /** Ends a connection whose peer sends on and on without taking the replies. */
  #cut(socket: Socket, open: OpenConnection | undefined): void {
    if (open !== undefined && !socket.destroyed) {
      this.#parts.denials.refusedConnection(open.address, 'too many requests before their replies are read');
    }
    stopParser(socket);
    socket.destroy();
  }

  /** The reply, or the refusal of one that its pod has no room for. */
  #affordable(reply: Reply, open: OpenConnection, turn: Turn): Reply {
    if (open.mayReply(turn, reply.bytes)) return reply;
    return this.#parts.handler.refuse(deny('too-many-requests'), open, 'earlier replies are not read');
  }

  #handle(request: IncomingMessage, connection: OpenConnection): Reply | Promise<Reply> {
    const { method = '', url = '', httpVersion, rawHeaders } = request;
    const { handler, limits } = this.#parts;
    try {
      if (connection.isFull)
        return handler.refuse(deny('too-many-requests'), connection, 'too many requests are waiting');
      if (rawHeaders.length / 2 > limits.headerCount) {
        return handler.refuse(deny('headers-too-large'), connection, 'too many headers');
      }
      return handler.handle({ method, target: url, httpVersion, rawHeaders }, connection);
    } catch (error) {
      return this.#failed(error);
    }
  }

  #failed(error: unknown): Reply {
    this.#parts.logger.error('request-failed', { error: describeError(error) });
    return denialReply(deny('internal'));
  }

  #send(request: IncomingMessage, response: ServerResponse, { reply, open }: Answered): void {
    if (response.destroyed) return;
    const { status, headers } = reply;
    const isLast = reply.close || this.#draining;
    if (isLast) open.finish();
    // node:http only reads the headers, so they need no copy; its types do not say so.
    response.writeHead(status, isLast ? [...headers, 'Connection', 'close'] : (headers as string[]));
    response.end(request.method === 'HEAD' ? undefined : reply.body);
  }

  #refuseConnect(request: IncomingMessage, socket: Duplex): void {
    const open = this.#connections.of(request.socket);
    const reply = open === undefined || open.isBusy || open.isOver ? undefined : this.#handle(request, open);
    // A tunnel is refused by the parser, so there is nothing to wait for.
    if (reply === undefined || reply instanceof Promise) socket.end(() => socket.destroy());
    else sendRaw(socket, reply);
    open?.finish();
  }

  /** Bytes that are no HTTP, or too many, or too slow. */
  #refuseMalformed({ code: cause = '' }: NodeJS.ErrnoException, socket: Duplex): void {
    const open = this.#connections.of(socket);
    // What the parser finds behind the last request changes nothing: that one's reply ends the connection.
    if (open?.isOver === true) return;
    open?.finish();
    if (open !== undefined && this.#replyMalformed(open, cause, socket)) return;
    if (cause !== 'ECONNRESET') this.#parts.denials.refusedConnection(open?.address ?? '', cause);
    socket.destroy();
  }

  /** Whether there was a denial to send and a place for it. */
  #replyMalformed(open: OpenConnection, cause: string, socket: Duplex): boolean {
    const code = parserDenials[cause];
    // A raw reply would be taken for that of an earlier request whose own is still to come.
    if (code === undefined || !socket.writable || open.isBusy) return false;
    sendRaw(socket, this.#parts.handler.refuse(deny(code), open, cause));
    return true;
  }
}

/** Where node:http keeps a connection's parser and what that calls with each request. */
type ParsedSocket = Socket & { readonly parser?: { onIncoming: unknown } | null };

/** Told to upgrade the connection; from there on the bytes are not HTTP any more. */
const upgrade = 2;

/**
 * Has the parser leave alone what else was read. Otherwise it makes hundreds of requests of it before the end of the
 * connection counts, on all connections of a pod at once: tens of megabytes. node:http has no public way.
 */
function stopParser({ parser }: ParsedSocket): void {
  if (parser) parser.onIncoming = () => upgrade;
}

/** What node:http itself does about the limits; the benchmark's reference has the same. */
export function serverSettings(limits: ListenerLimits) {
  const options = {
    insecureHTTPParser: false,
    // The parser has its own rule about Host, with a reply that carries our headers.
    requireHostHeader: false,
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: connectionsCheckMs,
    // No request that is served has a body: node:http need not act as if one were read to its end.
    optimizeEmptyRequests: true,
    noDelay: true,
    keepAlive: true,
  } satisfies ServerOptions;
  const properties = {
    // node:http drops headers past this number silently; one more than allowed is let through to be refused.
    maxHeadersCount: limits.headerCount + 1,
    maxConnections: limits.connections,
    timeout: limits.socketTimeoutMs,
  } satisfies Partial<Server>;
  return { options, properties };
}

/** Denials for errors of node's HTTP parser (llhttp). Not listed: time-outs and resets, where nobody listens. */
const parserDenials: Readonly<Record<string, DenialCode>> = {
  HPE_HEADER_OVERFLOW: 'headers-too-large',
  HPE_INVALID_METHOD: 'method-not-allowed',
  HPE_INVALID_VERSION: 'http-version',
  HPE_INVALID_CONSTANT: 'http-version',
  HPE_INVALID_URL: 'malformed-path',
  HPE_INVALID_CONTENT_LENGTH: 'framing',
  HPE_UNEXPECTED_CONTENT_LENGTH: 'framing',
  HPE_INVALID_TRANSFER_ENCODING: 'framing',
  HPE_INVALID_CHUNK_SIZE: 'framing',
  HPE_INVALID_HEADER_TOKEN: 'malformed-header',
  HPE_INVALID_EOF_STATE: 'malformed-header',
  HPE_LF_EXPECTED: 'malformed-header',
  HPE_CR_EXPECTED: 'malformed-header',
  HPE_UNEXPECTED_SPACE: 'malformed-header',
  HPE_STRICT: 'malformed-header',
  HPE_PAUSED_H2_UPGRADE: 'http-version',
};

/** Writes a reply where node:http has no response object. It always ends the connection. */
function sendRaw(socket: Duplex, reply: Reply): void {
  const lines = [`HTTP/1.1 ${reply.status} ${reply.status === 405 ? 'Method Not Allowed' : 'Refused'}`];
  for (let index = 0; index < reply.headers.length; index += 2) {
    lines.push(`${reply.headers[index] ?? ''}: ${reply.headers[index + 1] ?? ''}`);
  }
  lines.push('Connection: close');
  socket.end(`${lines.join('\r\n')}\r\n\r\n${reply.body}`, () => socket.destroy());
}
