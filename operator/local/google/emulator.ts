/**
 * Google's Security Token Service and IAM Credentials API on loopback, for the embedded default and for tests. It
 * checks what Google checks and refuses in Google's words; it knows only the providers, issuers and grants it is given.
 */
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { JSONWebKeySet } from 'jose';
import { AccessTokens, type TokenIdentity } from './access-tokens.ts';
import type { Faults } from './faults.ts';
import { FrontEnd } from './front-end.ts';
import { IamCredentials } from './iam-credentials.ts';
import { ServiceAccountPolicies } from './iam-policies.ts';
import { IdentityTokens } from './identity-tokens.ts';
import { WorkloadIdentityPools, type ProviderSpec } from './pools.ts';
import type { LoggedRequest } from './requests.ts';
import { SecurityTokenService } from './sts.ts';

export interface GoogleEmulatorOptions {
  /** Loopback port; 0 (default): a free one. */
  readonly port?: number;
  /** ms since the epoch. Default: Date.now. */
  readonly now?: () => number;
  /** Serve https with this key and certificate (PEM). Default: http. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Service accounts that may have access tokens for more than an hour. */
  readonly extendedLifetimes?: readonly string[];
}

export interface GoogleEmulator {
  readonly stsEndpoint: string;
  readonly iamCredentialsEndpoint: string;
  /** JWKS of the identity tokens. */
  readonly certificatesUrl: string;
  readonly faults: Pick<Faults, 'inject' | 'clear'>;
  /** Sets (or replaces) the keys of an issuer of subject tokens, for example of a cluster. */
  trustIssuer(issuer: string, keys: JSONWebKeySet): void;
  addProvider(provider: ProviderSpec): void;
  removeProvider(name: string): void;
  addServiceAccount(email: string): void;
  removeServiceAccount(email: string): void;
  /** Adds a member to a role on the service account, which is created if need be. */
  grant(email: string, role: string, member: string): void;
  revoke(email: string, role: string, member: string): void;
  /** Latest requests, oldest first, without secrets. */
  requests(): readonly LoggedRequest[];
  /** Whom an access token speaks for; undefined if it was not issued here or is over. */
  whoIs(token: string): TokenIdentity | undefined;
  /** Ends all connections and stops. */
  close(): Promise<void>;
}

/** Starts on 127.0.0.1. */
export async function startGoogleEmulator(options: GoogleEmulatorOptions = {}): Promise<GoogleEmulator> {
  const now = options.now ?? Date.now;
  const pools = new WorkloadIdentityPools();
  const accounts = new ServiceAccountPolicies();
  const tokens = new AccessTokens(now);
  const identityTokens = new IdentityTokens(now);
  const iam = new IamCredentials(accounts, tokens, identityTokens, {
    now,
    extendedLifetimes: new Set(options.extendedLifetimes),
  });
  const front = new FrontEnd({ sts: new SecurityTokenService(pools, tokens, now), iam, identityTokens });
  const { url, close } = await listen(options, (request, response) => void front.serve(request, response));
  return {
    stsEndpoint: url,
    iamCredentialsEndpoint: url,
    certificatesUrl: `${url}/oauth2/v3/certs`,
    faults: front.faults,
    trustIssuer: (issuer, keys) => pools.trustIssuer(issuer, keys),
    addProvider: (provider) => pools.addProvider(provider),
    removeProvider: (name) => pools.removeProvider(name),
    addServiceAccount: (email) => accounts.add(email),
    removeServiceAccount: (email) => accounts.remove(email),
    grant: (email, role, member) => accounts.grant(email, role, member),
    revoke: (email, role, member) => accounts.revoke(email, role, member),
    requests: () => front.log.all(),
    whoIs: (token) => tokens.whoIs(token),
    close,
  };
}

async function listen(
  { port = 0, tls }: GoogleEmulatorOptions,
  listener: RequestListener,
): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  const server: Server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  return { url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${bound}`, close: () => stop(server) };
}

async function stop(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
