/** Servers of the test's own process as network namespaces see them. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import type { Network } from '../../netns/network.ts';

/** A unix socket that leads to a port on 127.0.0.1. Resolves with how to close it. */
export async function openSocket(path: string, port: number): Promise<() => Promise<void>> {
  const server = createServer((inside) => {
    const outside = connect(port, '127.0.0.1');
    for (const each of [inside, outside]) each.on('error', () => undefined);
    inside.on('close', () => outside.destroy());
    outside.on('close', () => inside.destroy());
    inside.pipe(outside).pipe(inside);
  });
  await once(server.listen(path), 'listening');
  return () => {
    server.close();
    return Promise.resolve();
  };
}

/** An address and port in a namespace that lead to a unix socket; it ends with the network. */
export async function relay(
  network: Network,
  place: string,
  at: { readonly host: string; readonly port: number },
  socket: string,
): Promise<void> {
  const program = join(import.meta.dirname, 'relay.ts');
  const child = network.spawn(place, [process.execPath, program, at.host, String(at.port), socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (child.stdout !== null) await once(child.stdout, 'data');
}
