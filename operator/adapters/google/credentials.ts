import { decodeJwt } from 'jose';
import type { protos } from '@google-cloud/iam-credentials';
import { MetaveilError } from '../../core/errors.ts';
import { cloudPlatformScope } from '../../core/names.ts';
import type { IssuedToken } from '../../core/token/types.ts';
import type {
  AccessTokenExchange,
  ExchangeRequest,
  GoogleCredentials,
  IdentityTokenExchange,
} from '../../nodeapi/server/ports.ts';
import { endpointOf, serviceNames, type GoogleService } from './endpoints.ts';
import { FederatedClient, gaxiosOver, type Gaxios } from './federated-client.ts';
import { iamCredentialsClient, serviceAccountName, withoutRetry } from './iam-credentials.ts';
import { GoogleTransport, type ProxySettings } from './transport.ts';

export interface GoogleCredentialsOptions {
  /** Of one HTTP request in ms; an exchange makes at most two. Default: 5000. */
  readonly requestTimeoutMs?: number;
  /** Default: the environment's HTTP_PROXY, HTTPS_PROXY and NO_PROXY. */
  readonly proxy?: ProxySettings;
  /** For tests and the embedded default only: endpoints may be http. Default: false. */
  readonly allowInsecureEndpoints?: boolean;
}

/** One exchange: where it goes, and until when it is wanted. */
interface Exchange {
  readonly request: ExchangeRequest;
  readonly scopes: readonly string[];
  readonly signal: AbortSignal;
}

type AccessTokenReply = protos.google.iam.credentials.v1.IGenerateAccessTokenResponse;

/** GoogleCredentials over Google's own libraries. Connections are shared per CA bundle; everything else is per call. */
export class GoogleCredentialsAdapter implements GoogleCredentials {
  readonly #transport: GoogleTransport;
  readonly #allowInsecure: boolean;

  constructor(options: GoogleCredentialsOptions = {}) {
    this.#allowInsecure = options.allowInsecureEndpoints ?? false;
    this.#transport = new GoogleTransport({
      requestTimeoutMs: options.requestTimeoutMs ?? 5_000,
      proxy: options.proxy ?? {},
    });
    // With this variable set the libraries print requests and replies, tokens included.
    delete process.env['GOOGLE_SDK_NODE_LOGGING'];
  }

  async accessToken(request: AccessTokenExchange, signal: AbortSignal): Promise<IssuedToken> {
    const { target } = request;
    if (target.access === 'Direct') {
      return await federatedToken(this.#federatedClient({ request, scopes: request.scopes, signal }));
    }
    const reply = await this.#withIam({ request, scopes: [cloudPlatformScope], signal }, (client) =>
      client.generateAccessToken(
        {
          name: serviceAccountName(target.googleServiceAccount),
          scope: [...request.scopes],
          lifetime: { seconds: target.lifetimeSeconds },
        },
        withoutRetry,
      ),
    );
    return issuedBy(reply[0]);
  }

  /**
   * Asked for with the federated identity itself: through a token of the account it would need a second grant, of the
   * account to itself.
   */
  async identityToken(request: IdentityTokenExchange, signal: AbortSignal): Promise<IssuedToken> {
    const reply = await this.#withIam({ request, scopes: [cloudPlatformScope], signal }, (client) =>
      client.generateIdToken(
        {
          name: serviceAccountName(request.googleServiceAccount),
          audience: request.audience,
          includeEmail: request.includeEmail,
        },
        withoutRetry,
      ),
    );
    return identityTokenOf(reply[0].token);
  }

  /** Ends all connections; running exchanges fail. */
  async close(): Promise<void> {
    await this.#transport.close();
  }

  async #withIam<T>(
    exchange: Exchange,
    call: (client: Awaited<ReturnType<typeof iamCredentialsClient>>) => Promise<T>,
  ): Promise<T> {
    const { provider } = exchange.request;
    const baseUrl = endpointOf('iamcredentials', provider, this.#allowInsecure);
    const federated = this.#federatedClient(exchange);
    await federatedToken(federated);
    const client = await iamCredentialsClient({ baseUrl, universeDomain: provider.universeDomain }, federated);
    return await attempt('iamcredentials', () => call(client));
  }

  #federatedClient(exchange: Exchange): FederatedClient {
    const { provider, subjectToken } = exchange.request;
    return new FederatedClient({
      audience: provider.exchangeAudience ?? provider.audience,
      tokenUrl: `${endpointOf('sts', provider, this.#allowInsecure)}/v1/token`,
      universeDomain: provider.universeDomain,
      subjectToken,
      scopes: exchange.scopes,
      transporter: this.#transporter(exchange),
    });
  }

  #transporter(exchange: Exchange): Gaxios {
    const { provider } = exchange.request;
    const stsUrl = `${endpointOf('sts', provider, this.#allowInsecure)}/v1/token`;
    return gaxiosOver(async (input, init) => {
      const url = input instanceof Request ? input.url : String(input);
      const service: GoogleService = url === stsUrl ? 'sts' : 'iamcredentials';
      const request = {
        service,
        url: service === 'sts' ? url : this.#underBasePath(url, provider),
        method: init?.method ?? 'POST',
        headers: new Headers(init?.headers),
        body: bodyOf(init?.body),
      };
      return await this.#transport.send(request, provider.caBundle ?? '', exchange.signal);
    });
  }

  /** The library takes a host only; an endpoint with a path (a gateway) needs it put back. */
  #underBasePath(text: string, provider: ExchangeRequest['provider']): string {
    const url = new URL(text);
    return `${endpointOf('iamcredentials', provider, this.#allowInsecure)}${url.pathname}${url.search}`;
  }
}

/** Exchanges; the client keeps the token for the call that may follow. */
async function federatedToken(client: FederatedClient): Promise<IssuedToken> {
  await attempt('sts', () => client.getAccessToken());
  const { access_token: token, expiry_date: expiresAt } = client.credentials;
  if (typeof token !== 'string' || token === '' || typeof expiresAt !== 'number') throw incomplete('sts');
  return { token, expiresAt };
}

/** Runs a library call; our own error, which the transport threw, is found again inside the library's. */
async function attempt<T>(service: GoogleService, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    // The library's error holds the whole request, so it is never passed on, not even as a cause.
    throw ownErrorIn(error) ?? unusable(service, error);
  }
}

/** The library did not understand a reply. Its message may quote the reply, so only the kind of error is told. */
function unusable(service: GoogleService, error: unknown): MetaveilError {
  const kind = error instanceof Error ? error.name : typeof error;
  return new MetaveilError('google-unavailable', `${serviceNames[service]} sent a reply that cannot be used (${kind})`);
}

function ownErrorIn(error: unknown): MetaveilError | undefined {
  let current = error;
  for (let depth = 0; depth < 8 && current instanceof Error; depth++) {
    if (current instanceof MetaveilError) return current;
    current = current.cause;
  }
  return undefined;
}

function issuedBy(reply: AccessTokenReply): IssuedToken {
  const token = reply.accessToken ?? '';
  const expiresAt = Number(reply.expireTime?.seconds ?? Number.NaN) * 1000;
  if (token === '' || !Number.isSafeInteger(expiresAt)) throw incomplete('iamcredentials');
  return { token, expiresAt };
}

function identityTokenOf(token: string | null | undefined): IssuedToken {
  const expiresAt = (expiryOf(token ?? '') ?? Number.NaN) * 1000;
  if (typeof token !== 'string' || !Number.isSafeInteger(expiresAt)) throw incomplete('iamcredentials');
  return { token, expiresAt };
}

/** `exp` in seconds. The signature is for the audience to check. */
function expiryOf(token: string): number | undefined {
  try {
    return decodeJwt(token).exp;
  } catch {
    return undefined;
  }
}

function incomplete(service: GoogleService): MetaveilError {
  return new MetaveilError('google-unavailable', `${serviceNames[service]} sent an incomplete reply`);
}

/** The libraries hand over form fields or JSON text. */
function bodyOf(body: unknown): string | URLSearchParams {
  return typeof body === 'string' || body instanceof URLSearchParams ? body : '';
}
