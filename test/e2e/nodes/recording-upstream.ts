/** The emulated metadata server of a VM behind a relay that can answer errors in its place. Loopback only. */
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startGceEmulator, type GceEmulator } from '../../../operator/local/gce/emulator.ts';
import type { PlantedReply } from './recording-google.ts';

export class RecordingUpstream {
  /** What to answer instead, with the headers of a metadata server. */
  instead: PlantedReply | undefined;
  readonly #server: Server;
  readonly #gce: GceEmulator;

  private constructor(server: Server, gce: GceEmulator) {
    this.#server = server;
    this.#gce = gce;
  }

  static async start(): Promise<RecordingUpstream> {
    const gce = await startGceEmulator();
    const server = createServer();
    const upstream = new RecordingUpstream(server, gce);
    const [host = '', port = ''] = gce.host.split(':');
    server.on('request', (incoming, outgoing) => {
      const { instead } = upstream;
      if (instead !== undefined) {
        outgoing.writeHead(instead.status, { 'Metadata-Flavor': 'Google', 'X-Canary': instead.body });
        outgoing.end(instead.body);
        return;
      }
      const { url: path = '', headers } = incoming;
      const asked = httpRequest({ host, port, path, headers, agent: false }, (reply) => {
        outgoing.writeHead(reply.statusCode ?? 0, reply.headers);
        reply.pipe(outgoing);
      });
      asked.on('error', () => outgoing.destroy());
      asked.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return upstream;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
    await this.#gce.close();
  }
}
