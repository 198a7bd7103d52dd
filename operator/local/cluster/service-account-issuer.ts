/**
 * The API server's part in ServiceAccount tokens, in memory: issues them, reviews them, publishes the keys. Claims and
 * checks are Kubernetes' own, so the emulated Google and the node API see what they would see in a cluster.
 */
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import type { CryptoKey, JWK, JWTPayload } from 'jose';
import type { NodeUid, PodUid } from '../../core/brand.ts';
import { MetaveilError } from '../../core/errors.ts';
import type { Clock } from '../../core/time.ts';
import type { IssuedToken } from '../../core/token/types.ts';
import type { IssuerDiscovery } from '../../controllers/ports.ts';
import type {
  AuthenticatedUser,
  ServiceAccountTokenRequest,
  ServiceAccountTokens,
  TokenReview,
  TokenReviewer,
} from '../../nodeapi/server/ports.ts';

export const localIssuer = 'https://kubernetes.default.svc.cluster.local';

const keyId = 'local-1';
const claimsKey = 'kubernetes.io';
const extraPrefix = 'authentication.kubernetes.io/';

/** A pod a token can be bound to, with its node. */
export interface TokenPod {
  readonly name: string;
  readonly uid: PodUid;
  readonly nodeName: string;
  readonly nodeUid: NodeUid;
}

export interface IssuerParts {
  readonly clock: Clock;
  readonly findPod: (namespace: string, name: string) => TokenPod | undefined;
}

interface KubernetesClaims {
  readonly namespace: string;
  readonly serviceaccount: { readonly name: string; readonly uid: string };
  readonly pod?: { readonly name: string; readonly uid: string };
  readonly node?: { readonly name: string; readonly uid: string };
}

export class ServiceAccountIssuer implements ServiceAccountTokens, TokenReviewer, IssuerDiscovery {
  readonly #parts: IssuerParts;
  readonly #key: CryptoKey;
  /** What Google is told to trust. */
  readonly jwks: { readonly keys: readonly JWK[] };

  static async create(parts: IssuerParts): Promise<ServiceAccountIssuer> {
    const { privateKey, publicKey } = await generateKeyPair('RS256');
    const jwk = { ...(await exportJWK(publicKey)), kid: keyId, alg: 'RS256', use: 'sig' };
    return new ServiceAccountIssuer(parts, privateKey, { keys: [jwk] });
  }

  private constructor(parts: IssuerParts, key: CryptoKey, jwks: { readonly keys: readonly JWK[] }) {
    this.#parts = parts;
    this.#key = key;
    this.jwks = jwks;
  }

  async request(request: ServiceAccountTokenRequest): Promise<IssuedToken> {
    const now = Math.floor(this.#parts.clock.now() / 1000);
    const expiresAt = now + request.expirationSeconds;
    const token = await new SignJWT({ [claimsKey]: this.#claims(request) })
      .setProtectedHeader({ alg: 'RS256', kid: keyId })
      .setIssuer(localIssuer)
      .setSubject(`system:serviceaccount:${request.namespace}:${request.serviceAccount.name}`)
      .setAudience([request.audience])
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(expiresAt)
      .sign(this.#key);
    return { token, expiresAt: expiresAt * 1000 };
  }

  async review(token: string, audience: string): Promise<TokenReview> {
    try {
      const keys = createLocalJWKSet({ keys: [...this.jwks.keys] });
      const currentDate = new Date(this.#parts.clock.now());
      const { payload } = await jwtVerify(token, keys, { issuer: localIssuer, audience, currentDate });
      return { kind: 'authenticated', user: userOf(payload) };
    } catch {
      return { kind: 'rejected' };
    }
  }

  discover(): Promise<{ issuer: string; signingKeyIds: readonly string[] }> {
    return Promise.resolve({ issuer: localIssuer, signingKeyIds: [keyId] });
  }

  #claims({ namespace, serviceAccount, boundTo }: ServiceAccountTokenRequest): KubernetesClaims {
    const account = { namespace, serviceaccount: { name: serviceAccount.name, uid: serviceAccount.uid } };
    if (boundTo.kind === 'unbound') return account;
    const pod = this.#parts.findPod(namespace, boundTo.name);
    if (pod?.uid !== boundTo.uid) {
      throw new MetaveilError('kubernetes-conflict', `pod ${namespace}/${boundTo.name} is not the one asked for`);
    }
    const node = { name: pod.nodeName, uid: pod.nodeUid };
    return { ...account, pod: { name: pod.name, uid: pod.uid }, node };
  }
}

/** status.user as the API server derives it from the claims. */
function userOf(payload: JWTPayload): AuthenticatedUser {
  const claims = payload[claimsKey] as KubernetesClaims;
  const extra = (key: string, value: string | undefined) =>
    value === undefined ? {} : { [extraPrefix + key]: [value] };
  return {
    username: payload.sub ?? '',
    uid: claims.serviceaccount.uid,
    extra: {
      ...extra('pod-name', claims.pod?.name),
      ...extra('pod-uid', claims.pod?.uid),
      ...extra('node-name', claims.node?.name),
      ...extra('node-uid', claims.node?.uid),
    },
  };
}
