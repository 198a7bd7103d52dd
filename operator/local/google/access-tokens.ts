import { randomBytes } from 'node:crypto';

/** Whom an access token speaks for. Times in ms since the epoch. */
export type TokenIdentity =
  | {
      readonly kind: 'federated';
      readonly principal: string;
      readonly principalSets: readonly string[];
      readonly scopes: readonly string[];
      readonly expiresAt: number;
    }
  | {
      readonly kind: 'service-account';
      readonly email: string;
      /** Member that obtained it. */
      readonly issuedTo: string;
      readonly scopes: readonly string[];
      readonly expiresAt: number;
    };

const maxTokens = 20_000;

/** Opaque tokens, known until they expire. */
export class AccessTokens {
  readonly #identities = new Map<string, TokenIdentity>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  issue(identity: TokenIdentity): string {
    if (this.#identities.size >= maxTokens) this.#prune();
    const token = `ya29.${identity.kind === 'federated' ? 'd' : 'c'}.${randomBytes(96).toString('base64url')}`;
    this.#identities.set(token, identity);
    return token;
  }

  /** Undefined for a token that is unknown or over. */
  whoIs(token: string): TokenIdentity | undefined {
    const identity = this.#identities.get(token);
    return identity !== undefined && identity.expiresAt > this.#now() ? identity : undefined;
  }

  /** Drops what expired, then the oldest tenth, so that a long run stays within bounds. */
  #prune(): void {
    for (const [token, { expiresAt }] of this.#identities) {
      if (expiresAt <= this.#now()) this.#identities.delete(token);
    }
    const surplus = this.#identities.size - Math.floor(maxTokens * 0.9);
    for (const token of [...this.#identities.keys()].slice(0, Math.max(0, surplus))) this.#identities.delete(token);
  }
}

/** The caller itself and the sets it is in, as IAM policies name them. */
export function membersOf(identity: TokenIdentity): readonly string[] {
  return identity.kind === 'federated'
    ? [identity.principal, ...identity.principalSets]
    : [`serviceAccount:${identity.email}`];
}
