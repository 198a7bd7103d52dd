import type { KubeConfig } from '@kubernetes/client-node';
import type { RequestOptions } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { Agent, ProxyAgent, type Dispatcher } from 'undici';
import { MetaveilError } from '../../core/errors.ts';

/** What one request needs besides its own contents. */
export interface Access {
  readonly dispatcher: Dispatcher;
  /** Authorization and impersonation. Secret. */
  readonly headers: Readonly<Record<string, string>>;
}

/** `calls` are many and short. `standing` connections are few: one per watch, and one for the lease. */
export type Lane = 'calls' | 'standing';

type Pools = { readonly material: TlsMaterial } & Readonly<Record<Lane, Dispatcher>>;

/**
 * The connections to the API server, shared by everything. The library makes a new Agent, and so a new TLS connection, for
 * every call: 501 connections for 500 calls and a watch, where a shared one takes 2 and is 2.5 to 4 times faster. Calls
 * have a bound: a burst (10,000 first tokens after a change of leader) waits in line, and not in front of the lease.
 */
export class SharedDispatcher {
  readonly #kubeConfig: KubeConfig;
  #current: Pools | undefined;
  #closed = false;

  constructor(kubeConfig: KubeConfig) {
    this.#kubeConfig = kubeConfig;
  }

  /** Credentials are read anew each time: projected tokens rotate (the library re-reads the file every minute). */
  async access(lane: Lane): Promise<Access> {
    if (this.#closed) throw new MetaveilError('kubernetes-unavailable', 'the client for the API server is closed');
    const options = await this.#credentials();
    return { dispatcher: this.#poolsFor(tlsOf(options))[lane], headers: headersOf(options) };
  }

  /** Breaks all connections, watches included. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#current?.calls.destroy(), this.#current?.standing.destroy()]);
  }

  async #credentials(): Promise<RequestOptions> {
    const options: RequestOptions = {};
    try {
      await this.#kubeConfig.applyToHTTPSOptions(options);
    } catch (error) {
      // A credential plugin's stderr is in the message, and may hold anything.
      const { code } = error as { code?: unknown };
      const why = typeof code === 'string' ? code : 'the credential plugin failed; run it by hand';
      throw new MetaveilError('invalid-configuration', `no credentials for the API server: ${why}`);
    }
    return options;
  }

  /** New ones only when a certificate on disk was replaced. */
  #poolsFor(material: TlsMaterial): Pools {
    const current = this.#current;
    if (current !== undefined && isDeepStrictEqual(current.material, material)) return current;
    // Requests under way on the old pools, watches among them, come to their end there.
    for (const old of [current?.calls, current?.standing]) void old?.close().catch(() => undefined);
    this.#current = { material, calls: this.#pool(material, mostCalls), standing: this.#pool(material, null) };
    return this.#current;
  }

  #pool(material: TlsMaterial, connections: number | null): Dispatcher {
    const uri = this.#kubeConfig.getCurrentCluster()?.proxyUrl;
    if (uri) return new ProxyAgent({ ...poolOptions, connections, uri, requestTls: material });
    return new Agent({ ...poolOptions, connections, connect: { ...material, ...socketOptions } });
  }
}

const mostCalls = 16;

type TlsMaterial = Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> & {
  readonly rejectUnauthorized?: boolean;
  readonly servername?: string;
};

/** Probes more often than load balancers forget idle connections (60 s on AWS). */
const socketOptions = { timeout: 10_000, keepAlive: true, keepAliveInitialDelay: 30_000 } as const;

const poolOptions: Agent.Options = {
  // HTTP/1.1: on one HTTP/2 connection a single stall would hold up every watch, the lease and all calls at once.
  allowH2: false,
  pipelining: 1,
  // Shorter than the API server's own 90 s, so that we never write into a connection it is closing.
  keepAliveTimeout: 60_000,
  keepAliveMaxTimeout: 60_000,
  // Deadlines are ours (deadline.ts): a watch may be silent for longer than any fixed time-out.
  headersTimeout: 0,
  bodyTimeout: 0,
};

function tlsOf(options: RequestOptions): TlsMaterial {
  const { ca, cert, key, rejectUnauthorized, servername } = options;
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
    ...(servername !== undefined && { servername }),
  };
}

function headersOf(options: RequestOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  if (typeof options.auth === 'string')
    headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    // A token file that ends in a newline would make an invalid header.
    if (typeof value === 'string') headers[name.toLowerCase()] = value.trim();
  }
  return headers;
}
