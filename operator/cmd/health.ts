/** Liveness and readiness of the controller, for kubelet: no data, no authentication, nothing else is served. */
import type { Server } from 'node:http';
import type { HostPort } from './controller-configuration.ts';
import { servePlain } from './plain-http.ts';

export interface HealthChecks {
  /** The store has synced and the node API answers. */
  readonly ready: () => boolean;
}

export function serveHealth(address: HostPort, checks: HealthChecks): Promise<Server> {
  return servePlain(address, (request, response) => {
    response.statusCode = statusOf(request.url ?? '', checks);
    response.end();
  });
}

function statusOf(path: string, { ready }: HealthChecks): number {
  if (path === '/healthz') return 200;
  if (path === '/readyz') return ready() ? 200 : 503;
  return 404;
}
