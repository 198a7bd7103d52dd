import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Faults, type Fault } from './faults.ts';
import type { IamCredentials } from './iam-credentials.ts';
import type { IdentityTokens } from './identity-tokens.ts';
import { apiError, json, noSuchPath, type Reply } from './replies.ts';
import { RequestLog, type LoggedRequest } from './requests.ts';
import { decoded, routeOf, type Route } from './routes.ts';
import type { SecurityTokenService } from './sts.ts';

/** Bytes of a request's body; a real one has a token and little else. */
const maxBodyBytes = 64 * 1024;

export interface Services {
  readonly sts: SecurityTokenService;
  readonly iam: IamCredentials;
  readonly identityTokens: IdentityTokens;
}

/** Routes requests to the emulated services, after the fault that is due, and writes them down. */
export class FrontEnd {
  readonly faults = new Faults();
  readonly log = new RequestLog();
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, path } = requestLineOf(request);
    const route = routeOf(method, path);
    const service = route === undefined || route.kind === 'certificates' ? 'other' : route.service;
    const complete = this.log.add({ service, method, path: decoded(path) ?? path });
    response.on('finish', () => complete({ status: response.statusCode }));
    const fault = service === 'other' ? undefined : this.faults.next(service);
    try {
      const body = await readBody(request);
      if (fault !== undefined && (await strike(fault, response)) === 'done') return;
      send(response, await this.#answer(route, request, body, complete));
    } catch {
      // The client went away, or sent more than any real one does.
      response.destroy();
    }
  }

  async #answer(
    route: Route | undefined,
    request: IncomingMessage,
    body: string,
    complete: (more: Partial<LoggedRequest>) => void,
  ): Promise<Reply> {
    if (route === undefined) return noSuchPath;
    if (route.kind === 'certificates') return json(200, await this.#services.identityTokens.certificates());
    if (route.kind === 'token') {
      const form = new URLSearchParams(isForm(request) ? body : '');
      complete({ audience: form.get('audience') ?? '', scope: form.get('scope') ?? '' });
      return await this.#services.sts.exchange(form);
    }
    // The service finds the project by the account; naming one is an error there too.
    if (route.project !== '-') return apiError(400);
    const { account, method } = route;
    const authorization = request.headers.authorization ?? '';
    return await this.#services.iam.handle({ account, method, authorization, body: parseObject(body) });
  }
}

/** `done` when the fault has dealt with the request. */
async function strike(fault: Fault, response: ServerResponse): Promise<'done' | 'serve'> {
  switch (fault.kind) {
    case 'hang':
      return 'done';
    case 'reset':
      response.destroy();
      return 'done';
    case 'slow':
      await delay(fault.ms);
      return 'serve';
    case 'reply':
      send(response, faultReply(fault));
      return 'done';
  }
}

function faultReply(fault: Fault & { kind: 'reply' }): Reply {
  const reply = apiError(fault.status);
  return {
    ...reply,
    body: fault.body ?? reply.body,
    contentType: fault.contentType ?? reply.contentType,
    ...(fault.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: fault.retryAfterSeconds }),
  };
}

function send(response: ServerResponse, reply: Reply): void {
  const retryAfter = reply.retryAfterSeconds === undefined ? {} : { 'Retry-After': reply.retryAfterSeconds };
  response.writeHead(reply.status, {
    'Content-Type': reply.contentType,
    'Content-Length': Buffer.byteLength(reply.body),
    'Cache-Control': 'private',
    ...retryAfter,
  });
  response.end(reply.body);
}

function requestLineOf({ method = '', url = '' }: IncomingMessage): { readonly method: string; readonly path: string } {
  return { method, path: url.split('?', 1)[0] ?? '' };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBodyBytes) throw new Error('The request is too large.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function isForm(request: IncomingMessage): boolean {
  return (request.headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded');
}

function parseObject(body: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? { ...parsed } : undefined;
  } catch {
    return undefined;
  }
}
