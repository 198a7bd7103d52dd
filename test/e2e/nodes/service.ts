import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A Service as kube-proxy does it: one address, each new connection to the next of its endpoints. */
export class StandInService {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #endpoints: readonly number[] = [];
  #next = 0;

  static async start(): Promise<StandInService> {
    const service = new StandInService();
    await once(service.#server.listen(0, '127.0.0.1'), 'listening');
    return service;
  }

  private constructor() {
    this.#server = createServer((inside) => this.#forward(inside));
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ports on 127.0.0.1. Connections that exist stay. */
  lead(...ports: readonly number[]): void {
    this.#endpoints = ports;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #forward(inside: Socket): void {
    this.#next += 1;
    const port = this.#endpoints[this.#next % this.#endpoints.length];
    this.#keep(inside);
    if (port === undefined) {
      inside.resetAndDestroy();
      return;
    }
    const outside = connect(port, '127.0.0.1');
    this.#keep(outside);
    inside.pipe(outside).pipe(inside);
    inside.once('close', () => outside.destroy());
    outside.once('close', () => inside.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
  }
}
