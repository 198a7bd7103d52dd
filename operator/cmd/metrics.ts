/** `GET /metrics` of the controller, for Prometheus: numbers and names of objects, no secret, no authentication. */
import type { Server, ServerResponse } from 'node:http';
import type { Clock } from '../core/time.ts';
import type { HostPort } from './controller-configuration.ts';
import { servePlain } from './plain-http.ts';

export interface Exposition {
  readonly contentType: string;
  exposition(): Promise<string>;
}

/** Who asks more often gets the same text again, in ms: a large one costs time that the node API needs. */
const freshMs = 2_000;

export function serveMetrics(address: HostPort, source: Exposition, clock: Clock): Promise<Server> {
  const text = remembered(() => source.exposition(), clock);
  return servePlain(address, (request, response) => {
    if (request.method === 'GET' && request.url === '/metrics') void answer(response, source.contentType, text());
    else response.writeHead(404).end();
  });
}

async function answer(response: ServerResponse, contentType: string, text: Promise<string>): Promise<void> {
  try {
    const body = await text;
    response.writeHead(200, { 'content-type': contentType }).end(body);
  } catch {
    response.writeHead(500).end();
  }
}

function remembered(make: () => Promise<string>, clock: Clock): () => Promise<string> {
  let made: { readonly text: Promise<string>; readonly at: number } | undefined;
  return () => {
    if (made === undefined || clock.now() - made.at >= freshMs) made = { text: make(), at: clock.now() };
    return made.text;
  };
}
