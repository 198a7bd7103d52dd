/** What the clients of Cloud Storage ask when they list buckets. It writes down with which token they come. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const buckets = ['first-bucket', 'second-bucket'] as const;

const items = buckets.map((name) => ({ kind: 'storage#bucket', id: name, name }));

export class FakeStorage implements AsyncDisposable {
  readonly #server = createServer((request, response) => this.#serve(request, response));
  /** Bearer tokens of all requests; '' for one without. */
  readonly tokens: string[] = [];

  /** On a free port of 127.0.0.1, which it returns. */
  async listen(): Promise<number> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const [path] = (request.url ?? '').split('?');
    const token = /^Bearer (\S+)$/u.exec(request.headers.authorization ?? '')?.[1] ?? '';
    this.tokens.push(token);
    if (token === '') send(response, 401, { error: { code: 401, message: 'Anonymous caller.' } });
    else if (path === '/storage/v1/b') send(response, 200, { kind: 'storage#buckets', items });
    else send(response, 404, { error: { code: 404, message: 'Not found' } });
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json; charset=UTF-8' }).end(JSON.stringify(body));
}
