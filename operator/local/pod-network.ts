/**
 * Stands in for a pod's network namespace: whoever connects to the returned port reaches the proxy from the pod's own
 * address, as through the kernel's redirection. Uses only loopback addresses and needs no privileges (Linux).
 */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface PodNetwork {
  /** Port on 127.0.0.1. */
  readonly port: number;
  close(): Promise<void>;
}

export interface PodNetworkTarget {
  readonly podIP: string;
  readonly proxy: { readonly host: string; readonly port: number };
}

export async function startPodNetwork({ podIP, proxy }: PodNetworkTarget): Promise<PodNetwork> {
  const sockets = new Set<Socket>();
  const server = createServer((inside) => {
    const outside = connect({ ...proxy, localAddress: podIP });
    for (const socket of [inside, outside]) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      // Either side may go at any time; the other one is told by its close.
      socket.on('error', () => undefined);
    }
    inside.pipe(outside).pipe(inside);
    inside.once('close', () => outside.destroy());
    outside.once('close', () => inside.destroy());
  });
  const listening = Promise.withResolvers<undefined>();
  server.once('error', listening.reject);
  server.listen(0, '127.0.0.1', () => listening.resolve(undefined));
  await listening.promise;
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = Promise.withResolvers<undefined>();
      server.close(() => closed.resolve(undefined));
      for (const socket of sockets) socket.destroy();
      await closed.promise;
    },
  };
}
