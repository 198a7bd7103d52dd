/** A relay before the emulated Google that keeps every secret which passes, and can answer in its place. Loopback only. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { GoogleEmulator } from '../../../operator/local/google/emulator.ts';

export type GoogleSecret = 'TokenRequest' | 'STS' | 'generateAccessToken' | 'generateIdToken';

export interface PlantedReply {
  readonly status: number;
  readonly body: string;
}

export type GoogleService = 'sts' | 'iamcredentials';

export class RecordingGoogle {
  /** What passed, by where it comes from. */
  readonly secrets: Readonly<Record<GoogleSecret, Set<string>>> = {
    TokenRequest: new Set(),
    STS: new Set(),
    generateAccessToken: new Set(),
    generateIdToken: new Set(),
  };
  /** What to answer instead; `credential` is the secret that the request carries. */
  instead: ((service: GoogleService, credential: string) => PlantedReply | undefined) | undefined;
  readonly #server: Server;
  readonly #google: GoogleEmulator;

  private constructor(server: Server, google: GoogleEmulator) {
    this.#server = server;
    this.#google = google;
  }

  static async start(google: GoogleEmulator): Promise<RecordingGoogle> {
    const server = createServer();
    const recording = new RecordingGoogle(server, google);
    server.on('request', (request, response) => void recording.#serve(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return recording;
  }

  /** The emulator as a provider names it: reached through this relay. */
  get endpoints(): GoogleEmulator {
    const url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return { ...this.#google, stsEndpoint: url, iamCredentialsEndpoint: url };
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const path = request.url ?? '';
    const service: GoogleService = path.startsWith('/v1/token') ? 'sts' : 'iamcredentials';
    const credential =
      service === 'sts'
        ? (new URLSearchParams(body).get('subject_token') ?? '')
        : (request.headers.authorization ?? '').replace(/^Bearer /iu, '');
    if (service === 'sts') this.secrets.TokenRequest.add(credential);
    const planted = this.instead?.(service, credential);
    const answer = planted ?? (await this.#forward(path, request, body));
    if (planted === undefined) this.#keep(path, answer.body);
    response.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(answer.body);
  }

  async #forward(path: string, { headers }: IncomingMessage, body: string): Promise<PlantedReply> {
    const sent = Object.entries(headers).filter(([name]) => ['content-type', 'authorization'].includes(name));
    const reply = await fetch(`${this.#google.stsEndpoint}${path}`, {
      method: 'POST',
      headers: sent.map(([name, value]): [string, string] => [name, String(value)]),
      body,
    });
    return { status: reply.status, body: await reply.text() };
  }

  #keep(path: string, body: string): void {
    const reply = JSON.parse(body) as { access_token?: string; accessToken?: string; token?: string };
    if (reply.access_token !== undefined) this.secrets.STS.add(reply.access_token);
    if (reply.accessToken !== undefined) this.secrets.generateAccessToken.add(reply.accessToken);
    if (reply.token !== undefined && path.includes('generateIdToken')) this.secrets.generateIdToken.add(reply.token);
  }
}
