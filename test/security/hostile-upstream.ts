/** A metadata server that writes whatever bytes a test says. Loopback only. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { HttpUpstream } from '../../operator/adapters/http/upstream.ts';

/** Bytes after which it stops by itself. */
export const mostWritten = 64 << 20;

export class HostileUpstream {
  readonly client: HttpUpstream;
  connections = 0;
  open = 0;
  /** Bytes of `more` that were written. */
  written = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.client = new HttpUpstream({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  }

  /** Answers each request with `first`, and then writes `more` on and on, as fast as it is taken. */
  static async start(first: string, more = ''): Promise<HostileUpstream> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const upstream = new HostileUpstream(server);
    server.on('connection', (socket) => upstream.#accept(socket, first, more));
    return upstream;
  }

  async close(): Promise<void> {
    this.client.close();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket, first: string, more: string): void {
    this.connections += 1;
    this.open += 1;
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.open -= 1;
      this.#sockets.delete(socket);
    });
    socket.on('data', () => {
      socket.write(first, 'latin1');
      if (more !== '') void this.#goOn(socket, more);
    });
  }

  async #goOn(socket: Socket, more: string): Promise<void> {
    while (!socket.destroyed && this.written < mostWritten) {
      this.written += more.length;
      if (socket.write(more)) await pause(more.length > 1_000 ? 0 : 50);
      else await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve));
    }
  }
}
