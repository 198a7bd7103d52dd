/** The node's real metadata server over plain HTTP. */
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Upstream, UpstreamReply, UpstreamRequest } from '../../proxy/ports.ts';

/** An IP address, never a name: nobody's DNS decides whom a node's metadata is asked of. */
export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
}

/** Each pod has a bound of its own; this one is the node's. */
const maxSockets = 1_024;
/** What a busy moment needs: beyond it a connection ends with its reply, and the next request opens another. */
const maxFreeSockets = 64;
const maxHeaderBytes = 16_384;

const unavailable: UpstreamReply = { kind: 'unavailable' };
const etagForm = /^[A-Za-z0-9_-]{1,64}$/;

export class HttpUpstream implements Upstream {
  readonly #address: UpstreamAddress;
  readonly #agent = new Agent({ keepAlive: true, maxSockets, maxFreeSockets });

  constructor(address: UpstreamAddress) {
    this.#address = address;
  }

  async get(request: UpstreamRequest, signal: AbortSignal): Promise<UpstreamReply> {
    const first = await this.#attempt(request, signal);
    // The server closed a kept connection at the moment it was used again.
    const reply = first === 'stale-connection' ? await this.#attempt(request, signal) : first;
    return reply === 'stale-connection' ? unavailable : reply;
  }

  /** Ends all connections. */
  close(): void {
    this.#agent.destroy();
  }

  #attempt(asked: UpstreamRequest, signal: AbortSignal): Promise<UpstreamReply | 'stale-connection'> {
    const { promise, resolve } = Promise.withResolvers<UpstreamReply | 'stale-connection'>();
    if (signal.aborted) return Promise.resolve(unavailable);
    const request = this.#send(asked.target, signal);
    request.on('response', (response) => void read(response, asked).then(resolve));
    request.on('error', (error: NodeJS.ErrnoException) => {
      const isStale = request.reusedSocket && error.code === 'ECONNRESET' && !signal.aborted;
      resolve(isStale ? 'stale-connection' : unavailable);
    });
    request.on('upgrade', (_response, socket) => {
      socket.destroy();
      resolve(unavailable);
    });
    request.end();
    return promise;
  }

  /** These headers and no others, whatever a pod sent. */
  #send(target: string, signal: AbortSignal): ClientRequest {
    const { host, port } = this.#address;
    return httpRequest({
      host,
      port,
      path: target,
      method: 'GET',
      agent: this.#agent,
      signal,
      maxHeaderSize: maxHeaderBytes,
      insecureHTTPParser: false,
      headers: { Host: 'metadata.google.internal', 'Metadata-Flavor': 'Google', 'User-Agent': 'metaveil' },
    });
  }
}

/** Only a metadata server says `Metadata-Flavor: Google`; anything else at the address gets no word to a pod. */
async function read(response: IncomingMessage, asked: UpstreamRequest): Promise<UpstreamReply> {
  const { headers, statusCode: status = 0 } = response;
  const body = headers['metadata-flavor'] === 'Google' ? await readText(response, asked) : undefined;
  if (body === undefined) {
    response.destroy();
    return unavailable;
  }
  const { etag = '' } = headers;
  const json = /^application\/json\b/i.test(headers['content-type'] ?? '');
  return { kind: 'answered', status, json, body, ...(etagForm.test(etag) && { etag }) };
}

/** Undefined for a body that is too long, is cut off, or is in a coding nobody asked for. */
function readText(response: IncomingMessage, asked: UpstreamRequest): Promise<string | undefined> {
  if (response.headers['content-encoding'] !== undefined) return Promise.resolve(undefined);
  if (asked.withoutBody === true) {
    response.destroy();
    return Promise.resolve('');
  }
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const chunks: Buffer[] = [];
  let size = 0;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > asked.maxBytes) resolve(undefined);
    else chunks.push(chunk);
  });
  response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
  response.on('error', () => resolve(undefined));
  response.on('close', () => resolve(undefined));
  return promise;
}
