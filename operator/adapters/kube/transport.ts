import type { KubeConfig } from '@kubernetes/client-node';
import { request, type Dispatcher } from 'undici';
import { MetaveilError } from '../../core/errors.ts';
import { pause, type Timers } from '../../core/time.ts';
import { Backoff } from './backoff.ts';
import { withDeadline } from './deadline.ts';
import { SharedDispatcher, type Lane } from './dispatcher.ts';
import { errorOfConnection, failureOf, type ApiFailure } from './failure.ts';

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Begins with a slash, segments encoded; may carry a query. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** JSON text. */
  readonly body?: string;
  /** Default application/json. */
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
  /** For the whole call, waiting and repetitions included; default 15 s. */
  readonly deadlineMs?: number;
  /** Largest reply that is read; default 8 MiB. */
  readonly maxBytes?: number;
  /** Default `calls`. On `standing` a call is not repeated: for the lease, which must not stand behind other calls. */
  readonly lane?: Lane;
}

/** How the API server answered. `value` is `text`, parsed. */
export type ApiReply =
  | { readonly kind: 'ok'; readonly text: string; readonly value: unknown }
  | { readonly kind: 'failed'; readonly failure: ApiFailure }
  | { readonly kind: 'too-large'; readonly maxBytes: number };

export type ApiStream =
  | { readonly kind: 'open'; readonly chunks: AsyncIterable<Uint8Array> }
  | { readonly kind: 'failed'; readonly failure: ApiFailure };

export interface TransportOptions {
  readonly kubeConfig: KubeConfig;
  /** For example `metaveil/1.0.0 controller`. */
  readonly userAgent: string;
  readonly timers: Timers;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

const defaultDeadlineMs = 15_000;
const defaultMaxBytes = 8 << 20;
const mostAttempts = 4;

type RawReply = Dispatcher.ResponseData;

/** Carries every byte to and from the API server. All it throws is MetaveilError. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #dispatcher: SharedDispatcher;
  readonly #server: string;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#dispatcher = new SharedDispatcher(options.kubeConfig);
    this.#server = options.kubeConfig.getCurrentCluster()?.server.replace(/\/+$/, '') ?? '';
  }

  /** Scheme, host and path prefix of the API server, without a slash at the end. */
  get server(): string {
    return this.#server;
  }

  /**
   * Sends one request and reads the whole reply. Repeats it after a broken connection and when the server asks to come
   * back later (Retry-After), as long as the deadline allows: everything Metaveil sends may safely arrive twice.
   *
   * @throws {MetaveilError} kubernetes-unavailable, deadline-exceeded, invalid-configuration (no credentials)
   */
  async send(call: ApiRequest): Promise<ApiReply> {
    const what = describe(call);
    const ms = call.deadlineMs ?? defaultDeadlineMs;
    return withDeadline({ timers: this.#options.timers, ms, what, signal: call.signal }, (signal) =>
      call.lane === 'standing' ? this.#exchange(call, signal) : this.#sendRepeatedly(call, signal),
    );
  }

  /** Opens a watch. The deadline is for the reply's head; afterwards only `stream` ends it. */
  async open(call: ApiRequest, stream: AbortController): Promise<ApiStream> {
    const what = describe(call);
    const ms = call.deadlineMs ?? defaultDeadlineMs;
    return withDeadline({ timers: this.#options.timers, ms, what, signal: stream.signal }, async (head) => {
      head.addEventListener('abort', () => {
        stream.abort(head.reason);
      });
      const reply = await this.#dispatch({ ...call, lane: 'standing' }, stream.signal);
      if (reply.statusCode === 200) return { kind: 'open', chunks: reply.body };
      return { kind: 'failed', failure: await readFailure(reply) };
    });
  }

  /** Breaks all connections. */
  async close(): Promise<void> {
    await this.#dispatcher.close();
  }

  async #sendRepeatedly(call: ApiRequest, signal: AbortSignal): Promise<ApiReply> {
    const backoff = new Backoff({ firstMs: 100, longestMs: 2_000, random: this.#options.random });
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#attempt(call, signal);
      const delayMs = attempt < mostAttempts ? repeatAfterMs(outcome, backoff) : undefined;
      if (delayMs === undefined || signal.aborted) return settled(outcome);
      await pause(this.#options.timers, delayMs, signal);
      signal.throwIfAborted();
    }
  }

  async #attempt(call: ApiRequest, signal: AbortSignal): Promise<Attempt> {
    try {
      return await this.#exchange(call, signal);
    } catch (error) {
      return { kind: 'broken', error: errorOfConnection(describe(call), error) };
    }
  }

  async #exchange(call: ApiRequest, signal: AbortSignal): Promise<ApiReply> {
    const reply = await this.#dispatch(call, signal);
    if (reply.statusCode >= 300) return { kind: 'failed', failure: await readFailure(reply) };
    const maxBytes = call.maxBytes ?? defaultMaxBytes;
    const text = await readText(reply, maxBytes).catch((error: unknown) => {
      throw errorOfConnection(describe(call), error);
    });
    if (text === undefined) return { kind: 'too-large', maxBytes };
    return { kind: 'ok', text, value: parse(call, text) };
  }

  async #dispatch(call: ApiRequest, signal: AbortSignal): Promise<RawReply> {
    const { dispatcher, headers } = await this.#dispatcher.access(call.lane ?? 'calls');
    try {
      return await request(this.#server + call.path, {
        dispatcher,
        signal,
        method: call.method,
        ...(call.query !== undefined && { query: call.query }),
        headers: {
          // JSON of any kind: the signing keys are served as application/jwk-set+json only.
          accept: 'application/json, */*;q=0.8',
          'user-agent': this.#options.userAgent,
          ...(call.body !== undefined && { 'content-type': call.contentType ?? 'application/json' }),
          ...headers,
        },
        body: call.body ?? null,
      });
    } catch (error) {
      throw errorOfConnection(describe(call), error);
    }
  }
}

type Attempt = ApiReply | { readonly kind: 'broken'; readonly error: MetaveilError };

/** Undefined: the outcome stands. */
function repeatAfterMs(outcome: Attempt, backoff: Backoff): number | undefined {
  if (outcome.kind === 'broken') return outcome.error.code === 'kubernetes-unavailable' ? backoff.next() : undefined;
  if (outcome.kind !== 'failed' || outcome.failure.retryAfterMs === undefined) return undefined;
  const { status, retryAfterMs } = outcome.failure;
  return status === 429 || status >= 500 ? Math.max(retryAfterMs, backoff.next()) : undefined;
}

function settled(outcome: Attempt): ApiReply {
  if (outcome.kind === 'broken') throw outcome.error;
  return outcome;
}

/** The query is left out: it names selectors and continue tokens, which help nobody. */
function describe(call: ApiRequest): string {
  return `${call.method} ${call.path.split('?', 1)[0] ?? ''}`;
}

const maxFailureBytes = 64 << 10;

async function readFailure(reply: RawReply): Promise<ApiFailure> {
  const header = reply.headers['retry-after'];
  const body = await readText(reply, maxFailureBytes).catch(() => undefined);
  return failureOf(reply.statusCode, body ?? '', typeof header === 'string' ? header : undefined);
}

/** Undefined when there is more than `maxBytes`; the connection is given up then. */
async function readText(reply: RawReply, maxBytes: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of reply.body as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    // Leaving the loop destroys the body.
    if (size > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** JSON.parse quotes in its message what it cannot read, which may be a token. */
function parse(call: ApiRequest, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new MetaveilError('kubernetes-unavailable', `${describe(call)}: the reply is not JSON`);
  }
}
