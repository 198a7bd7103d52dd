import { randomUUID } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JSONWebKeySet } from 'jose';

export interface IdentityTokenClaims {
  readonly audience: string;
  readonly uniqueId: string;
  /** Absent: the token names the account by its unique id only. */
  readonly email?: string;
}

interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly certificates: JSONWebKeySet;
}

const lifetimeSeconds = 3600;

/** Signs identity tokens as accounts.google.com does, with a key made on first use. */
export class IdentityTokens {
  readonly #now: () => number;
  #key: Promise<SigningKey> | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  async sign({ audience, uniqueId, email }: IdentityTokenClaims): Promise<string> {
    const { kid, privateKey } = await this.#signingKey();
    const issuedAt = Math.floor(this.#now() / 1000);
    const emailClaims = email === undefined ? {} : { email, email_verified: true };
    return await new SignJWT({ azp: uniqueId, ...emailClaims })
      .setProtectedHeader({ alg: 'RS256', kid, typ: 'JWT' })
      .setIssuer('https://accounts.google.com')
      .setAudience(audience)
      .setSubject(uniqueId)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + lifetimeSeconds)
      .sign(privateKey);
  }

  /** What `https://www.googleapis.com/oauth2/v3/certs` serves. */
  async certificates(): Promise<JSONWebKeySet> {
    return (await this.#signingKey()).certificates;
  }

  async #signingKey(): Promise<SigningKey> {
    this.#key ??= createSigningKey();
    return await this.#key;
  }
}

async function createSigningKey(): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const kid = randomUUID().replaceAll('-', '');
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' };
  return { kid, privateKey, certificates: { keys: [jwk] } };
}
