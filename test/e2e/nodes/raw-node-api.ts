/** The node API as somebody calls it who has stolen a credential, or made one up. */
import { request } from 'node:https';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';

export interface RawReply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface RawNodeApi {
  readonly port: number;
  readonly ca: string;
}

/** Calls the method `token` for the pod with that uid. */
export async function askForToken(api: RawNodeApi, credential: string, podUid: string): Promise<RawReply> {
  const wish = { kind: 'access', scopes: ['https://www.googleapis.com/auth/cloud-platform'] };
  const response = await call(api, credential, {
    method: 'POST',
    path: '/v1/token',
    body: JSON.stringify({ workload: podUid, wish }),
  });
  return { status: response.statusCode ?? 0, body: JSON.parse(await text(response)) as RawReply['body'] };
}

/** Calls the method `watch` and returns the first snapshot as it came; the real proxy's watch is replaced by it. */
export async function readSnapshot(api: RawNodeApi, credential: string): Promise<string> {
  const response = await call(api, credential, { method: 'GET', path: '/v1/watch' });
  for await (const line of createInterface({ input: response })) {
    const { type } = JSON.parse(line) as { readonly type?: string };
    if (type !== 'snapshot') continue;
    response.destroy();
    return line;
  }
  throw new Error(`the watch ended with status ${response.statusCode ?? 0} and without a snapshot`);
}

interface Outgoing {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string;
}

async function call({ port, ca }: RawNodeApi, credential: string, outgoing: Outgoing): Promise<IncomingMessage> {
  const { method, path, body = '' } = outgoing;
  const sent = request({
    ...{ host: '127.0.0.1', port, path, ca, agent: false, method },
    servername: 'metaveil-controller.metaveil-system.svc',
    headers: {
      authorization: `Bearer ${credential}`,
      'metaveil-protocol': '1-1',
      'content-length': Buffer.byteLength(body),
    },
  });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return response;
}
