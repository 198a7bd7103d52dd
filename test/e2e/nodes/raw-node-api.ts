/** The node API as somebody calls it who has stolen a credential, or made one up. */
import { request } from 'node:https';
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
  return call(api, credential, '/v1/token', JSON.stringify({ workload: podUid, wish }));
}

async function call({ port, ca }: RawNodeApi, credential: string, path: string, body: string): Promise<RawReply> {
  const outgoing = request({
    ...{ host: '127.0.0.1', port, path, ca, agent: false, method: 'POST' },
    servername: 'metaveil-controller.metaveil-system.svc',
    headers: {
      authorization: `Bearer ${credential}`,
      'metaveil-protocol': '1-1',
      'content-length': Buffer.byteLength(body),
    },
  });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: JSON.parse(await text(response)) as RawReply['body'] };
}
