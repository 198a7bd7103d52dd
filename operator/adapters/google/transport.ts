/**
 * The one way out to Google. Google's libraries bring no deadline, retry on their own and put requests with their
 * tokens into errors, so they are given this fetch and never see a failing reply.
 */
import { X509Certificate } from 'node:crypto';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { EnvHttpProxyAgent, fetch, type Dispatcher, type Response as UndiciResponse } from 'undici';
import { MetaveilError } from '../../core/errors.ts';
import { serviceNames, type GoogleService } from './endpoints.ts';
import { publicText, refusalOf } from './refusal.ts';

/** Each field that is absent comes from HTTP_PROXY, HTTPS_PROXY, NO_PROXY in either case. */
export interface ProxySettings {
  readonly httpProxy?: string;
  readonly httpsProxy?: string;
  readonly noProxy?: string;
}

export interface TransportOptions {
  /** Of one HTTP request, from connecting to the last byte, in ms. */
  readonly requestTimeoutMs: number;
  readonly proxy: ProxySettings;
}

/** A request as the libraries hand it over. */
export interface GoogleRequest {
  readonly service: GoogleService;
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly body: string | URLSearchParams;
}

/** A good reply is a few kB; more is not Google. */
const maxReplyBytes = 256 * 1024;
/** Certificate bundles in use at the same time; a rotated-out one is closed. */
const maxBundles = 16;
const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const socketErrors = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

export class GoogleTransport {
  readonly #options: TransportOptions;
  readonly #dispatchers = new LRUCache<string, Dispatcher>({
    max: maxBundles,
    // Graceful: running requests end first. Rejects only for one that is destroyed already.
    dispose: (dispatcher) => void dispatcher.close().catch(() => undefined),
  });

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /**
   * Sends a request and returns the whole reply, always 2xx. `caBundle` is PEM, '' for the public authorities only.
   * Throws google-* for everything else, and deadline-exceeded once `signal` aborts.
   */
  async send(request: GoogleRequest, caBundle: string, signal: AbortSignal): Promise<Response> {
    const dispatcher = this.#dispatcherFor(caBundle);
    const timeout = AbortSignal.timeout(this.#options.requestTimeoutMs);
    const both = AbortSignal.any([signal, timeout]);
    try {
      const reply = await sendOnce(request, dispatcher, both).catch((error: unknown) => {
        // Both calls only issue tokens, so repeating one whose kept-alive connection had just been closed is safe.
        if (!socketErrors.has(networkErrorCode(error))) throw error;
        return sendOnce(request, dispatcher, both);
      });
      return await readReply(request.service, reply);
    } catch (error) {
      if (error instanceof MetaveilError) throw error;
      throw this.#networkError(request.service, error, signal);
    }
  }

  /** Ends all connections at once; running requests fail. */
  async close(): Promise<void> {
    const open = [...this.#dispatchers.values()];
    await Promise.all(open.map((dispatcher) => dispatcher.destroy()));
    this.#dispatchers.clear();
  }

  #dispatcherFor(caBundle: string): Dispatcher {
    const known = this.#dispatchers.get(caBundle);
    if (known !== undefined) return known;
    const created = this.#createDispatcher(caBundle);
    this.#dispatchers.set(caBundle, created);
    return created;
  }

  #createDispatcher(caBundle: string): Dispatcher {
    const tls = { secureContext: secureContextWith(caBundle), timeout: this.#options.requestTimeoutMs };
    return new EnvHttpProxyAgent({
      ...this.#options.proxy,
      connect: tls,
      requestTls: tls,
      allowH2: false,
      keepAliveTimeout: 30_000,
    });
  }

  #networkError(service: GoogleService, error: unknown, signal: AbortSignal): MetaveilError {
    const name = serviceNames[service];
    if (signal.aborted) return new MetaveilError('deadline-exceeded', `${name} was not waited for any longer`);
    if (error instanceof DOMException && error.name === 'TimeoutError') {
      const seconds = this.#options.requestTimeoutMs / 1000;
      return new MetaveilError('google-unavailable', `${name} did not answer within ${seconds} s`);
    }
    return new MetaveilError('google-unavailable', `${name} could not be reached: ${networkErrorText(error)}`);
  }
}

async function sendOnce(request: GoogleRequest, dispatcher: Dispatcher, signal: AbortSignal): Promise<UndiciResponse> {
  const headers = Object.fromEntries(request.headers);
  return await fetch(request.url, {
    method: request.method,
    headers: { 'user-agent': 'metaveil', ...headers },
    body: request.body,
    // A redirect would carry the bearer token to a host that nobody configured.
    redirect: 'manual',
    dispatcher,
    signal,
  });
}

async function readReply(service: GoogleService, reply: UndiciResponse): Promise<Response> {
  const body = await readBounded(service, reply);
  if (!reply.ok) throw refusalOf({ service, status: reply.status, body });
  return new Response(body, { status: reply.status, headers: { 'content-type': 'application/json' } });
}

async function readBounded(service: GoogleService, reply: UndiciResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const stream: AsyncIterable<Uint8Array> | undefined = reply.body ?? undefined;
  for await (const chunk of stream ?? []) {
    size += chunk.byteLength;
    if (size > maxReplyBytes) {
      throw new MetaveilError('google-unavailable', `${serviceNames[service]} sent more than ${maxReplyBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Made once per bundle: building it per connection would parse all public authorities each time. */
function secureContextWith(caBundle: string): SecureContext {
  if (caBundle === '') return createSecureContext();
  return createSecureContext({ ca: [...getCACertificates('default'), ...certificatesIn(caBundle)] });
}

/** Node takes a bundle it cannot read for an empty one, and then the fault shows as an untrusted Google. */
function certificatesIn(caBundle: string): readonly string[] {
  const blocks = caBundle.match(pemCertificate) ?? [];
  try {
    if (blocks.length === 0) throw new Error('no certificate found');
    return blocks.map((block) => new X509Certificate(block).toString());
  } catch (cause) {
    throw new MetaveilError('invalid-configuration', 'caBundle is not PEM certificates', { cause });
  }
}

/** fetch hides the system's error in `cause`. */
function networkErrorCode(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
}

function networkErrorText(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return publicText(cause instanceof Error ? cause.message || networkErrorCode(error) : 'unknown error');
}
