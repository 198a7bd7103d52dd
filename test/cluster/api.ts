import { Agent, request } from 'undici';
import type { Kind, Stored } from './kinds.ts';

/** Which object of a kind. A stored object's metadata is one too. */
export interface Ref {
  readonly name: string;
  readonly namespace?: string | undefined;
}

export interface Selection {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ApplyOptions {
  /** Default "test". */
  readonly fieldManager?: string;
  /** Default false: a conflict is an error. */
  readonly force?: boolean;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly uid?: string;
}

export type PatchType = 'merge' | 'strategic' | 'json';

export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: Stored<T>;
}

export interface RawRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With leading slash, as "/api/v1/pods"; may carry a query. */
  readonly path: string;
  readonly body?: unknown;
  /** Default application/json. */
  readonly contentType?: string;
}

/** The API server's refusal: its HTTP status, its machine-readable reason and its sentence. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string, message: string) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.reason = reason;
  }
}

/** True for the API server's refusal with one of these HTTP statuses. */
export function isApiError(error: unknown, ...codes: number[]): error is ApiError {
  return error instanceof ApiError && codes.includes(error.code);
}

/**
 * A small client of its own, so that tests do not see the API server through the product's adapters.
 * Every method throws ApiError when the server refuses, and undici's errors when it cannot be reached.
 */
export class Api {
  readonly #server: string;
  readonly #token: string | undefined;
  readonly #agent: Agent;

  /** @param ca the PEM of the authority that signed the server's certificate; @param token none: anonymous */
  constructor(server: string, ca: string, token?: string) {
    this.#server = server;
    this.#token = token;
    // No body time-out: a watch may be silent for as long as nothing changes.
    this.#agent = new Agent({ connect: { ca }, allowH2: false, bodyTimeout: 0, headersTimeout: 60_000 });
  }

  async get<T>(kind: Kind<T>, ref: Ref): Promise<Stored<T>> {
    return (await this.send({ method: 'GET', path: objectPath(kind, ref) })) as Stored<T>;
  }

  /** As get, but undefined when there is no such object. */
  async find<T>(kind: Kind<T>, ref: Ref): Promise<Stored<T> | undefined> {
    return this.get(kind, ref).catch((error: unknown) => {
      if (isApiError(error, 404)) return undefined;
      throw error;
    });
  }

  /** Items lack apiVersion and kind: the API server leaves them out of lists. */
  async list<T>(kind: Kind<T>, selection: Selection = {}): Promise<Stored<T>[]> {
    const path = `${collectionPath(kind, selection.namespace)}?${queryOf(selection).toString()}`;
    return ((await this.send({ method: 'GET', path })) as { items: Stored<T>[] }).items;
  }

  async create<T extends object>(kind: Kind<T>, object: T): Promise<Stored<T>> {
    const body = typed(kind, object);
    return (await this.send({
      method: 'POST',
      path: collectionPath(kind, body.metadata.namespace),
      body,
    })) as Stored<T>;
  }

  /** Replaces the object, or with `subresource: "status"` that part of it. */
  async replace<T extends object>(kind: Kind<T>, object: T, subresource?: string): Promise<Stored<T>> {
    const body = typed(kind, object);
    const path = objectPath(kind, refOf(body), subresource);
    return (await this.send({ method: 'PUT', path, body })) as Stored<T>;
  }

  /** Server-side apply. */
  async apply<T extends object>(kind: Kind<T>, object: T, options: ApplyOptions = {}): Promise<Stored<T>> {
    const body = typed(kind, object);
    const query = new URLSearchParams({ fieldManager: options.fieldManager ?? 'test' });
    if (options.force === true) query.set('force', 'true');
    const path = `${objectPath(kind, refOf(body))}?${query.toString()}`;
    return (await this.send({ method: 'PATCH', path, body, contentType: 'application/apply-patch+yaml' })) as Stored<T>;
  }

  /** @param how the patch's type (default merge) and the subresource it is for */
  async patch<T>(
    kind: Kind<T>,
    ref: Ref,
    patch: unknown,
    how: { type?: PatchType; subresource?: string } = {},
  ): Promise<Stored<T>> {
    const path = objectPath(kind, ref, how.subresource);
    const contentType = CONTENT_TYPES[how.type ?? 'merge'];
    return (await this.send({ method: 'PATCH', path, body: patch, contentType })) as Stored<T>;
  }

  async delete<T>(kind: Kind<T>, ref: Ref, options: DeleteOptions = {}): Promise<void> {
    const { uid, ...rest } = options;
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', ...rest, ...(uid && { preconditions: { uid } }) };
    await this.send({ method: 'DELETE', path: objectPath(kind, ref), body });
  }

  /**
   * Yields the objects there are as ADDED, then every change. Ends when the server closes the stream or `signal`
   * aborts; throws when the connection breaks. It does not reconnect.
   */
  async *watch<T>(kind: Kind<T>, selection: Selection, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
    const query = queryOf(selection);
    query.set('watch', 'true');
    const path = `${collectionPath(kind, selection.namespace)}?${query.toString()}`;
    const reply = await request(this.#server + path, { dispatcher: this.#agent, headers: this.#headers(), signal });
    if (reply.statusCode !== 200) throw refusal(reply.statusCode, await reply.body.text());
    for await (const line of linesOf(reply.body)) {
      const event = JSON.parse(line) as WatchEvent<T> | { type: 'ERROR'; object: StatusBody };
      if (event.type === 'ERROR') throw statusError(event.object, 500);
      yield event;
    }
  }

  /** Any other request; returns the parsed JSON reply, or the text if it is not JSON. */
  async send(raw: RawRequest): Promise<unknown> {
    const reply = await request(this.#server + raw.path, {
      dispatcher: this.#agent,
      method: raw.method,
      headers: { ...this.#headers(), 'content-type': raw.contentType ?? 'application/json' },
      body: raw.body === undefined ? null : JSON.stringify(raw.body),
    });
    const text = await reply.body.text();
    if (reply.statusCode >= 300) throw refusal(reply.statusCode, text);
    return parse(text);
  }

  /** Drops all connections; the client is unusable afterwards. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #headers(): Record<string, string> {
    return this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` };
  }
}

const CONTENT_TYPES: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
};

interface StatusBody {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
}

/** The path of an object, or of a subresource of it, for use with Api.send. */
export function objectPath<T>(kind: Kind<T>, ref: Ref, subresource?: string): string {
  const path = `${collectionPath(kind, ref.namespace)}/${encodeURIComponent(ref.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}

function collectionPath<T>(kind: Kind<T>, namespace?: string): string {
  const group = kind.apiVersion.includes('/') ? `/apis/${kind.apiVersion}` : `/api/${kind.apiVersion}`;
  const scope = kind.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${group}${scope}/${kind.plural}`;
}

function queryOf(selection: Selection): URLSearchParams {
  const query = new URLSearchParams();
  if (selection.labelSelector !== undefined) query.set('labelSelector', selection.labelSelector);
  if (selection.fieldSelector !== undefined) query.set('fieldSelector', selection.fieldSelector);
  return query;
}

type Typed = Record<string, unknown> & { readonly metadata: { readonly name?: string; readonly namespace?: string } };

function typed<T extends object>(kind: Kind<T>, object: T): Typed {
  return { metadata: {}, ...object, apiVersion: kind.apiVersion, kind: kind.kind };
}

function refOf(object: Typed): Ref {
  const { name, namespace } = object.metadata;
  if (name === undefined) throw new TypeError('the object has no metadata.name');
  return { name, namespace };
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

function refusal(statusCode: number, text: string): ApiError {
  const body = parse(text);
  return typeof body === 'object' && body !== null
    ? statusError(body, statusCode)
    : new ApiError(statusCode, 'Unknown', String(body));
}

function statusError(status: StatusBody, statusCode: number): ApiError {
  return new ApiError(status.code ?? statusCode, status.reason ?? 'Unknown', status.message ?? JSON.stringify(status));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
