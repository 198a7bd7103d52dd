/** A cluster's token issuer and a Google that trusts it: what the tests of the exchange share. */
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JSONWebKeySet } from 'jose';
import type {
  AccessTokenExchange,
  FederationSettings,
  IdentityTokenExchange,
} from '../../../operator/nodeapi/server/ports.ts';
import {
  startGoogleEmulator,
  type GoogleEmulator,
  type GoogleEmulatorOptions,
} from '../../../operator/local/google/emulator.ts';

export const issuer = 'https://kubernetes.default.svc.cluster.local';
export const pool = 'projects/123456789012/locations/global/workloadIdentityPools/prod';
export const providerName = `${pool}/providers/cluster-1`;
export const audience = `//iam.googleapis.com/${providerName}`;
export const subject = 'system:serviceaccount:shop:reports';
export const principal = `principal://iam.googleapis.com/${pool}/subject/${subject}`;
export const reportsAccount = 'reports@my-project.iam.gserviceaccount.com';
export const workloadIdentityUser = 'roles/iam.workloadIdentityUser';
export const cloudPlatform = 'https://www.googleapis.com/auth/cloud-platform';
export const readOnlyStorage = 'https://www.googleapis.com/auth/devstorage.read_only';

/** Signs ServiceAccount tokens; `keys` is what the API server publishes. */
export interface ClusterIssuer {
  readonly keys: JSONWebKeySet;
  /** A token of `subject` for `audience`, valid from now for an hour unless the claims say otherwise. */
  token(claims?: Readonly<Record<string, unknown>>): Promise<string>;
}

export async function createClusterIssuer(kid = 'key-1', alg: 'RS256' | 'ES256' = 'ES256'): Promise<ClusterIssuer> {
  const { publicKey, privateKey } = await generateKeyPair(alg);
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }] };
  return { keys, token: (claims = {}) => sign(privateKey, { alg, kid }, claims) };
}

async function sign(
  key: CryptoKey,
  header: { alg: string; kid: string },
  claims: Readonly<Record<string, unknown>>,
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const defaults = { iss: issuer, sub: subject, aud: [audience], iat: now, nbf: now, exp: now + 3600 };
  return await new SignJWT({ ...defaults, ...claims }).setProtectedHeader(header).sign(key);
}

export interface TestGoogle {
  readonly google: GoogleEmulator;
  readonly cluster: ClusterIssuer;
  readonly provider: FederationSettings;
}

/** Google as it is after following the docs: pool, provider, JWKS, and the grant on one service account. */
export async function startTestGoogle(options: GoogleEmulatorOptions = {}): Promise<TestGoogle> {
  const [google, cluster] = await Promise.all([startGoogleEmulator(options), createClusterIssuer()]);
  google.trustIssuer(issuer, cluster.keys);
  google.addProvider({ name: providerName, issuer });
  google.grant(reportsAccount, workloadIdentityUser, principal);
  const { stsEndpoint, iamCredentialsEndpoint } = google;
  const provider = { audience, universeDomain: 'googleapis.com', stsEndpoint, iamCredentialsEndpoint };
  return { google, cluster, provider };
}

export function impersonation(provider: FederationSettings, subjectToken: string): AccessTokenExchange {
  const target = { access: 'Impersonate', googleServiceAccount: reportsAccount, lifetimeSeconds: 3600 } as const;
  return { provider, subjectToken, target, scopes: [cloudPlatform] };
}

export function directAccess(provider: FederationSettings, subjectToken: string): AccessTokenExchange {
  return { provider, subjectToken, target: { access: 'Direct' }, scopes: [readOnlyStorage] };
}

export function identity(provider: FederationSettings, subjectToken: string): IdentityTokenExchange {
  return {
    provider,
    subjectToken,
    googleServiceAccount: reportsAccount,
    audience: 'https://reports.example.com',
    includeEmail: true,
  };
}
