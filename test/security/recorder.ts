/** A TCP relay before the metadata server that keeps what the proxy sent, byte for byte. Loopback only. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
}

export class Recorder {
  /** Each request as it was sent, with the empty line that ends it; none of ours has a body. */
  readonly requests: string[] = [];
  /** Connections that were ever made. */
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Starts to relay to `target`. */
  static async start(target: UpstreamAddress): Promise<Recorder> {
    const server = createServer();
    const recorder = new Recorder(server);
    server.on('connection', (socket) => recorder.#relay(socket, target));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return recorder;
  }

  get address(): UpstreamAddress {
    return { host: '127.0.0.1', port: (this.#server.address() as AddressInfo).port };
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #relay(inside: Socket, target: UpstreamAddress): void {
    this.connections += 1;
    const outside = connect(target);
    let unread = '';
    inside.on('data', (chunk: Buffer) => {
      unread += chunk.toString('latin1');
      for (let end = unread.indexOf('\r\n\r\n'); end !== -1; end = unread.indexOf('\r\n\r\n')) {
        this.requests.push(unread.slice(0, end + 4));
        unread = unread.slice(end + 4);
      }
    });
    // Bytes that make up no request are shown as well, so that nothing goes unseen.
    inside.on('close', () => unread !== '' && this.requests.push(unread));
    for (const socket of [inside, outside]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => this.#sockets.delete(socket));
    }
    inside.pipe(outside).pipe(inside);
  }
}

/** What the proxy must send for a target, and nothing else, whatever a pod sent. */
export function canonicalRequest(target: string): string {
  const headers = ['Host: metadata.google.internal', 'Metadata-Flavor: Google', 'User-Agent: metaveil'];
  return [`GET ${target} HTTP/1.1`, ...headers, 'Connection: keep-alive', '', ''].join('\r\n');
}
