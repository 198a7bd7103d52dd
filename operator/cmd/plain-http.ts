/** A small server without authentication: bounded in time and connections, because anybody who reaches it may ask. */
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { MetaveilError } from '../core/errors.ts';
import type { HostPort } from './controller-configuration.ts';

const maxConnections = 64;

/** Rejects with invalid-configuration when the address cannot be used. */
export async function servePlain({ host, port }: HostPort, listener: RequestListener): Promise<Server> {
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, listener);
  server.maxConnections = maxConnections;
  // Who does not read the reply is cut off, too.
  server.setTimeout(15_000);
  const listening = Promise.withResolvers<undefined>();
  server.once('error', (cause) =>
    listening.reject(new MetaveilError('invalid-configuration', `cannot listen on ${host}:${port}`, { cause })),
  );
  server.listen(port, host, () => listening.resolve(undefined));
  await listening.promise;
  return server;
}
