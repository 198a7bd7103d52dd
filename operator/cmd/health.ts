/** Liveness and readiness of the controller, for kubelet: no data, no authentication, nothing else is served. */
import { createServer } from 'node:http';
import type { Server } from 'node:http';

export interface HealthChecks {
  /** The store has synced and the node API answers. */
  readonly ready: () => boolean;
}

export async function serveHealth(
  address: { readonly host: string; readonly port: number },
  checks: HealthChecks,
): Promise<Server> {
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, (request, response) => {
    response.statusCode = statusOf(request.url ?? '', checks);
    response.end();
  });
  const listening = Promise.withResolvers<undefined>();
  server.once('error', listening.reject);
  server.listen(address.port, address.host, () => listening.resolve(undefined));
  await listening.promise;
  return server;
}

function statusOf(path: string, { ready }: HealthChecks): number {
  if (path === '/healthz') return 200;
  if (path === '/readyz') return ready() ? 200 : 503;
  return 404;
}
