/**
 * The metadata server of a GCE VM on loopback: what the proxy has upstream on such a node. It serves secrets with a
 * canary in them to everybody who asks properly, and writes down who asked for what.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  answerTree,
  computeMetadataListing,
  forwarded,
  methodNotAllowed,
  missingHeader,
  notFound,
  rootListing,
  type Answer,
} from './answers.ts';
import { defaultInstance, treeOf, type GceInstance } from './instance.ts';
import { targetOf, type GceTarget } from './request.ts';

export interface GceRequest {
  readonly method: string;
  /** As it arrived, query included. */
  readonly target: string;
  /** As they arrived: name, value, name, value. */
  readonly rawHeaders: readonly string[];
  /** HTTP status of the answer; undefined while there is none. */
  readonly status: number | undefined;
}

export interface GceEmulatorOptions {
  /** Loopback port; 0 (default): a free one. */
  readonly port?: number;
  readonly instance?: Partial<GceInstance>;
}

export interface GceEmulator {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** Changes values of the VM; requests that wait for a change are answered. */
  update(change: Partial<GceInstance>): void;
  /** Answers every request with this status, as during host maintenance (503); undefined: as usual again. */
  answerWith(status: number | undefined): void;
  /** Latest requests, oldest first. */
  requests(): readonly GceRequest[];
  /** Ends all connections and stops. */
  close(): Promise<void>;
}

const maxRequests = 2_000;
/** The real server answers a wait without a limit of its own; here a forgotten one must end. */
const maxWaitSeconds = 300;

/** Starts on 127.0.0.1. */
export async function startGceEmulator(options: GceEmulatorOptions = {}): Promise<GceEmulator> {
  const vm = new MetadataServer({ ...defaultInstance, ...options.instance });
  const server = createServer((request, response) => void vm.serve(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    update: (change) => vm.update(change),
    answerWith: (status) => vm.answerWith(status),
    requests: () => [...vm.requests],
    close: () => stop(server),
  };
}

class MetadataServer {
  readonly requests: GceRequest[] = [];
  #instance: GceInstance;
  readonly #changed = new EventTarget();
  #failing: number | undefined;

  constructor(instance: GceInstance) {
    this.#instance = instance;
  }

  update(change: Partial<GceInstance>): void {
    this.#instance = { ...this.#instance, ...change };
    this.#changed.dispatchEvent(new Event('change'));
  }

  answerWith(status: number | undefined): void {
    this.#failing = status;
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: target = '', rawHeaders } = request;
    const entry = { method, target, rawHeaders, status: undefined as number | undefined };
    this.requests.push(entry);
    if (this.requests.length > maxRequests) this.requests.shift();
    const answer = await this.#answer(request, response);
    entry.status = answer.status;
    response.writeHead(answer.status, {
      'Metadata-Flavor': 'Google',
      Server: 'Metadata Server for VM',
      'X-XSS-Protection': '0',
      'X-Frame-Options': 'SAMEORIGIN',
      'Content-Length': Buffer.byteLength(answer.body),
      ...answer.headers,
    });
    response.end(method === 'HEAD' ? undefined : answer.body);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<Answer> {
    if (this.#failing !== undefined) return { status: this.#failing, body: '', headers: {} };
    const { path, query } = splitTarget(request.url ?? '');
    const target = targetOf(path);
    const settled = answerWithoutTree(request, target);
    if (settled !== undefined) return settled;
    if (target.kind !== 'tree') return notFound;
    const location = `http://${request.headers.host ?? ''}${path}/${query.size === 0 ? '' : `?${query.toString()}`}`;
    await this.#waitForChange(target, query, response);
    return answerTree(treeOf(this.#instance), this.#instance, { ...target, query, location });
  }

  /** `wait_for_change=true`: holds while the value still has the ETag the client names, or any if it names none. */
  async #waitForChange(
    target: GceTarget & { kind: 'tree' },
    query: URLSearchParams,
    response: ServerResponse,
  ): Promise<void> {
    if (query.get('wait_for_change')?.toLowerCase() !== 'true') return;
    const etag = (): string | undefined =>
      answerTree(treeOf(this.#instance), this.#instance, { ...target, query, location: 'http://x/' }).headers['ETag'];
    if (etag() === undefined) return;
    const before = query.get('last_etag') ?? etag();
    const limit = Math.min(Number(query.get('timeout_sec')) || maxWaitSeconds, maxWaitSeconds);
    const over = AbortSignal.any([AbortSignal.timeout(limit * 1000), closedSignal(response)]);
    while (etag() === before && !over.aborted) await this.#nextChange(over);
  }

  async #nextChange(over: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const settle = (): void => resolve(undefined);
    this.#changed.addEventListener('change', settle, { once: true });
    over.addEventListener('abort', settle, { once: true });
    await promise;
    this.#changed.removeEventListener('change', settle);
    over.removeEventListener('abort', settle);
  }
}

/** What does not depend on a value, refusals above all. */
function answerWithoutTree({ method, headers }: IncomingMessage, target: GceTarget): Answer | undefined {
  if (method !== 'GET' && method !== 'HEAD') return methodNotAllowed;
  if (target.kind === 'root') return rootListing;
  if (headers['x-forwarded-for'] !== undefined) return forwarded;
  if (target.kind === 'versions') return computeMetadataListing;
  const asksForHeader = target.kind === 'tree' && target.api === 'v1';
  return asksForHeader && headers['metadata-flavor'] !== 'Google' ? missingHeader : undefined;
}

function closedSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => controller.abort());
  return controller.signal;
}

function splitTarget(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const [path = '', ...rest] = target.split('?');
  return { path, query: new URLSearchParams(rest.join('?')) };
}

async function stop(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
